"""Row 29: every role's clock is wrong by an hour, one way or the other. Order is the rev's and never the clock's."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.chaos.checker import Logged
from bench.chaos.history import Heard
from bench.chaos.report import Result
from bench.chaos.session import following, session
from bench.chaos.world import World, Zygote

SOURCE = Path(__file__).parents[1] / "skew.c"
HOUR = 3600


@dataclass(frozen=True)
class Scale:
    events: int


FULL, SHORT = Scale(10_000), Scale(600)
# two of each, an hour fast and an hour slow: they take turns in leading, and in answering the same client
ROLES = (("api",), ("relay",), ("reactions",), ("worker",))


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    async with AsyncExitStack() as stack:
        zygotes = [await _zygote(world, stack, seconds) for seconds in (HOUR, -HOUR)]
        made = await stack.enter_async_context(session(world, "skew", seed=seed, organizations=8))
        for child in tuple(made.processes):
            await made.end(child)
        for roles in ROLES:
            for zygote in zygotes:
                await made.start(*roles, zygote=zygote)
        subscribers = made.subscribers(
            [Heard(each, start=2, revisions=[]) for each in made.organizations], seconds=(1.0, 5.0)
        )
        async with following(subscribers):
            for zygote in zygotes:  # the relay of the other clock leads in the second half
                await made.write_until(scale.events // 2)
                for child in [each for each in made.holders_of("relay") if each.zygote is zygote]:
                    await made.end(child)
                await made.start("relay", zygote=zygote)
            ledger, wrong = await made.judged(subscribers)
        seen = _skew_seen(ledger.log)
    return Result(
        row=29,
        promise="wrong clocks harm nobody",
        target="each role an hour fast and an hour slow: I1-I8 hold",
        measured=f"{len(ledger.log)} events, their clocks {seen:.0f} s apart, {len(wrong)} violations",
        holds=not wrong and seen > HOUR,
        figures={"events": len(ledger.log), "seconds_apart": round(seen)},
        wrong=wrong[:50],
    )


async def _zygote(world: World, stack: AsyncExitStack, seconds: int) -> Zygote:
    library = world.directory / "skew.so"
    if not library.exists():
        compiler = await asyncio.create_subprocess_exec("cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl")
        if await compiler.wait() != 0:
            raise RuntimeError("cc could not compile bench/chaos/skew.c")
    zygote = Zygote({"LD_PRELOAD": str(library), "CHAOS_SKEW_SECONDS": str(seconds)})
    await zygote.start()
    stack.push_async_callback(zygote.stop)
    return zygote


def _skew_seen(log: Sequence[Logged]) -> float:
    """How far the moments of the events lie apart, which proves that the clocks really were wrong."""
    moments = [each.moment.timestamp() for each in log]
    return max(moments) - min(moments)
