"""Row 26: one record in a hundred can't be applied. All others are, all of these are set aside and told of, and
asking for them again and again changes nothing.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.chaos.client import Client
from bench.chaos.load import ERRORS, until_done
from bench.chaos.report import Result
from bench.chaos.session import Session, session
from bench.chaos.world import World
from events.types import DLQ_TOPIC, EventType

Record = tuple[list[tuple[str, bytes]], bytes]
PARKED = "SELECT event_id, attempts, status FROM dead_event WHERE consumer = $1 AND key = ANY($2::bytea[])"
CONSUMER = "modplane-reactions"
REPLAY = f"mutation($input: ReplayDeadEventInput!) {{ done: replayDeadEvent(input: $input) {{ {ERRORS} }} }}"
WAIT_SECONDS = 90.0


@dataclass(frozen=True)
class Scale:
    events: int
    poison: int


FULL, SHORT = Scale(20_000, poison=200), Scale(1_000, poison=10)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    keys = [f"poison-{seed}-{number}".encode() for number in range(scale.poison)]
    async with session(world, "poison", seed=seed, organizations=10) as made:
        told_before = await _told(world)
        poisoning = asyncio.create_task(_poison(world, keys, scale, random.Random(seed)))
        await made.write_until(scale.events)
        await poisoning
        _, wrong = await made.judged()
        parked = await _parked(world, keys, count=scale.poison)
        told = await _told(world) - told_before
        replayed = await _replay_twice(made, keys, [row["event_id"] for row in parked])
        ledger, wrong_after = await made.judged()
    wrong = [*wrong, *wrong_after]
    return Result(
        row=26,
        promise="what can't be applied holds nobody up",
        target=f"{scale.poison} poisonous in {scale.events}: the others applied, these dead letters, replays harmless",
        measured=(
            f"{len(ledger.log)} events applied, {len(parked)} of {scale.poison} parked, {told} told of on the topic,"
            f" {replayed} replays, {len(wrong)} violations"
        ),
        holds=not wrong and len(parked) == scale.poison and told >= scale.poison and replayed == 2 * scale.poison,
        figures={"events": len(ledger.log), "parked": len(parked), "told": told, "replays": replayed},
        wrong=wrong[:50],
    )


async def _poison(world: World, keys: Sequence[bytes], scale: Scale, choice: random.Random) -> None:
    """One after the other, while the good ones flow."""
    kinds = (_truncated, _of_the_future, _without_a_version, _foreign)
    async with AIOKafkaProducer(bootstrap_servers=world.kafka) as producer:
        for number, key in enumerate(keys):
            headers, value = kinds[number % len(kinds)]()
            topic = choice.choice([kind.topic for kind in EventType])
            await producer.send_and_wait(topic, value=value, key=key, headers=headers)
            await asyncio.sleep(0.02)


def _event(kind: str = EventType.ASSIGNED.cloud_event_type, assignment: Any = None) -> Record:
    organization = uuid4()
    body = {
        "organization_id": str(organization),
        "module_id": "poison",
        "user_id": "chaos",
        "payload": {"assignment": assignment, "is_assigned": True},
    }
    headers = {
        "ce_id": str(uuid4()),
        "ce_type": kind,
        "ce_time": datetime.now(UTC).isoformat(),
        "ce_organizationid": str(organization),
        "ce_rev": "1",
    }
    return [(name, text.encode()) for name, text in headers.items()], orjson.dumps(body)


def _truncated() -> Record:
    headers, value = _event()
    return headers, value[: len(value) // 2]


def _of_the_future() -> Record:
    return _event(kind="tenant.module.assigned.v9")


def _without_a_version() -> Record:
    """A sound envelope around a state that no handler can read."""
    return _event(assignment={"module": "poison", "tier": "OPTIONAL", "state": "ACTIVE"})


def _foreign() -> Record:
    return [], b"\x00\xff not ours"


async def _parked(world: World, keys: Sequence[bytes], *, count: int) -> list[Any]:
    rows: list[Any] = []
    try:
        async with asyncio.timeout(WAIT_SECONDS), world.tables() as connection:
            while True:
                rows = await connection.fetch(PARKED, CONSUMER, list(keys))
                if len(rows) >= count and all(row["status"] == "parked" for row in rows):
                    return rows
                await asyncio.sleep(0.2)
    except TimeoutError:
        return rows


async def _told(world: World) -> int:
    """How many dead letters there are on the topic; the ones parked a moment ago are waited for."""
    await asyncio.sleep(3)
    partitions = [TopicPartition(DLQ_TOPIC, number) for number in range(3)]
    async with AIOKafkaConsumer(bootstrap_servers=world.kafka, enable_auto_commit=False) as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return sum(ends.values())


async def _replay_twice(made: Session, keys: Sequence[bytes], ids: Sequence[UUID]) -> int:
    """How many replays were tried and ended among the dead letters again: nothing has been repaired meanwhile."""
    before = {row["event_id"]: row["attempts"] for row in await _parked(made.world, keys, count=len(ids))}
    rows: list[Any] = []
    async with Client(made.port(), made.load.token) as client:
        for number in (1, 2):
            for event_id in ids:
                asked = {"eventId": str(event_id), "consumer": CONSUMER, "idempotencyKey": f"{event_id}-{number}"}
                await until_done(client, REPLAY, {"input": asked})
            rows = await _parked(made.world, keys, count=len(ids))
    return sum(row["attempts"] - before[row["event_id"]] for row in rows)
