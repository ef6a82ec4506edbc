"""Thousands of subscribers on one API process: how late they hear, and what they weigh. Linux only.

Run with .venv/bin/python -m bench.subscribers: embedded servers, `modplane serve` as two processes (api; relay), the
clients in this one. `--slow N` measures instead what N clients that never read do to the others.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.subscribers_client import Reader, allow_files
from bench.subscribers_world import Flood, Target, World, running_target, world

PATIENCE_SECONDS = 60.0
SETTLE_SECONDS = 1.0
WARM_UP_EVENTS = 20
WAKE_SECONDS = 32.0  # when the server has given up on a client (30 s), and before it hangs up (4 s later)


@dataclass(frozen=True)
class Delay:
    """Milliseconds from the mutation's answer until the event was read, over all events and subscribers."""

    p50: float
    p99: float
    max: float

    @staticmethod
    def of(seconds: list[float]) -> "Delay":
        ordered = sorted(seconds)
        at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99)]
        return Delay(p50=round(at[0] * 1000, 1), p99=round(at[1] * 1000, 1), max=round(ordered[-1] * 1000, 1))


@dataclass(frozen=True)
class Round:
    """`frames_per_second`: of the events' own time, from the first frame of each to its last. `lost`: never heard;
    `refused`: what the server said to those whom it ended."""

    delay: Delay
    lost: int
    refused: dict[str, int]
    connect_seconds: float
    frames_per_second: int
    rss_kib: int
    rss_after_kib: int


@dataclass(frozen=True)
class FanOut:
    subscribers: int
    events: int
    rss_before_kib: int
    kib_per_subscriber: float
    rounds: list[Round]


@dataclass(frozen=True)
class Phase:
    delay: Delay
    lost: int
    rss_kib: int


@dataclass(frozen=True)
class Slowness:
    """Phases with and without slow clients take turns. `closed`: how slow ones were told to go, and how late."""

    normal: int
    slow: int
    without: list[Phase]
    with_slow: list[Phase]
    closed: dict[str, int]
    closed_seconds_max: float


async def measure_fan_out(target: Target, *, subscribers: int, rounds: int = 3, events: int = 10) -> FanOut:
    """Connect all, publish single events, disconnect all; again and again."""
    async with world(target) as scene:
        before = target.rss_kib
        measured = [await _round(scene, subscribers, events) for _ in range(rounds)]
    share = (measured[0].rss_kib - before) / subscribers
    return FanOut(subscribers, events, before, round(share, 1), measured)


async def _round(scene: World, subscribers: int, events: int) -> Round:
    began = time.monotonic()
    readers = await scene.subscribe(subscribers)
    connect_seconds = time.monotonic() - began
    # as the server does with its own: a collection of ours in the middle would be measured as theirs
    gc.collect()
    gc.freeze()
    # the first is heard by those too that are still on their own: all must hear it, and its delay is not measured
    warm_up = await _heard_by_all(scene, subscribers)
    _, lost_at_first = scene.take([warm_up], subscribers)
    revs, busy = [], 0.0
    for _ in range(events):
        rev = await _heard_by_all(scene, subscribers)
        busy += max(scene.heard[rev], default=0.0) - min(scene.heard[rev], default=0.0)
        revs.append(rev)
        await asyncio.sleep(0.2)
    delays, lost = scene.take(revs, subscribers)
    await asyncio.sleep(SETTLE_SECONDS)
    rss = scene.target.rss_kib
    refused = Counter(str(reader.closed) for reader in readers if reader.closed is not None)
    for reader in readers:
        reader.drop()
    await _closed(scene.target, subscribers)
    gc.unfreeze()
    return Round(
        delay=Delay.of(delays),
        lost=lost + lost_at_first,
        refused=dict(refused),
        connect_seconds=round(connect_seconds, 1),
        frames_per_second=round(len(delays) / max(busy, 0.001)),
        rss_kib=rss,
        rss_after_kib=scene.target.rss_kib,
    )


async def measure_slow(
    target: Target, *, normal: int, slow: int, phases: int = 3, events: int = 200, rate: float = 100.0
) -> Slowness:
    """Normal clients all along; `slow` more that never read in every other phase, so that both see the same weather."""
    without: list[Phase] = []
    with_slow: list[Phase] = []
    closed: Counter[str] = Counter()
    latest = 0.0
    async with world(target) as scene:
        readers = await scene.subscribe(normal)
        flood = await Flood.prepare(scene.client)
        await _phase(scene, normal, events=events, rate=rate)  # warms up
        for _ in range(phases):
            without.append(await _phase(scene, normal, events=events, rate=rate))
            hanging = await scene.hang(slow, flood)
            blocked = time.monotonic()
            with_slow.append(await _phase(scene, normal, events=events, rate=rate))
            # not at the same time: reading the system's table would be measured as the server's delay
            reasons, seconds = await _farewells(scene, hanging, blocked=blocked)
            latest = max(latest, seconds)
            closed.update(reasons)
        for reader in readers:
            reader.drop()
    return Slowness(normal, slow, without, with_slow, dict(closed), round(latest, 1))


async def _phase(scene: World, normal: int, *, events: int, rate: float) -> Phase:
    """In the steady state: what connecting has cost is over, and slow clients are full."""
    await asyncio.sleep(SETTLE_SECONDS)
    for _ in range(WARM_UP_EVENTS):
        scene.take([await _heard_by_all(scene, normal)], normal)
    revs, loop = [], asyncio.get_running_loop()
    began = loop.time()
    for number in range(events):
        revs.append(await scene.publish())
        if (left := began + (number + 1) / rate - loop.time()) > 0:
            await asyncio.sleep(left)
    await scene.everybody(revs[-1], normal)
    rss = scene.target.rss_kib
    delays, lost = scene.take(revs, normal)
    return Phase(Delay.of(delays), lost, rss)


async def _farewells(scene: World, hanging: list[Reader], *, blocked: float) -> tuple[Counter[str], float]:
    """How they were told to go, and when the last was gone. Half of them wake up in time to read it."""
    sleeping, waking = hanging[::2], hanging[1::2]
    ports, asleep = {reader.port for reader in sleeping}, True
    while _held(scene.target, ports):
        await asyncio.sleep(0.25)
        seconds = time.monotonic() - blocked
        if asleep and seconds > WAKE_SECONDS:
            asleep = False
            for reader in waking:
                reader.read_again()
        if seconds > PATIENCE_SECONDS:
            raise RuntimeError("slow clients are still connected")
    seconds = time.monotonic() - blocked
    await asyncio.sleep(SETTLE_SECONDS)
    reasons = Counter({"hung up on without a word": len(sleeping)})
    for reader in waking:
        code, reason = reader.closed or (0, "still open")
        reasons[f"{code} {'resume from …' if reason.startswith('resume from v1:') else reason}"] += 1
    for reader in hanging:
        reader.drop()
    return reasons, seconds


def _held(target: Target, ports: set[int]) -> int:
    """How many of these clients' connections a process still has, by the system's own table."""
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there = (int(fields[column].rpartition(":")[2], 16) for column in (1, 2))
        held += here == target.port and there in ports and fields[9] != "0"
    return held


async def _heard_by_all(scene: World, count: int) -> int:
    rev = await scene.publish()
    await scene.everybody(rev, count)
    return rev


async def _closed(target: Target, subscribers: int) -> None:
    """Wait until the server has let go of them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(os.listdir(f"/proc/{target.pid}/fd")) > min(200, subscribers) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.subscribers", description=__doc__)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--slow", type=int, default=0, help="so many that never read, beside --subscribers (1,000)")
    given = parser.parse_args()
    allow_files(given.subscribers + given.slow + 1_000)
    with tempfile.TemporaryDirectory(prefix="modplane-bench-") as directory, running_target(Path(directory)) as target:
        if given.slow:
            normal = min(given.subscribers, 1_000)
            found: Any = uvloop.run(measure_slow(target, normal=normal, slow=given.slow, phases=given.rounds))
        else:
            found = uvloop.run(
                measure_fan_out(target, subscribers=given.subscribers, rounds=given.rounds, events=given.events)
            )
    print(_table(found), file=sys.stderr)
    print(json.dumps(asdict(found), indent=2))


def _table(found: FanOut | Slowness) -> str:
    if isinstance(found, FanOut):
        lines = ["round  p50 ms  p99 ms  max ms  lost  frames/s  connect s  RSS MiB  after MiB"]
        for number, each in enumerate(found.rounds, start=1):
            lines.append(
                f"{number:5}  {each.delay.p50:6}  {each.delay.p99:6}  {each.delay.max:6}  {each.lost:4}"
                f"  {each.frames_per_second:8}  {each.connect_seconds:9}"
                f"  {each.rss_kib / 1024:7.0f}  {each.rss_after_kib / 1024:9.0f}"
            )
        return "\n".join([*lines, f"{found.kib_per_subscriber} KiB per subscriber"])
    lines = ["phase    p50 ms  p99 ms  max ms  lost  RSS MiB"]
    for alone, together in zip(found.without, found.with_slow, strict=True):
        for name, phase in (("without", alone), ("with", together)):
            delay = phase.delay
            lines.append(
                f"{name:7}  {delay.p50:6}  {delay.p99:6}  {delay.max:6}  {phase.lost:4}  {phase.rss_kib / 1024:7.0f}"
            )
    return "\n".join([*lines, f"closed within {found.closed_seconds_max} s: {found.closed}"])


if __name__ == "__main__":
    main()
