"""A module's consumer group: fetch, apply, commit; try again, give up.

Offsets only say where to go on. What counts is the inbox: a record that comes again is known there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from modplane_sdk.dead_letters import STOP_SECONDS, DeadLetters, Record, stop_client
from modplane_sdk.events import AnotherVersion, Event, MalformedEvent, Subscription, Subscriptions, read_event
from modplane_sdk.inbox import Inbox, InboxAway

log = logging.getLogger("modplane_sdk.consumer")

ATTEMPTS = 5
HANDLER_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
RETRY_SECONDS = 1.0
START_SECONDS = 15.0
COMMIT_SECONDS = 5.0
BATCH = 200
# A member that does not fetch for five minutes is put out of its group, and all of the batch would come again.
BATCH_SECONDS = 30.0
CAREFUL_SECONDS = 60.0
FORGET_SECONDS = 3600.0
LOST = (KafkaError, OSError, TimeoutError, InboxAway)
Batches = Mapping[TopicPartition, Sequence[Record]]


@dataclass(frozen=True)
class EventConsumer:
    """`run` goes on until it is cancelled; the transaction under way is rolled back then, and its event comes again."""

    module: str
    subscriptions: Subscriptions
    bootstrap: str
    inbox: Inbox
    replication: int = 1  # of the dead letters' topic, when it has to be made

    async def run(self) -> None:
        """Whatever happens is told in the log, and it goes on."""
        careful_until = 0.0
        while True:
            try:
                await self._consume(careful_until)
            except UnicodeDecodeError as error:
                log.warning("a record that the library cannot read: %r", error)
                careful_until = time.monotonic() + CAREFUL_SECONDS
            except LOST as error:
                log.warning("events wait: %r", error)
            except Exception:
                log.exception("events wait after a fault")
            await asyncio.sleep(RETRY_SECONDS)

    @property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(self.module, self.bootstrap, self.replication)

    async def _consume(self, careful_until: float) -> None:
        """One membership of the group. Raises one of LOST, or UnicodeDecodeError: its place is lost then."""
        await self.inbox.prepare()
        forget_at = time.monotonic() + FORGET_SECONDS
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=self.module,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=10_000,  # a topic that is made later is found within that
            max_poll_records=BATCH,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await consumer.start()
            consumer.subscribe(sorted(self.subscriptions.topics))
            while True:
                is_careful = time.monotonic() < careful_until
                batches = await (self._fetch_carefully(consumer) if is_careful else consumer.getmany(timeout_ms=500))
                await self._apply_all(consumer, batches)
                if time.monotonic() > forget_at:
                    await self.inbox.prepare()
                    forget_at = time.monotonic() + FORGET_SECONDS
        finally:
            await stop_client(consumer, seconds=STOP_SECONDS)

    async def _fetch_carefully(self, consumer: AIOKafkaConsumer) -> Batches:
        """A record of each partition; the one that cannot be read is given up, and passed over.

        A header's name that is no UTF-8 makes the library raise while it unpacks a batch, again and again. Asked for
        one record of one partition, it raises exactly where its position stands.
        """
        found: dict[TopicPartition, Sequence[Record]] = {}
        for partition in consumer.assignment():
            try:
                found |= await consumer.getmany(partition, max_records=1)
            except UnicodeDecodeError as error:
                offset = await consumer.position(partition)
                await self.dead_letters.send(partition, offset, error, attempts=1, record=None)
                consumer.seek(partition, offset + 1)
                await self._commit(consumer, {partition: offset + 1})
        if not found:
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
        return found

    async def _apply_all(self, consumer: AIOKafkaConsumer, batches: Batches) -> None:
        """Partition by partition. What is not applied in time, or while the database is away, is fetched again."""
        enough = time.monotonic() + BATCH_SECONDS
        finished: dict[TopicPartition, int] = {}
        for partition, records in batches.items():
            offset = int(records[0].offset)
            if not finished or time.monotonic() < enough:
                offset = await self._apply_until(records, enough)
            if offset <= records[-1].offset:
                with contextlib.suppress(IllegalStateError):  # it is another's now
                    consumer.seek(partition, offset)
            if offset > records[0].offset:
                finished[partition] = offset
        if finished:
            await self._commit(consumer, finished)

    async def _commit(self, consumer: AIOKafkaConsumer, finished: Mapping[TopicPartition, int]) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(finished)

    async def _apply_until(self, records: Sequence[Record], enough: float) -> int:
        """The offset to go on from: behind the last record, or at the first that has to wait."""
        for record in records:
            try:
                await self._apply(record)
            except LOST as error:
                log.warning("events of %s wait: %r", record.topic, error)
                await asyncio.sleep(RETRY_SECONDS)
                return int(record.offset)
            if time.monotonic() > enough:
                return int(record.offset) + 1
        return int(records[-1].offset) + 1

    async def _apply(self, record: Record) -> None:
        """Raises InboxAway; KafkaError, OSError or TimeoutError when a dead letter cannot be sent."""
        place = TopicPartition(record.topic, record.partition)
        try:
            event = read_event(record.topic, record.headers, record.value)
        except AnotherVersion as other:
            log.info("passed over: %s at %s[%s]@%s", other, record.topic, record.partition, record.offset)
            return
        except MalformedEvent as error:
            await self.dead_letters.send(place, record.offset, error, attempts=1, record=record)
            return
        for subscription in self.subscriptions.of(event, self.module):
            if fault := await self._try(event, subscription):
                await self.dead_letters.send(place, record.offset, fault, attempts=ATTEMPTS, record=record)

    async def _try(self, event: Event, subscription: Subscription) -> Exception | None:
        """The last fault, when all attempts have failed. Raises InboxAway."""
        fault: Exception | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                async with self.inbox.applying(event, subscription) as transaction:
                    if transaction is not None:
                        async with asyncio.timeout(HANDLER_SECONDS):
                            await subscription.handler(event, transaction)
            except InboxAway:
                raise
            except Exception as error:  # noqa: BLE001  # whatever a handler raises
                log.warning("%s could not apply %s: %r", subscription.name, event.id, error)
                fault = error
            else:
                return None
        return fault
