"""From the outbox to Kafka: at least once, in the order of commits, one leader at a time. Crash-only.

Whatever goes wrong, the producer is thrown away and the outbox read again: a row is deleted only after the broker
has acknowledged it, so a crash can repeat an event but never lose one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from sqlalchemy import URL

from events.delivery import Delivery
from events.envelope import COLUMNS, StoredEvent, message_of
from events.failpoints import reach, reach_during
from events.leadership import CANDIDATE_SECONDS, LOST, Leadership, lead, slots_of
from events.producer import Producer
from events.retention import run_retention

T = TypeVar("T")
log = logging.getLogger("modplane.relay")

BATCH = 500
POLL_SECONDS = 0.25
ACK_SECONDS = 30.0
FINISH_SECONDS = 2.0
LAG_SECONDS_MAX = 30.0

# limit first, then join: the flat form sorts the whole backlog
PENDING = f"""
SELECT o.seq, {COLUMNS} FROM (SELECT * FROM outbox WHERE shard = ANY($1::smallint[]) ORDER BY seq LIMIT {BATCH}) o
  JOIN event_log e USING (organization_id, rev, occurred_at) ORDER BY o.seq
"""
SENT = "DELETE FROM outbox WHERE seq = ANY($1::bigint[])"
PARK = """
INSERT INTO dead_event(consumer, event_id, organization_id, rev, topic, error_class, error_text, attempts, first_at,
                       last_at, status)
VALUES ('relay', $1, $2, $3, $4, $5, $6, 1, $7, $7, 'parked') ON CONFLICT (consumer, event_id) DO UPDATE
  SET status = 'parked', attempts = dead_event.attempts + 1, last_at = excluded.last_at, published_at = NULL
"""


@dataclass(frozen=True)
class RelaySettings:
    """`shard`: which of the `delivery.shards` relays this is, from 0."""

    url: URL
    bootstrap: str
    delivery: Delivery = field(default_factory=Delivery)
    shard: int = 0


class Relay:
    """One shard's relay. `run` goes on until it is cancelled; only the holder of the shard's locks publishes."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._slots = slots_of(settings.shard, settings.delivery.shards)
        self._woken = asyncio.Event()
        self._producer = Producer(settings.bootstrap, settings.delivery.replication)
        self._warned_at = -LAG_SECONDS_MAX

    async def run(self) -> None:
        while True:
            try:
                await self._lead_until_lost()
            except LOST as error:
                log.warning("relay lost its database: %r", error)
                await asyncio.sleep(CANDIDATE_SECONDS)
            finally:
                await self._producer.drop()

    async def _lead_until_lost(self) -> None:
        async with lead(self._settings.url, self._slots, self._woken) as leadership, self._retention():
            log.info("relay leads shard %s of %s", self._settings.shard, self._settings.delivery.shards)
            while True:
                if not await self._publish_pending(leadership):
                    await self._rest()

    @asynccontextmanager
    async def _retention(self) -> AsyncIterator[None]:
        """Beside the first shard's publishing, on a session of its own: nothing there holds events up."""
        tasks = []
        if self._settings.shard == 0:
            tasks.append(asyncio.create_task(run_retention(self._settings.url, self._settings.delivery.kept)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                await asyncio.wait([task], timeout=FINISH_SECONDS)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        self._woken.clear()

    async def _publish_pending(self, leadership: Leadership) -> bool:
        """Publish one batch; returns whether to go on at once. Raises what LOST lists."""
        rows = await leadership.fetch(PENDING, self._slots)
        if not rows:
            return False
        reach("relay.read")
        self._warn_of_lag(rows[0]["occurred_at"])
        try:
            if not self._producer.is_connected:
                await leadership.while_proving(self._producer.connect())
                return True  # which took its time: read again
            done = await _finished(self._deliver(leadership, rows))
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("broker not reached, %d events wait: %r", len(rows), error)
            await self._producer.drop()
            return False
        return done == len(rows) or not leadership.is_trusted

    async def _deliver(self, leadership: Leadership, rows: Sequence[Any]) -> int:
        """Send in order, wait for the acknowledgements, delete; how many rows are done with."""
        events = {row["seq"]: _stored(row) for row in rows}
        outcomes, acks = await self._send(leadership, events)
        reach("relay.sent")
        async with asyncio.timeout(ACK_SECONDS):
            results = await leadership.while_proving(_all_of(list(acks.values())))
        reach("relay.acked")
        outcomes |= dict(zip(acks, results, strict=True))
        done = await _settle(leadership, events, outcomes)
        # No trust is needed here. The session that deletes is the one that holds the locks: had it lost them, it would
        # be gone. And what is deleted has been acknowledged, whoever leads by now.
        if done:
            await reach_during("relay.deleting", leadership.fetch(SENT, done))
            reach("relay.deleted")
        if len(done) < len(outcomes):
            await self._producer.drop()
        return len(done)

    async def _send(
        self, leadership: Leadership, events: dict[int, StoredEvent]
    ) -> tuple[dict[int, object], dict[int, "asyncio.Future[object]"]]:
        """Hand over to the producer, as long as we may: what can never be sent, and the acknowledgements to come."""
        refused: dict[int, object] = {}
        acks: dict[int, asyncio.Future[object]] = {}
        for seq, event in events.items():
            if not leadership.is_trusted:
                log.warning("relay was held up, and reads again")
                break
            try:
                acks[seq] = await self._producer.send(message_of(event))
            except MessageSizeTooLargeError as error:
                refused[seq] = error
        return refused, acks

    def _warn_of_lag(self, oldest: datetime) -> None:
        seconds, now = (datetime.now(UTC) - oldest).total_seconds(), time.monotonic()
        if seconds > LAG_SECONDS_MAX and now - self._warned_at >= LAG_SECONDS_MAX:
            self._warned_at = now
            log.warning("the oldest event has waited for %.0f s", seconds)


async def run_relays(url: URL, bootstrap: str, delivery: Delivery) -> None:
    """The relay's role: one relay for each shard, or with Debezium in their place only what it does not do."""
    if not delivery.has_relay:
        await run_retention(url, delivery.kept)
        return
    async with asyncio.TaskGroup() as relays:
        for shard in range(delivery.shards):
            relays.create_task(Relay(RelaySettings(url, bootstrap, delivery, shard)).run())


async def _finished(work: Any) -> int:
    """Told to end in the middle of a batch, a leader finishes it if that takes no more than a moment."""
    task: asyncio.Task[int] = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=FINISH_SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=FINISH_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # seen: whoever leads next reads what is left
        raise


async def _all_of(acks: Sequence["asyncio.Future[object]"]) -> list[object]:
    return await asyncio.gather(*acks, return_exceptions=True)


async def _settle(leadership: Leadership, events: dict[int, StoredEvent], outcomes: dict[int, object]) -> list[int]:
    """The seqs that are done with, poisonous ones set aside. After a failure an organization's later events are not:
    they go again behind the one that failed, so that whoever reads to the end has them in order."""
    done: list[int] = []
    failed = set()
    for seq in sorted(outcomes):
        event, outcome = events[seq], outcomes[seq]
        if isinstance(outcome, MessageSizeTooLargeError):
            await _park(leadership, event, outcome)
        elif isinstance(outcome, BaseException):
            log.warning("event not acknowledged: %r", outcome)
            failed.add(event.organization_id)
        if event.organization_id not in failed:
            done.append(seq)
    return done


async def _park(leadership: Leadership, event: StoredEvent, error: Exception) -> None:
    """Set a poisonous event aside. Consumers see the gap in rev; the log still has it."""
    log.error("event %s can never be sent: %r", event.id, error)
    topic, now, text = message_of(event).topic, datetime.now(UTC), str(error)[:500]
    name = type(error).__name__
    await leadership.fetch(PARK, event.id, event.organization_id, event.rev, topic, name, text, now)


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(**{name: row[name] for name in StoredEvent.__dataclass_fields__})
