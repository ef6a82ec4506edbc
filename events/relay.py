"""From the outbox to Kafka: at least once, in the order of commits, one leader at a time. Crash-only.

Whatever goes wrong, the producer is thrown away and the outbox read again: a row is deleted only after the broker
has acknowledged it, so a crash can repeat an event but never lose one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnsupportedVersionError
from sqlalchemy import URL

from events.envelope import COLUMNS, StoredEvent, message_of
from events.topics import ensure_topics
from events.wakeup import CHANNEL
from models.database import direct

log = logging.getLogger("modplane.relay")

BATCH = 500
POLL_SECONDS = 0.25
ACK_SECONDS = 30.0
TRUST_SECONDS = 3.0  # a leader that could not prove its lock for this long must not publish
CANDIDATE_SECONDS = 1.0
PARTITIONS_EVERY_SECONDS = 3600.0

# How asyncpg says that a session is gone; InternalClientError when it is cut between two of its messages.
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# limit first, then join: the flat form sorts the whole backlog
PENDING = f"""
SELECT o.seq, {COLUMNS} FROM (SELECT * FROM outbox WHERE shard = $1 ORDER BY seq LIMIT {BATCH}) o
  JOIN event_log e USING (organization_id, rev, occurred_at) ORDER BY o.seq
"""
SENT = "DELETE FROM outbox WHERE seq = ANY($1::bigint[])"
PARK = """
INSERT INTO dead_event(consumer, event_id, organization_id, rev, topic, error_class, error_text, attempts, first_at,
                       last_at, status)
VALUES ('relay', $1, $2, $3, $4, $5, $6, 1, $7, $7, 'parked') ON CONFLICT (consumer, event_id) DO NOTHING
"""
LEAD = "SELECT pg_try_advisory_lock(hashtext('modplane.relay'), $1)"


@dataclass(frozen=True)
class RelaySettings:
    url: URL
    bootstrap: str
    shard: int = 0


class Relay:
    """One shard's relay. `run` goes on until it is cancelled; only the holder of the shard's lock publishes."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._woken = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._lead_until_lost()
            except LOST as error:
                log.warning("relay lost its database: %r", error)
                await asyncio.sleep(CANDIDATE_SECONDS)
            finally:
                await self._drop_producer()

    async def _lead_until_lost(self) -> None:
        connection = await connect(self._settings.url)
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._woken.set())
            while not await connection.fetchval(LEAD, self._settings.shard):
                await asyncio.sleep(CANDIDATE_SECONDS)
            log.info("relay leads shard %s", self._settings.shard)
            partitions_due = 0.0
            while True:
                if time.monotonic() >= partitions_due:
                    await connection.fetchval("SELECT ensure_event_partitions(7)")
                    partitions_due = time.monotonic() + PARTITIONS_EVERY_SECONDS
                if await self._publish_pending(connection) < BATCH:
                    await self._rest()
        finally:
            # a connection that hangs must not hold the lock's heir up
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2):
                    await connection.close()
            connection.terminate()

    async def _rest(self) -> None:
        # everywhere here timeout() and not wait_for(), which in Python 3.11 may swallow a cancellation
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        self._woken.clear()

    async def _publish_pending(self, connection: asyncpg.Connection) -> int:
        """Publish one batch; returns how many rows were there."""
        asked_at = time.monotonic()
        rows = await connection.fetch(PENDING, self._settings.shard, timeout=TRUST_SECONDS)
        if not rows:
            return 0
        try:
            producer = await self._connected_producer()
            if time.monotonic() - asked_at > TRUST_SECONDS:
                return BATCH  # connecting took too long to still trust the lock: read again
            async with asyncio.timeout(ACK_SECONDS):
                acked = await self._send(producer, connection, rows)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("broker not reached, %d events wait: %r", len(rows), error)
            await self._drop_producer()
            await asyncio.sleep(POLL_SECONDS)
            return 0
        if acked:
            await connection.execute(SENT, acked)
        if len(acked) < len(rows):
            await self._drop_producer()
        return len(acked)

    async def _send(self, producer: AIOKafkaProducer, connection: asyncpg.Connection, rows: Sequence[Any]) -> list[int]:
        """Send in order, then wait for all acknowledgements; the seqs of the rows that are done with."""
        acks: dict[int, asyncio.Future[Any]] = {}
        events = {row["seq"]: _stored(row) for row in rows}
        done: list[int] = []
        for row in rows:
            message = message_of(events[row["seq"]])
            try:
                acks[row["seq"]] = await producer.send(
                    message.topic, value=message.value, key=message.key, headers=list(message.headers)
                )
            except MessageSizeTooLargeError as error:
                await _park(connection, events[row["seq"]], error)
                done.append(row["seq"])
        results = await asyncio.gather(*acks.values(), return_exceptions=True)
        for seq, result in zip(acks, results, strict=True):
            if isinstance(result, MessageSizeTooLargeError):
                await _park(connection, events[seq], result)
                done.append(seq)
            elif not isinstance(result, BaseException):
                done.append(seq)
            else:
                log.warning("event not acknowledged: %r", result)
        return done

    async def _connected_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            async with asyncio.timeout(10):
                await ensure_topics(self._settings.bootstrap)
            self._producer = await _start_producer(self._settings.bootstrap)
        return self._producer

    async def _drop_producer(self) -> None:
        """Never flush: stop() of a producer whose broker is gone may wait for ever."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2):
                    await producer.stop()


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(**{name: row[name] for name in StoredEvent.__dataclass_fields__})


async def _park(connection: asyncpg.Connection, event: StoredEvent, error: Exception) -> None:
    """Set a poisonous event aside. Consumers see the gap in rev; the log still has it."""
    log.error("event %s can never be sent: %r", event.id, error)
    topic = message_of(event).topic
    now = datetime.now(UTC)
    text = str(error)[:500]
    await connection.execute(PARK, event.id, event.organization_id, event.rev, topic, type(error).__name__, text, now)


async def _start_producer(bootstrap: str) -> AIOKafkaProducer:
    """Idempotent where the broker knows how; a broker that does not only costs repeats, which consumers drop."""
    for enable_idempotence in (True, False):
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=enable_idempotence,
            linger_ms=5,
            max_batch_size=128 * 1024,
            request_timeout_ms=10_000,
        )
        try:
            async with asyncio.timeout(10):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2):
                    await producer.stop()
            if not enable_idempotence or isinstance(error, UnsupportedVersionError):
                raise
            continue
        return producer
    raise AssertionError("unreachable: the second round returns or raises")


async def connect(url: URL) -> asyncpg.Connection:
    """A direct connection, outside any pool: advisory locks and LISTEN belong to a session."""
    return await asyncpg.connect(
        **direct(url),
        timeout=5,
        server_settings={
            "application_name": "modplane-relay",
            "tcp_keepalives_idle": "5",
            "tcp_keepalives_interval": "2",
            "tcp_keepalives_count": "3",
            "statement_timeout": "30s",
        },
    )
