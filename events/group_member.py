"""One membership of the consumer group, from joining to leaving: fetch, apply, commit, give back.

Offsets are only a hint where to go on: what counts is the inbox, so a commit may fail and a record may come again.
Never holds what a record means (inbox.py) or what is done when a membership ends (consumer.py).

Two of the library's offers are not taken. Its sticky assignor keeps its state in the class, shared by all consumers of
a process, and there is nothing here worth sticking to: no partition has state in the process. With a group_instance_id
it never leaves the group, so a process that is taken away for good would keep its partitions for a whole session.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from sqlalchemy.exc import SQLAlchemyError

from events.envelope import Event
from events.failpoints import reach
from events.inbox import CONSUMER, Inbox
from events.stopping import stop_client
from events.types import TOPICS

log = logging.getLogger("modplane.reactions")

BATCH = 500
RETRY_SECONDS = 1.0
COMMIT_SECONDS = 5.0
LAST_COMMIT_SECONDS = 2.0  # when giving back: others wait
FINISH_SECONDS = 5.0  # a transaction under way may take this long when partitions are taken away
LEAVE_SECONDS = 2.5  # and this long when the process ends
REQUEST_MS = 12_000  # longer than a group may take to agree, which is the session's ten seconds
# Longer than the few requests that a stop may have to give up, one after the other, while the broker hangs.
STOP_SECONDS = 60.0

RaiseFloors = Callable[[Mapping[UUID, int]], Awaitable[bool]]
Batch = Mapping[TopicPartition, Sequence[Any]]


class GroupMember(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """`consume` goes on until it is cancelled or the broker is lost; then `leave`, once.

    `is_careful`: begin record by record, to find the one that the library could not read.
    """

    def __init__(self, bootstrap: str, inbox: Inbox, raise_floors: RaiseFloors, *, is_careful: bool = False) -> None:
        self._is_careful = is_careful
        self._inbox = inbox
        self._raise_floors = raise_floors
        self._generation = 0  # how often partitions were taken away: what was fetched before is no longer ours
        self._work: asyncio.Task[None] | None = None
        self._finished: dict[TopicPartition, int] = {}  # the next offset of each partition, not yet committed
        self.is_joined = False  # until the group has agreed who has which partition, nobody may fetch
        self.heard_at = time.monotonic()  # when records last came, or were last done with
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=CONSUMER,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,
            request_timeout_ms=REQUEST_MS,
            max_poll_records=BATCH,
        )

    @property
    def is_working(self) -> bool:
        return self._work is not None and not self._work.done()

    async def positions(self) -> dict[TopicPartition, int]:
        """What would be read next of each of our partitions. May wait: the library does not know at once."""
        return {each: await self._consumer.position(each) for each in self._consumer.assignment()}

    async def consume(self) -> None:
        """Raises KafkaError, OSError or TimeoutError when the broker is lost, UnicodeDecodeError for a record that the
        library cannot read: it has lost its place then, and a new, careful member has to go on."""
        async with asyncio.timeout(15):
            await self._consumer.start()
        self._consumer.subscribe(list(TOPICS), listener=self)
        while True:
            if self._is_careful:
                self._is_careful = await self._read_carefully()
            else:
                await self._apply_all(await self._consumer.getmany(timeout_ms=500))

    async def leave(self) -> None:
        """Commit what is done and leave the group, soon. Raises RuntimeError when the library does not let go."""
        is_ending = (task := asyncio.current_task()) is not None and task.cancelling() > 0
        if is_ending:
            await self._settle(LEAVE_SECONDS)
        await stop(self._consumer, seconds=LEAVE_SECONDS if is_ending else STOP_SECONDS, is_last=is_ending)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """The library waits for this before it joins again, and goes on sending heartbeats meanwhile."""
        if revoked:
            reach("reactions.revoking")
        self.is_joined = False
        self._generation += 1
        await self._settle(FINISH_SECONDS)
        self._finished.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.is_joined = True
        self.heard_at = time.monotonic()

    async def _read_carefully(self) -> bool:
        """Record by record; whether there may be more to find.

        A header's name that is no UTF-8 makes the library raise while it unpacks a whole batch, again and again.
        Asked for one record of one partition, it raises exactly where its position stands.
        """
        positions = await self.positions()
        ends = {each: self._consumer.highwater(each) for each in positions}  # None: nothing has been fetched of it yet
        behind = [each for each, end in ends.items() if end is not None and positions[each] < end]
        for partition in behind:
            try:
                while batch := await self._consumer.getmany(partition, timeout_ms=500, max_records=1):
                    await self._apply_all(batch)
            except UnicodeDecodeError as error:
                offset = await self._consumer.position(partition)
                await self._run(self._inbox.pass_over(partition, offset, error))
                self._consumer.seek(partition, offset + 1)
                return False
        if not behind:
            await asyncio.sleep(0.1)
        return bool(behind) or not positions or None in ends.values()

    async def _apply_all(self, batches: Batch) -> None:
        """Partition by partition. A database that is away is waited for; nothing is ever skipped for it."""
        if not batches:
            return
        self.heard_at = time.monotonic()
        reach("reactions.fetched")
        generation = self._generation
        for partition, records in batches.items():
            if generation != self._generation:
                return  # taken away meanwhile: whoever has them now reads them again
            try:
                await self._run(self._apply(partition, records))
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("reactions wait for the database: %r", error)
            except Exception:
                log.exception("reactions wait after a fault")
            else:
                continue
            if generation == self._generation:
                self._put_back(batches)
            await asyncio.sleep(RETRY_SECONDS)
            break
        reach("reactions.before_offsets")
        # The library would try for ever when a topic is gone: a new membership makes it again.
        async with asyncio.timeout(COMMIT_SECONDS):
            await self._commit()
        reach("reactions.offsets_committed")
        self.heard_at = time.monotonic()

    async def _run(self, work: Awaitable[None]) -> None:
        """As a task of its own: being cancelled, or revoked, leaves it the time that _settle gives it."""
        self._work = asyncio.ensure_future(work)
        try:
            await asyncio.shield(self._work)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.warning("a transaction was given up for a rebalance")  # it was cancelled, and not we

    async def _apply(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        events = await self._inbox.apply(records)
        await self._raise(events)
        self._finished[partition] = records[-1].offset + 1

    async def _raise(self, events: Sequence[Event]) -> None:
        """After COMMIT, and for repeated events as well: the first time may have failed."""
        highest: dict[UUID, int] = {}
        for event in events:
            highest[event.organization_id] = max(event.rev, highest.get(event.organization_id, 0))
        if highest:
            await self._raise_floors(highest)

    def _put_back(self, batches: Batch) -> None:
        """Fetch again what was not applied. Fetching on, unlike waiting with it in hand, is how a group sees that a
        member lives: one that does not ask for five minutes is put out."""
        for partition, records in batches.items():
            if partition not in self._finished:
                with contextlib.suppress(IllegalStateError):  # no longer ours
                    self._consumer.seek(partition, records[0].offset)

    async def _commit(self) -> None:
        finished, self._finished = self._finished, {}
        if finished:
            try:
                await self._consumer.commit(finished)
            except KafkaError as error:
                log.info("offsets not committed: %r", error)  # what is read again is known to the inbox

    async def _settle(self, seconds: float) -> None:
        """Let the transaction under way end, or roll it back; then commit the offsets of what is done."""
        if self._work is not None and not self._work.done():
            await asyncio.wait([self._work], timeout=seconds)
            if not self._work.done():
                self._work.cancel()
                await asyncio.wait([self._work], timeout=1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMIT_SECONDS):
                await self._commit()


async def stop(consumer: AIOKafkaConsumer, *, seconds: float, is_last: bool) -> None:
    """To its end: half stopped, it would go on sending heartbeats and keep its partitions from its successor.

    `is_last`: the process ends, and the heartbeats with it.
    """
    try:
        has_stopped = await stop_client(consumer, seconds=seconds)
    except (KafkaError, OSError) as error:
        log.warning("consumer ended with an error: %r", error)
        return
    if not has_stopped and not is_last:
        raise RuntimeError("the old consumer does not end: this process has to")
