"""What the stores hold after a run, as the checker wants it. Never holds a judgement."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from bench.chaos import checker
from bench.chaos.checker import Delivered, Logged
from bench.chaos.history import Heard
from bench.chaos.load import IN_BUNDLE, Load
from bench.chaos.world import World
from events.topics import ensure_topics

QUIET_SECONDS = 60.0
LOG = (
    "SELECT id, organization_id, rev, aggregatetype, modules, occurred_at, payload::text AS body FROM event_log"
    " WHERE organization_id = ANY($1::uuid[]) ORDER BY organization_id, rev"
)
INBOX = (
    "SELECT i.event_id FROM inbox i JOIN event_log e ON e.id = i.event_id AND e.occurred_at = i.occurred_at"
    " WHERE e.organization_id = ANY($1::uuid[])"
)
ASSIGNED = "SELECT organization_id, module_id, version FROM tenant_modules WHERE organization_id = ANY($1::uuid[])"
ADOPTED = (
    "SELECT organization_id, module_id, version FROM module_adoption"
    " WHERE is_assigned AND organization_id = ANY($1::uuid[])"
)
REVISIONS = "SELECT organization_id, rev FROM org_revision WHERE organization_id = ANY($1::uuid[])"
WAITING = (
    "SELECT (SELECT count(*) FROM outbox) AS outbox,"
    " (SELECT count(*) FROM event_log e WHERE e.organization_id = ANY($1::uuid[]) AND NOT EXISTS"
    "   (SELECT 1 FROM inbox i WHERE i.event_id = e.id AND i.occurred_at = e.occurred_at)) AS unapplied,"
    " (SELECT count(*) FROM operations WHERE status IN ('PENDING', 'RUNNING')) AS operations"
)

Position = Mapping[TopicPartition, int]


@dataclass(frozen=True)
class Ledger:
    """Everything about some organizations."""

    log: list[Logged]
    revisions: Mapping[str, int]
    inbox: list[UUID]
    delivered: list[Delivered]
    assigned: Mapping[tuple[str, str], str]
    adopted: Mapping[tuple[str, str], str]

    def violations(self, load: Load, subscribers: Collection[Heard] = ()) -> list[str]:
        """All that is wrong: I1 to I8, and the order on the broker."""
        return [
            *checker.acknowledged(load.operations, self.log),
            *checker.published(self.log, self.delivered),
            *checker.applied(self.log, self.inbox),
            *checker.heard(subscribers, self.revisions),
            *checker.numbered(self.log, self.revisions),
            *checker.undecided(load.operations, self.log, bundle=IN_BUNDLE),
            *checker.in_time(load.reads),
            *checker.folded(self.log, self.assigned, what="tenant_modules"),
            *checker.folded(self.log, self.adopted, what="module_adoption"),
        ]


async def positions(world: World) -> Position:
    """The end of every partition now: where a later reading begins."""
    async with asyncio.timeout(QUIET_SECONDS):
        while (partitions := await _partitions(world)) is None:
            await asyncio.sleep(0.2)
    async with AIOKafkaConsumer(bootstrap_servers=world.kafka, enable_auto_commit=False) as consumer:
        ends: Position = await consumer.end_offsets(partitions)
        return ends


async def _partitions(world: World) -> list[TopicPartition] | None:
    """None: a broker hears of new topics a moment after it has promised them."""
    try:
        return await ensure_topics(world.kafka)
    except KafkaError:
        return None


async def quiet(world: World, organizations: Collection[str], *, seconds: float = QUIET_SECONDS) -> None:
    """Wait until nothing is on its way. Raises RuntimeError with what still is."""
    ids = [UUID(each) for each in organizations]
    waiting = None
    try:
        async with asyncio.timeout(seconds), world.tables() as connection:
            while True:
                waiting = dict(await connection.fetchrow(WAITING, ids))
                if not any(waiting.values()):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise RuntimeError(f"not quiet after {seconds:g} s: {waiting}") from None


async def read_ledger(world: World, organizations: Collection[str], *, since: Position) -> Ledger:
    ids = [UUID(each) for each in organizations]
    async with world.tables() as connection:
        log = [
            Logged(
                id=UUID(str(row["id"])),
                organization=str(row["organization_id"]),
                rev=row["rev"],
                kind=row["aggregatetype"],
                modules=tuple(row["modules"]),
                moment=row["occurred_at"],
                payload=orjson.loads(row["body"]),
            )
            for row in await connection.fetch(LOG, ids)
        ]
        revisions = {str(row["organization_id"]): row["rev"] for row in await connection.fetch(REVISIONS, ids)}
        inbox = [UUID(str(row["event_id"])) for row in await connection.fetch(INBOX, ids)]
        assigned, adopted = [_versions(await connection.fetch(query, ids)) for query in (ASSIGNED, ADOPTED)]
    delivered = await _delivered(world, set(organizations), since)
    return Ledger(log, revisions, inbox, delivered, assigned, adopted)


def _versions(rows: Iterable[Any]) -> dict[tuple[str, str], str]:
    return {(str(row["organization_id"]), row["module_id"]): row["version"] for row in rows}


async def _delivered(world: World, organizations: set[str], since: Position) -> list[Delivered]:
    """Every record of these organizations between a position and now."""
    return [
        _record(record.headers, record.key.decode(), (part.topic, part.partition))
        async for part, record in records_between(world, since)
        if record.key.decode() in organizations
    ]


async def records_between(world: World, since: Position) -> AsyncIterator[tuple[TopicPartition, Any]]:
    """Every record that was there between a position and now, with its partition; as any consumer reads them."""
    async with AIOKafkaConsumer(
        bootstrap_servers=world.kafka, enable_auto_commit=False, max_partition_fetch_bytes=1 << 23
    ) as consumer:
        ends = {part: end for part, end in (await consumer.end_offsets(list(since))).items() if end > since[part]}
        consumer.assign(list(ends))
        for part in ends:
            consumer.seek(part, since[part])
        left = set(ends)
        while left:
            for part, records in (await consumer.getmany(timeout_ms=500, max_records=5_000)).items():
                for record in records:
                    yield part, record
                if records[-1].offset + 1 >= ends[part]:
                    left.discard(part)


def _record(headers: list[tuple[str, bytes]], organization: str, partition: tuple[str, int]) -> Delivered:
    known = dict(headers)
    return Delivered(UUID(known["ce_id"].decode()), organization, int(known["ce_rev"]), partition)
