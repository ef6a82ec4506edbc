"""Row 10: clients that are dropped again and again while events flow miss nothing and see nothing twice."""

from dataclasses import dataclass

from bench.chaos.history import Heard
from bench.chaos.report import Result
from bench.chaos.session import following, session
from bench.chaos.world import World

LIVES_SECONDS = (0.5, 3.0)


@dataclass(frozen=True)
class Scale:
    clients: int
    organizations: int
    events: int


FULL, SHORT = Scale(200, organizations=20, events=20_000), Scale(20, organizations=4, events=800)
PROCESSES = (("api",), ("api",), ("relay", "reactions"))


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    async with session(world, "resume", seed=seed, organizations=scale.organizations, processes=PROCESSES) as made:
        heard = [
            Heard(made.organizations[number % scale.organizations], start=2, revisions=[])
            for number in range(scale.clients)
        ]
        subscribers = made.subscribers(heard, seconds=LIVES_SECONDS)
        async with following(subscribers):
            await made.write_until(scale.events)
            ledger, wrong = await made.judged(subscribers)
    drops = sum(each.drops for each in heard)
    received = sum(len(each.revisions) for each in heard)
    return Result(
        row=10,
        promise="a subscriber that comes back misses nothing and sees nothing twice",
        target=f"{scale.clients} clients dropped every 0.5 to 3 s, {scale.events} events, 0 missing, 0 repeated",
        measured=f"{len(ledger.log)} events, {received} received, {drops} drops, {len(wrong)} violations",
        holds=not wrong,
        figures={"events": len(ledger.log), "received": received, "drops": drops, "clients": scale.clients},
        wrong=wrong[:50],
    )
