"""The live stream of one API process: a tail of Kafka without a group, fanned out to the taps of subscribers.

The tail is only the fast path. What it misses, a tap's owner finds in the event log: by a gap in rev, when it is told
that it is behind, or because the sweep saw that its organization has moved on.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from events.delivery import Replication
from events.envelope import Event, MalformedEvent, event_of_record
from events.stopping import stop_client
from events.topics import ONE_REPLICA, ensure_topics

log = logging.getLogger("modplane.live")

QUEUE_MAX = 64
QUEUE_BYTES_MAX = 262_144
# Readers of the log at a time, of all streams of a process: after a broker's restart they all come at once, and a
# pool they had drained would keep queries waiting.
CATCHING_UP_MAX = 4
SWEEP_SECONDS = 5.0
# An event ends either wait at once. Both together are how old the tail is known to be whole at most, which has to stay
# below a second (cache/local.py); and a question of fifty partitions every 100 ms was a fifteenth of a busy process.
IDLE_MILLISECONDS = 300
WAIT_MILLISECONDS = 300
SEEN_MAX = 50_000  # streams: more than have an event within the two seconds that a process keeps values for
RECONNECT_SECONDS = 0.5

RevisionsOf = Callable[[Collection[UUID]], Awaitable[Mapping[UUID, int]]]


class Tap:
    """One stream's bounded queue. When it overflows, its content is dropped and the log is the way on."""

    def __init__(self) -> None:
        self.delivered = 0  # the last rev that the owner has passed on
        self._queue: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._is_behind = False
        self._changed = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Nothing to take and nothing missed: its owner would have to wait."""
        return not self._queue and not self._is_behind

    def put(self, event: Event, size: int = 0) -> None:
        """`size`: the event's bytes on the wire, which stand for those in memory."""
        if self._is_behind:
            return
        if len(self._queue) >= QUEUE_MAX or (self._queue and self._bytes + size > QUEUE_BYTES_MAX):
            self.fall_behind()
            return
        self._queue.append((event, size))
        self._bytes += size
        self._changed.set()

    def fall_behind(self) -> None:
        self._queue.clear()
        self._bytes = 0
        self._is_behind = True
        self._changed.set()

    async def take(self) -> Event | None:
        """The next event, or None: read the log, then go on taking."""
        while True:
            if self._is_behind:
                self._is_behind = False
                return None
            if self._queue:
                event, size = self._queue.popleft()
                self._bytes -= size
                return event
            self._changed.clear()
            await self._changed.wait()


class LiveStream:
    """Feeds taps from Kafka. `run` goes on until it is cancelled."""

    def __init__(self, bootstrap: str, revisions_of: RevisionsOf, replication: Replication = ONE_REPLICA) -> None:
        self._bootstrap = bootstrap
        self._replication = replication
        self._revisions_of = revisions_of
        self._taps: dict[UUID | None, set[Tap]] = {}
        self.catching_up = asyncio.Semaphore(CATCHING_UP_MAX)
        self._seen: OrderedDict[UUID, int] = OrderedDict()
        self._whole_until = -math.inf  # by the monotonic clock

    @contextmanager
    def tap(self, organization_id: UUID | None) -> Iterator[Tap]:
        """Listen to one organization, or with None to everything."""
        tap = Tap()
        self._taps.setdefault(organization_id, set()).add(tap)
        try:
            yield tap
        finally:
            listeners = self._taps[organization_id]
            listeners.discard(tap)
            if not listeners:
                del self._taps[organization_id]

    def last_seen(self, organization_id: UUID) -> int:
        """The last rev that the tail has seen of a stream; 0: none lately."""
        return self._seen.get(organization_id, 0)

    def age(self) -> float:
        """For how many seconds the tail may have missed something."""
        return time.monotonic() - self._whole_until

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tail_for_ever())
            tasks.create_task(self._sweep_for_ever())

    async def _tail_for_ever(self) -> None:
        while True:
            try:
                await self._tail()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("live tail lost its broker: %r", error)
            except UnicodeDecodeError as error:
                # a header's name that is no text: the library can't go past it, a new tail begins behind it
                log.warning("live tail met a record that can't be read: %r", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _tail(self) -> None:
        async with asyncio.timeout(10):
            partitions = await ensure_topics(self._bootstrap, self._replication)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=WAIT_MILLISECONDS,
            max_poll_records=500,
        )
        try:
            async with asyncio.timeout(10):
                await consumer.start()
            consumer.assign(partitions)
            async with asyncio.timeout(10):
                await consumer.seek_to_end()
            # what was said between the last tail and this one is in the log
            self._all_fall_behind()
            while True:
                for records in (await consumer.getmany(timeout_ms=IDLE_MILLISECONDS)).values():
                    for record in records:
                        self._deliver(record.headers, record.value)
                self._note_age(consumer, partitions)
        finally:
            with contextlib.suppress(Exception):
                await stop_client(consumer, seconds=2)

    def _note_age(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        """The brokers answer each fetch within `fetch_max_wait_ms`, also when there is nothing."""
        polled = min(consumer.last_poll_timestamp(each) or 0 for each in partitions)
        self._whole_until = time.monotonic() - max(0.0, time.time() - polled / 1000)

    def _deliver(self, headers: list[tuple[str, bytes]], value: bytes | None) -> None:
        try:
            event = event_of_record(headers, value)
        except MalformedEvent as error:
            log.warning("record passed over: %s", error)
            return
        self._seen[event.organization_id] = max(event.rev, self._seen.pop(event.organization_id, 0))
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        for listeners in (self._taps.get(event.organization_id), self._taps.get(None)):
            for tap in tuple(listeners or ()):
                tap.put(event, len(value or b""))

    def _all_fall_behind(self) -> None:
        for listeners in self._taps.values():
            for tap in listeners:
                tap.fall_behind()

    async def _sweep_for_ever(self) -> None:
        """Every few seconds, one statement for all organizations that are listened to: has anybody missed something?

        Twice in a row, so that an event on its way through the relay is not taken for a lost one.
        """
        suspected: dict[UUID, int] = {}
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            listened = [organization_id for organization_id in self._taps if organization_id is not None]
            try:
                revisions = await self._revisions_of(listened) if listened else {}
            except Exception as error:  # noqa: BLE001  # whatever keeps the database away, the next sweep tries again
                log.warning("sweep failed: %r", error)
                continue
            for organization_id, rev in suspected.items():
                for tap in self._taps.get(organization_id, ()):
                    if tap.delivered < rev:
                        tap.fall_behind()
            suspected = dict(revisions)
