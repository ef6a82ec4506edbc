"""Telling others of dead letters: the rows that were not told of yet, to one topic in Kafka.

At least once, and in no order: a row is marked after the broker has acknowledged it. Never decides what is a dead
letter, and nothing in this house waits for the topic.
"""

import asyncio
import logging
from typing import Any, cast

from aiokafka.errors import KafkaError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.dead_letters import decode_headers
from events.envelope import COLUMNS, Headers, Message, StoredEvent, message_of
from events.producer import Producer
from events.types import DLQ_TOPIC

log = logging.getLogger("modplane.reactions")

BATCH = 100
POLL_SECONDS = 1.0
RETRY_SECONDS = 5.0
ACK_SECONDS = 5.0  # less than idle_in_transaction_session_timeout: the rows stay locked meanwhile

# rows that another process is telling of are left to it
UNPUBLISHED = text(
    'SELECT consumer, event_id, organization_id, rev, topic, partition, "offset", error_class, attempts, key, headers,'
    f" value FROM dead_event WHERE published_at IS NULL ORDER BY first_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
)
PUBLISHED = text(
    "UPDATE dead_event SET published_at = now()"
    " FROM unnest(cast(:consumers AS text[]), cast(:ids AS uuid[])) AS told(consumer, id)"
    " WHERE dead_event.consumer = told.consumer AND event_id = told.id"
)
LOGGED = text(f"SELECT {COLUMNS} FROM event_log e WHERE e.organization_id = :organization_id AND e.rev = :rev")


async def publish_for_ever(engine: AsyncEngine, producer: Producer) -> None:
    """Until it is cancelled. A broker or a database that is away is tried again."""
    try:
        while True:
            pause = POLL_SECONDS
            try:
                if await publish_pending(engine, producer) == BATCH:
                    pause = 0.0
            except (KafkaError, SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("dead letters are told of later: %r", error)
                await producer.drop()
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)
    finally:
        await producer.drop()


async def publish_pending(engine: AsyncEngine, producer: Producer) -> int:
    """One batch; how many letters were told of. Raises what keeps broker or database away."""
    if not producer.is_connected:
        async with engine.connect() as connection:
            if not await connection.scalar(text("SELECT EXISTS (SELECT FROM dead_event WHERE published_at IS NULL)")):
                return 0
        await producer.connect()
    async with engine.begin() as connection:
        rows = (await connection.execute(UNPUBLISHED)).all()
        messages = [await _message(connection, row) for row in rows]
        async with asyncio.timeout(ACK_SECONDS):
            await asyncio.gather(*[await producer.send(message) for message in messages])
        if rows:
            told = {"consumers": [row.consumer for row in rows], "ids": [row.event_id for row in rows]}
            await connection.execute(PUBLISHED, told)
    return len(rows)


async def _message(connection: AsyncConnection, row: Any) -> Message:
    """The record as it was, and why it is here. What the relay could not send comes without its value."""
    key, headers = row.key, [] if row.headers is None else decode_headers(row.headers)
    if row.headers is None and row.organization_id is not None:
        key, headers = await _logged(connection, row)
    told = {
        "dlq_consumer": row.consumer,
        "dlq_topic": row.topic,
        "dlq_partition": row.partition,
        "dlq_offset": row.offset,
        "dlq_error_class": row.error_class,
        "dlq_attempts": row.attempts,
    }
    why = [(name, str(value).encode()) for name, value in told.items() if value is not None]
    # Records may lack a key or a value, though our own events have both; the library asserts that one of them is there.
    value = b"" if key is None and row.value is None else row.value
    return Message(DLQ_TOPIC, key=cast(bytes, key), value=cast(bytes, value), headers=[*headers, *why])


async def _logged(connection: AsyncConnection, row: Any) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Key and headers as the relay would have sent them, as long as the log has the event."""
    parameters = {"organization_id": row.organization_id, "rev": row.rev}
    logged = (await connection.execute(LOGGED, parameters)).one_or_none()
    if logged is None or logged.id != row.event_id:
        return None, []
    headers: Headers = message_of(StoredEvent.of(logged)).headers
    return str(row.organization_id).encode(), list(headers)
