"""Rows 11 and 12: ten thousand subscribers on one process; subscribers that never read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bench.chaos.report import Result
from bench.chaos.session import session
from bench.chaos.world import World
from bench.subscribers import Phase, measure_fan_out, measure_slow
from bench.subscribers_world import Target

MIB, GIB_KIB = 1024, 1024 * 1024
PROCESSES = (("api",), ("relay", "reactions"))
CLOSED_SECONDS_MAX = 35.0


@dataclass(frozen=True)
class Crowd:
    subscribers: int
    rounds: int


@dataclass(frozen=True)
class Slow:
    normal: int
    slow: int
    phases: int
    events: int
    rate: float  # events a second


CROWD_FULL, CROWD_SHORT = Crowd(10_000, rounds=3), Crowd(500, rounds=2)
# A phase is over before the server gives up on who does not read (30 s): only then is it seen when it hangs up, and
# the others are measured beside a hundred that are there all the time.
SLOW_FULL = Slow(1_000, slow=100, phases=6, events=180, rate=8)


async def crowd(world: World, scale: Crowd, *, seed: int) -> Result:
    """Row 11. Each round connects all, tells them of single events, and disconnects all."""
    async with session(world, "crowd", seed=seed, organizations=0, processes=PROCESSES) as made:
        api = made.holders_of("api")[0]
        target = Target(port=api.port, token=made.load.token, pid=api.pid)
        found = await measure_fan_out(target, subscribers=scale.subscribers, rounds=scale.rounds)
    rss = [each.rss_kib for each in found.rounds]
    p99 = max(each.delay.p99 for each in found.rounds)
    lost = sum(each.lost for each in found.rounds)
    growth = rss[-1] / rss[0]
    return Result(
        row=11,
        promise="one process serves ten thousand subscribers",
        target=f"{scale.subscribers} subscribers: at most 1 GiB, p99 of one event at most 1.5 s, no growth over rounds",
        measured=(
            f"{max(rss) / MIB:.0f} MiB ({found.kib_per_subscriber} KiB each), p99 {p99:.0f} ms, {lost} lost,"
            f" last round at {growth:.2f} of the first"
        ),
        holds=lost == 0 and max(rss) <= GIB_KIB and p99 <= 1500 and growth <= 1.05,
        figures=asdict(found),
    )


async def slow(world: World, scale: Slow, *, seed: int) -> Result:
    """Row 12. Phases with and without them take turns, so that both see the same machine."""
    async with session(world, "slow", seed=seed, organizations=0, processes=PROCESSES) as made:
        api = made.holders_of("api")[0]
        target = Target(port=api.port, token=made.load.token, pid=api.pid)
        found = await measure_slow(
            target,
            normal=scale.normal,
            slow=scale.slow,
            phases=scale.phases,
            events=scale.events,
            rate=scale.rate,
        )
    ratio = _p99(found.with_slow) / _p99(found.without)
    lost = sum(each.lost for each in (*found.with_slow, *found.without))
    rss = [each.rss_kib for each in found.with_slow]
    growth = rss[-1] / rss[0]
    return Result(
        row=12,
        promise="subscribers that never read harm nobody",
        target=(
            f"{scale.slow} that never read beside {scale.normal}: p99 of those at most 1.10 of without, memory flat,"
            f" closed within {CLOSED_SECONDS_MAX:g} s"
        ),
        measured=(
            f"p99 {_p99(found.with_slow):.0f} ms with, {_p99(found.without):.0f} ms without ({ratio:.2f}), {lost} lost,"
            f" memory at {growth:.2f}, closed within {found.closed_seconds_max:g} s"
        ),
        holds=lost == 0 and ratio <= 1.10 and growth <= 1.05 and found.closed_seconds_max <= CLOSED_SECONDS_MAX,
        figures=asdict(found),
    )


def _p99(phases: Sequence[Phase]) -> float:
    return median(each.delay.p99 for each in phases)
