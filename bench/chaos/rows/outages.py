"""Rows 5 to 7: the broker, Valkey and PostgreSQL go away under load, each in its ways, and come back."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles

from redis.asyncio import Redis

from bench.chaos.client import Client
from bench.chaos.faults import frozen, server_on
from bench.chaos.history import Operation
from bench.chaos.load import Load, carry_out
from bench.chaos.report import Result
from bench.chaos.session import Session, session
from bench.chaos.world import World
from tests.live.servers import port_of

ORGANIZATIONS = 20


@dataclass(frozen=True)
class Scale:
    """`per_second`: how many mutations are begun, whatever becomes of those before."""

    seconds: float
    per_second: float
    rounds: int = 1


BROKER_FULL, BROKER_SHORT = Scale(60, per_second=30), Scale(8, per_second=30)
VALKEY_FULL, VALKEY_SHORT = Scale(60, per_second=30), Scale(3, per_second=30)
POSTGRES_FULL, POSTGRES_SHORT = Scale(4, per_second=30, rounds=20), Scale(4, per_second=30, rounds=2)


@dataclass
class Beat:
    """Mutations at a fixed rate. Those of a phase are in its list."""

    load: Load
    session: Session
    answer_seconds: float = 28.0  # the server bounds a transaction by 25 s: later than that it hangs
    phase: list[Operation] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    idle: list[Client] = field(default_factory=list)

    async def run(self, per_second: float) -> None:
        number = 0
        started = time.monotonic()
        while True:
            organization = self.session.organizations[number % ORGANIZATIONS]
            task = asyncio.create_task(self._one(self.load.new(organization, "configure")))
            self.running.add(task)
            task.add_done_callback(self.running.discard)
            number += 1
            await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))

    async def _one(self, operation: Operation) -> None:
        self.phase.append(operation)
        client = (
            self.idle.pop() if self.idle else Client(self.session.port(), self.load.token, seconds=self.answer_seconds)
        )
        try:
            await carry_out(self.load, client, operation)
        finally:
            self.idle.append(client)

    def _client(self) -> Client:
        return Client(self.session.port(), self.load.token, seconds=self.answer_seconds)

    async def during(self, seconds: float) -> list[Operation]:
        """What is begun in the next seconds."""
        begun: list[Operation] = []
        self.phase = begun
        await asyncio.sleep(seconds)
        return begun


@asynccontextmanager
async def beating(made: Session, per_second: float) -> AsyncIterator[Beat]:
    beat = Beat(made.load, made)
    task = asyncio.create_task(beat.run(per_second))
    try:
        await asyncio.sleep(2)  # warm
        yield beat
    finally:
        task.cancel()
        await asyncio.gather(task, *beat.running, return_exceptions=True)
        for client in beat.idle:
            client.drop()


def p99(operations: Sequence[Operation]) -> float:
    """In milliseconds."""
    return 1000 * quantiles([each.seconds for each in operations if each.outcome == "acknowledged"], n=100)[98]


async def broker(world: World, scale: Scale, *, seed: int) -> Result:
    """Row 5. Frozen, so that connections stay and nobody answers: worse than dead; then killed."""
    async with session(world, "broker", seed=seed, organizations=ORGANIZATIONS) as made:
        async with beating(made, scale.per_second) as beat:
            before = await beat.during(scale.seconds)
            with frozen(server_on(port_of(world.kafka))):
                during = await beat.during(scale.seconds)
            drained = await _drained(world)
            after = await beat.during(scale.seconds / 2)
            crash = asyncio.create_task(world.restart("kafka"))
            crashed = await beat.during(scale.seconds / 4)
            await crash
        ledger, wrong = await made.judged()
    failed = _failures([*during, *after, *crashed])
    slower = p99(during) / p99(before)
    return Result(
        row=5,
        promise="mutations do not notice that the broker is away",
        target=(
            f"frozen {scale.seconds:g} s: 0 failed, p99 at most 1.10 of before, drained within 15 s; killed: 0 failed"
        ),
        measured=(
            f"{len(during)} mutations, {failed} failed, p99 {p99(before):.1f} ms before, {p99(during):.1f} ms during"
            f" ({slower:.2f}), {p99(after):.1f} ms after, drained in {drained:.1f} s, {len(wrong)} violations"
        ),
        holds=not wrong and failed == 0 and slower <= 1.10 and drained <= 15,
        figures={
            "mutations": len(during),
            "failed": failed,
            "p99_ms_before": round(p99(before), 2),
            "p99_ms_during": round(p99(during), 2),
            "p99_ms_after": round(p99(after), 2),
            "ratio": round(slower, 3),
            "drained_seconds": round(drained, 2),
            "events": len(ledger.log),
        },
        wrong=wrong[:50],
    )


async def valkey(world: World, scale: Scale, *, seed: int) -> Result:
    """Row 6. Flushed, killed, frozen."""
    async with session(world, "valkey", seed=seed, organizations=ORGANIZATIONS) as made:
        async with beating(made, scale.per_second) as beat:
            before = await beat.during(scale.seconds)
            async with Redis.from_url(world.redis) as redis:
                await redis.flushall()
            flushed = await beat.during(scale.seconds / 6)
            crash = asyncio.create_task(world.restart("valkey"))
            killed = await beat.during(scale.seconds / 6)
            await crash
            with frozen(server_on(port_of(world.redis))):
                stopped = await beat.during(scale.seconds)
        _, wrong = await made.judged()
    everything = [*flushed, *killed, *stopped]
    failed, slower = _failures(everything), p99(everything) / p99(before)
    return Result(
        row=6,
        promise="the cache being away is no outage",
        target=f"flushed, killed, frozen {scale.seconds:g} s: 0 failed, p99 at most 3 times, 0 own reads stale",
        measured=(
            f"{len(everything)} mutations, {failed} failed, p99 {p99(before):.1f} ms before,"
            f" {p99(everything):.1f} ms during ({slower:.2f}), {len(wrong)} violations"
        ),
        holds=not wrong and failed == 0 and slower <= 3,
        figures={"mutations": len(everything), "failed": failed, "ratio": round(slower, 3)},
        wrong=wrong[:50],
    )


async def postgres(world: World, scale: Scale, *, seed: int) -> Result:
    """Row 7. Restarted as after a crash, again and again."""
    recoveries = []
    async with session(world, "postgres", seed=seed, organizations=ORGANIZATIONS) as made:
        async with beating(made, scale.per_second) as beat:
            pauses = random.Random(seed)
            for _ in range(scale.rounds):
                await beat.during(scale.seconds * pauses.uniform(0.5, 1.5))
                await world.restart("postgres")
                recoveries.append(await _seconds_to(_mutation_done(made)))
        ledger, wrong = await made.judged()
    failed = _failures(made.load.operations)
    return Result(
        row=7,
        promise="after a crash of PostgreSQL everything goes on by itself",
        target=f"{scale.rounds} immediate restarts under load: recovery at most 5 s, I1-I8 hold",
        measured=(
            f"{len(made.load.operations)} mutations, {failed} never done, recovery at most {max(recoveries):.2f} s,"
            f" {len(ledger.log)} events, {len(wrong)} violations"
        ),
        holds=not wrong and failed == 0 and max(recoveries) <= 5,
        figures={
            "mutations": len(made.load.operations),
            "failed": failed,
            "recovery_seconds": [round(each, 2) for each in recoveries],
        },
        wrong=wrong[:50],
    )


def _failures(operations: Sequence[Operation]) -> int:
    """Refused or given up: all the others were done, some after trying again with their key."""
    return sum(each.outcome != "acknowledged" for each in operations)


async def _drained(world: World) -> float:
    """Seconds until nothing that was waiting now waits any more."""
    started = time.monotonic()
    async with asyncio.timeout(120), world.tables() as connection:
        last = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM outbox")
        while await connection.fetchval("SELECT EXISTS (SELECT 1 FROM outbox WHERE seq <= $1)", last):
            await asyncio.sleep(0.05)
    return time.monotonic() - started


async def _seconds_to(work: Awaitable[None]) -> float:
    started = time.monotonic()
    await work
    return time.monotonic() - started


async def _mutation_done(made: Session) -> None:
    async with Client(made.port(), made.load.token, seconds=5) as client:
        await carry_out(made.load, client, made.load.new(made.organizations[0], "configure"))
