"""Row 4: the relay's leader is killed, or stalls and comes back as a zombie; how long until events flow again."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import quantiles

from aiokafka import AIOKafkaConsumer

from bench.chaos.client import Client
from bench.chaos.faults import LEADER, frozen, owner_of
from bench.chaos.history import Operation
from bench.chaos.load import carry_out
from bench.chaos.report import Result
from bench.chaos.session import Session, session
from bench.chaos.world import Child, World
from events.topics import ensure_topics

KILL_SECONDS_MAX, STALL_SECONDS_MAX = 2.0, 12.0
WAIT_SECONDS = 30.0
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Scale:
    kills: int
    stalls: int


FULL, SHORT = Scale(kills=100, stalls=20), Scale(kills=6, stalls=1)
PROCESSES = (("api",), ("reactions",), ("relay",), ("relay",))


class Arrivals:
    """When the last record came that was written after a moment."""

    def __init__(self) -> None:
        self.revisions: dict[str, int] = {}
        self.changed = asyncio.Condition()

    async def watch(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=20)).values():
                async with self.changed:
                    for record in records:
                        organization, rev = record.key.decode(), int(dict(record.headers)["ce_rev"])
                        self.revisions[organization] = max(rev, self.revisions.get(organization, 0))
                    self.changed.notify_all()

    async def wait_for(self, operation: Operation) -> None:
        async with asyncio.timeout(WAIT_SECONDS), self.changed:
            await self.changed.wait_for(lambda: self.revisions.get(operation.organization, 0) >= operation.revision)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(
            session(world, "failover", seed=seed, organizations=1, processes=PROCESSES)
        )
        consumer = await stack.enter_async_context(AIOKafkaConsumer(bootstrap_servers=world.kafka))
        consumer.assign(await ensure_topics(world.kafka))
        await consumer.seek_to_end()
        arrivals = Arrivals()
        watching = asyncio.create_task(arrivals.watch(consumer))
        stack.callback(watching.cancel)
        kills = [await _after_kill(made, arrivals) for _ in range(scale.kills)]
        stalls = [await _after_stall(made, arrivals) for _ in range(scale.stalls)]
        ledger, wrong = await made.judged()
    p99 = quantiles(kills, n=100)[98] if len(kills) >= 100 else max(kills)
    stall = max(stalls)
    return Result(
        row=4,
        promise="another relay goes on where a dead or stalled one was",
        target=(
            f"{scale.kills} kills: p99 at most {KILL_SECONDS_MAX:g} s; {scale.stalls} stalls:"
            f" at most {STALL_SECONDS_MAX:g} s; 0 lost"
        ),
        measured=(
            f"kills: median {sorted(kills)[len(kills) // 2]:.2f} s, p99 {p99:.2f} s; stalls: at most {stall:.2f} s;"
            f" {len(ledger.log)} events, {len(wrong)} violations"
        ),
        holds=not wrong and p99 <= KILL_SECONDS_MAX and stall <= STALL_SECONDS_MAX,
        figures={
            "kill_seconds": [round(each, 3) for each in sorted(kills)],
            "stall_seconds": [round(each, 3) for each in sorted(stalls)],
            "events": len(ledger.log),
            "deliveries": len(ledger.delivered),
        },
        wrong=wrong[:50],
    )


async def _after_kill(made: Session, arrivals: Arrivals) -> float:
    """From the leader's death to the arrival of an event that was written after it."""
    leader = await _leader(made)
    leader.kill()
    seconds = await _seconds_until_arrival(made, arrivals)
    await leader.ended()
    made.processes.remove(leader)
    await made.start("relay")
    return seconds


async def _after_stall(made: Session, arrivals: Arrivals) -> float:
    """The same for a leader that stops in the middle of the load, and wakes up when another has taken over."""
    leader = await _leader(made)
    with frozen(leader.pid):
        seconds = await _seconds_until_arrival(made, arrivals)
    await _seconds_until_arrival(made, arrivals)
    return seconds


async def _seconds_until_arrival(made: Session, arrivals: Arrivals) -> float:
    started = time.monotonic()
    async with Client(made.port(), made.load.token) as client:
        operation = made.load.new(made.organizations[0], "configure")
        await carry_out(made.load, client, operation)
        await arrivals.wait_for(operation)
    return time.monotonic() - started


async def _leader(made: Session) -> Child:
    async with asyncio.timeout(WAIT_SECONDS), made.world.tables() as connection:
        while True:
            port = await connection.fetchval(LEADER)
            found = None if port is None else owner_of(port, made.holders_of("relay"))
            if found is not None:
                return found
            await asyncio.sleep(PAUSE_SECONDS)
