"""What follows from a fact, in this house: one table. Delivered at least once, applied once per consumer.

Effects on PostgreSQL happen in the transaction that writes the inbox row; effects on Redis after it, and are safe to
repeat.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from events.envelope import Event, MalformedEvent, event_of_record
from events.topics import ensure_topics
from events.types import TOPICS

log = logging.getLogger("modplane.reactions")

CONSUMER = "modplane-reactions"
RETRY_SECONDS = 1.0
COMMIT_SECONDS = 5.0
REQUEST_MS = 12_000  # longer than a group may take to agree, which is the session's ten seconds
STOP_SECONDS = 15.0  # longer than any request

RaiseFloors = Callable[[Mapping[UUID, int]], Awaitable[bool]]

REMEMBER = text(
    "INSERT INTO inbox(consumer, event_id, occurred_at)"
    " SELECT :consumer, * FROM unnest(cast(:ids AS uuid[]), cast(:times AS timestamptz[]))"
    " ON CONFLICT DO NOTHING RETURNING event_id"
)
PARK = text(
    'INSERT INTO dead_event(consumer, event_id, topic, partition, "offset", error_class, error_text, attempts,'
    " first_at, last_at, status) VALUES (:consumer, :id, :topic, :partition, :offset, 'MalformedEvent', :error, 1,"
    " :now, :now, 'parked') ON CONFLICT (consumer, event_id) DO UPDATE SET last_at = :now"
)


class Reactions:
    """The consumer group of the platform itself. `run` goes on until it is cancelled."""

    def __init__(self, *, bootstrap: str, engine: AsyncEngine, raise_floors: RaiseFloors) -> None:
        self._bootstrap = bootstrap
        self._engine = engine
        self._raise_floors = raise_floors
        self.applied = 0

    async def run(self) -> None:
        while True:
            try:
                await self._consume()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("reactions lost their broker: %r", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _consume(self) -> None:
        async with asyncio.timeout(10):
            await ensure_topics(self._bootstrap)
        consumer = AIOKafkaConsumer(
            *TOPICS,
            bootstrap_servers=self._bootstrap,
            group_id=CONSUMER,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,
            request_timeout_ms=REQUEST_MS,
            max_poll_records=500,
        )
        try:
            async with asyncio.timeout(15):
                await consumer.start()
            while True:
                batches = await consumer.getmany(timeout_ms=500)
                for records in batches.values():
                    await self._apply_until_done(records)
                if batches:
                    # best effort: what is read again is known to the inbox
                    with contextlib.suppress(KafkaError):
                        # the library would try for ever when a topic is gone: a new consumer makes it again
                        async with asyncio.timeout(COMMIT_SECONDS):
                            await consumer.commit()
        finally:
            await _stop(consumer)

    async def _apply_until_done(self, records: Sequence[Any]) -> None:
        """A database that is away is waited for; events are never skipped for it."""
        while True:
            try:
                return await self._apply(records)
            except (OSError, TimeoutError) as error:
                log.warning("reactions wait for the database: %r", error)
            except Exception:
                log.exception("reactions wait after a fault")
            await asyncio.sleep(RETRY_SECONDS)

    async def _apply(self, records: Sequence[Any]) -> None:
        events: list[Event] = []
        async with self._engine.begin() as connection:
            for record in records:
                try:
                    events.append(event_of_record(record.headers, record.value))
                except MalformedEvent as error:
                    await connection.execute(PARK, _parked(record, error))
            parameters = {
                "consumer": CONSUMER,
                "ids": [event.id for event in events],
                "times": [event.occurred_at for event in events],
            }
            new = set(await connection.scalars(REMEMBER, parameters)) if events else set()
        self.applied += len(new)
        await self._react(events)

    async def _react(self, events: Sequence[Event]) -> None:
        """After COMMIT. Floors rise for repeated events as well: the first time may have failed."""
        highest: dict[UUID, int] = {}
        for event in events:
            highest[event.organization_id] = max(event.rev, highest.get(event.organization_id, 0))
        if highest:
            await self._raise_floors(highest)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """To its end: half stopped, it would go on sending heartbeats and keep its partitions from its successor."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await consumer.stop()
    except TimeoutError as error:
        raise RuntimeError("the old consumer does not end: this process has to") from error
    except (KafkaError, OSError) as error:
        log.warning("consumer ended with an error: %r", error)


def _parked(record: Any, error: MalformedEvent) -> dict[str, Any]:
    """A foreign record gets an id from where it lies: the same record again gives the same row."""
    return {
        "consumer": CONSUMER,
        "id": uuid5(NAMESPACE_URL, f"{record.topic}/{record.partition}/{record.offset}"),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "error": str(error)[:500],
        "now": datetime.now(UTC),
    }
