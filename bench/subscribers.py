"""Thousands of subscribers on one API process: how late they hear, and what they weigh. Linux only.

Run with .venv/bin/python -m bench.subscribers: embedded servers, `modplane serve` as two processes (api; relay), the
clients in this one. `--slow N` measures instead what N clients that never read do to the others.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from app.embedded.ports import choose_port
from app.embedded.supervisor import Supervisor
from bench.chaos.client import Client, Lost
from bench.subscribers_client import Reader, allow_files, connect

PROGRAM = (sys.executable, "-m", "app.cli")
PATIENCE_SECONDS = 60.0
HEARD_SECONDS = 30.0
SETTLE_SECONDS = 1.0
FILLING = "x" * 150  # some hundred of these events fill what a connection holds on its way
WAKE_SECONDS = 33.5  # after the server has given up on a client (30 s), before it hangs up
KEEP_ALIVE_SECONDS = 3.0  # the server hangs up on an idle connection after five
SIGN_UP = 'mutation { signUpOrganization(input: {name: "Bench"}) { organization { id } errors { message } } }'
RENAME = """mutation($o: ID!, $n: String) { updateOrganization(input: {organizationId: $o, name: $n}) {
  revision errors { message } } }"""
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Target:
    """The API process to measure. `token`: of a SUPER_ADMIN."""

    port: int
    token: str
    pid: int

    @property
    def rss_kib(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_KIB


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


class World:
    """One organization, who writes to it, and when each revision was answered."""

    def __init__(self, target: Target, client: Client, organization: str) -> None:
        self.target, self.client, self.organization = target, client, organization
        self.revision = 1
        self.answered: dict[int, float] = {}
        self.heard: dict[int, list[float]] = {}

    def hear(self, rev: int, moment: float) -> None:
        moments = self.heard.get(rev)
        if moments is not None:
            moments.append(moment)

    async def subscribe(self, count: int, *, small: bool = False, counted: bool = True) -> list[Reader]:
        """Begun at the current revision, so that every later event must be heard by each."""
        variables = {"o": self.organization, "a": f"v1:{self.revision}"}
        on_event = self.hear if counted else _ignore
        target = self.target
        return await connect(
            target.port, count, token=target.token, variables=variables, on_event=on_event, small=small
        )

    async def publish(self) -> int:
        if time.monotonic() - max(self.answered.values(), default=0.0) > KEEP_ALIVE_SECONDS:
            self.client.drop()
        rev = self.revision + 1
        self.heard[rev] = []
        answer = await self.client.ask(RENAME, {"o": self.organization, "n": f"Bench {rev} {FILLING}"})
        self.answered[rev] = time.monotonic()
        payload = answer["data"]["updateOrganization"]
        if payload["revision"] != rev:
            raise RuntimeError(f"expected revision {rev}: {payload}")
        self.revision = rev
        return rev

    async def everybody(self, rev: int, count: int) -> None:
        """Wait until so many have heard it, or for HEARD_SECONDS."""
        deadline = time.monotonic() + HEARD_SECONDS
        while len(self.heard[rev]) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def take(self, revs: list[int], count: int) -> tuple[list[float], int]:
        """Delays, and how many were not heard; an event may be read before its mutation's answer is."""
        delays = [max(0.0, moment - self.answered[rev]) for rev in revs for moment in self.heard[rev]]
        lost = sum(count - len(self.heard[rev]) for rev in revs)
        for rev in revs:
            del self.heard[rev], self.answered[rev]
        return delays, lost


@asynccontextmanager
async def world(target: Target) -> AsyncIterator[World]:
    async with Client(target.port, target.token) as client:
        answer = await client.ask(SIGN_UP)
        yield World(target, client, answer["data"]["signUpOrganization"]["organization"]["id"])


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
    target: Target, *, normal: int, slow: int, phases: int = 3, events: int = 600, rate: float = 100.0
) -> Slowness:
    """Normal clients all along; `slow` more that never read in every other phase, so that both see the same weather."""
    without: list[Phase] = []
    with_slow: list[Phase] = []
    closed: Counter[str] = Counter()
    latest = 0.0
    async with world(target) as scene:
        readers = await scene.subscribe(normal)
        await _phase(scene, normal, events=events, rate=rate)  # warms up
        for _ in range(phases):
            without.append(await _phase(scene, normal, events=events, rate=rate))
            hanging = await scene.subscribe(slow, small=True, counted=False)
            for reader in hanging:
                reader.stop_reading()
            stopped = time.monotonic()
            with_slow.append(await _phase(scene, normal, events=events, rate=rate))
            reasons, seconds = await _farewells(scene, hanging, stopped=stopped)
            latest = max(latest, seconds)
            closed.update(reasons)
        for reader in readers:
            reader.drop()
    return Slowness(normal, slow, without, with_slow, dict(closed), round(latest, 1))


async def _phase(scene: World, normal: int, *, events: int, rate: float) -> Phase:
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


async def _farewells(scene: World, hanging: list[Reader], *, stopped: float) -> tuple[Counter[str], float]:
    """How they were told to go, and when the last was gone. Half of them wake up in time to read it."""
    ports = {reader.port for reader in hanging}
    sleeping, waking = hanging[::2], hanging[1::2]
    seconds = 0.0
    while _held(scene.target, ports) and seconds < PATIENCE_SECONDS:
        await asyncio.sleep(0.25)
        seconds = time.monotonic() - stopped
        if seconds > WAKE_SECONDS:
            for reader in waking:
                reader.read_again()
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


@contextmanager
def running_target(directory: Path) -> Iterator[Target]:
    """Embedded servers and the product's own processes in an empty directory, ended in the end."""
    servers = Supervisor(directory / "servers", fsync=False)
    endpoints = servers.start()
    port = choose_port(None, taken=set())
    environment = {
        **os.environ,
        "DATABASE_URL": endpoints.postgres,
        "REDIS_URL": endpoints.redis,
        "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
        "MODPLANE_DATA_DIR": str(directory / "data"),
        "MODPLANE_PORT": str(port),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (directory / "log").open("ab") as log:
            subprocess.run([*PROGRAM, "migrate"], env=environment, check=True, stdout=log, stderr=log)
            token = subprocess.check_output([*PROGRAM, "token", "--role", "SUPER_ADMIN"], env=environment, text=True)
            for role in ("relay", "api"):
                command = [*PROGRAM, "serve", "--roles", role]
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        target = Target(port=port, token=token.strip(), pid=processes[-1].pid)
        asyncio.run(_until_answers(target))
        yield target
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(PATIENCE_SECONDS)
        servers.stop()


async def _until_answers(target: Target) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with Client(target.port, target.token) as client:
        while time.monotonic() < deadline:
            try:
                if "data" in await client.ask("{ viewer { subject } }"):
                    return
            except Lost:
                await asyncio.sleep(0.1)
    raise RuntimeError("the API does not answer; its log is in the directory")


def _ignore(rev: int, moment: float) -> None:
    """What a client reads that is not counted."""


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
