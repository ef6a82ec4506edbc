"""Row 3: many writers on few organizations; every organization's stream is gapless and in the order of commits."""

from dataclasses import dataclass

from bench.chaos.report import Result
from bench.chaos.session import session
from bench.chaos.world import World

APIS = (("api",), ("api",), ("relay",), ("reactions",))


@dataclass(frozen=True)
class Scale:
    organizations: int
    writers: int  # on each organization
    events: int


FULL, SHORT = Scale(16, writers=4, events=100_000), Scale(4, writers=4, events=1_500)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    async with session(world, "order", seed=seed, organizations=scale.organizations, processes=APIS) as made:
        await made.write_until(scale.events, writers=scale.writers)
        ledger, wrong = await made.judged()
    inversions = sum(each.startswith("order") for each in wrong)
    gaps = sum(each.startswith("I5") for each in wrong)
    return Result(
        row=3,
        promise="each organization's events are gapless and in the order of commits",
        target=f"{scale.organizations * scale.writers} writers, {scale.events} events, 0 inversions, 0 gaps",
        measured=f"{len(ledger.log)} events, {inversions} inversions, {gaps} gaps, {len(wrong)} violations",
        holds=not wrong,
        figures={
            "events": len(ledger.log),
            "deliveries": len(ledger.delivered),
            "inversions": inversions,
            "gaps": gaps,
            "mutations": len(made.load.operations),
        },
        wrong=wrong[:50],
    )
