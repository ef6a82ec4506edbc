"""The reactions role: the platform's own consumer group, its dead letters and their replays.

Never holds what follows from a fact (reactions.py) or how a batch is applied (inbox.py).
"""

import asyncio
import logging
import time

from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncEngine

from events.dead_letter_topic import publish_for_ever
from events.delivery import Delivery
from events.group_member import RETRY_SECONDS, GroupMember, RaiseFloors
from events.inbox import Inbox
from events.producer import Producer
from events.replay import replay_for_ever
from events.topics import ensure_topics
from events.watchdog import Stalled, Watchdog, ends_of, is_behind

log = logging.getLogger("modplane.reactions")

STALLED_SECONDS = 30.0
POSITIONS_SECONDS = 5.0
DELIVERY = Delivery()


class Reactions:
    """`run` goes on until it is cancelled, which leaves the group in order; or raises, and the process has to end.

    `stalled_seconds`: how long records may wait while none arrives before it gives itself up. `member`: its membership
    of the group, when it has one.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        engine: AsyncEngine,
        raise_floors: RaiseFloors,
        delivery: Delivery = DELIVERY,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._bootstrap = bootstrap
        self._engine = engine
        self._raise_floors = raise_floors
        self._delivery = delivery
        self._stalled_seconds = stalled_seconds
        self.member: GroupMember | None = None
        self._is_careful = False

    async def run(self) -> None:
        """Raises an exception group of Stalled, or of a RuntimeError when the library does not let go."""
        producer = Producer(self._bootstrap, self._delivery.replication)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._consume_for_ever())
            tasks.create_task(self._watch_for_ever())
            tasks.create_task(publish_for_ever(self._engine, producer))
            tasks.create_task(replay_for_ever(self._engine, self._raise_floors))

    async def _consume_for_ever(self) -> None:
        while True:
            try:
                await self._consume()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("reactions lost their broker: %r", error)
            except UnicodeDecodeError:
                log.warning("a record cannot be read: reactions go on record by record until it is found")
                self._is_careful = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _consume(self) -> None:
        async with asyncio.timeout(10):
            await ensure_topics(self._bootstrap, self._delivery.replication)
        inbox = Inbox(self._engine, kept_days=self._delivery.kept.inbox_days)
        self.member = GroupMember(self._bootstrap, inbox, self._raise_floors, is_careful=self._is_careful)
        self._is_careful = False
        try:
            await self.member.consume()
        finally:
            member, self.member = self.member, None
            await member.leave()

    async def _watch_for_ever(self) -> None:
        watchdog = Watchdog(limit=self._stalled_seconds)
        while True:
            await asyncio.sleep(self._stalled_seconds / 3)
            member = self.member
            if member is None or not member.is_joined or member.is_working:
                watchdog.observe(now=time.monotonic(), heard_at=0, is_behind=None)
                continue
            behind = await self._is_behind(member)
            if watchdog.observe(now=time.monotonic(), heard_at=member.heard_at, is_behind=behind):
                raise Stalled(f"records wait, and none has come for {self._stalled_seconds:.0f} s")

    async def _is_behind(self, member: GroupMember) -> bool | None:
        """None: nobody knows. Only a broker that answers somebody else can show that it is the consumer's fault."""
        try:
            async with asyncio.timeout(POSITIONS_SECONDS):
                positions = await member.positions()
        except (KafkaError, TimeoutError):
            return None
        ends = await ends_of(self._bootstrap, positions) if positions else None
        return None if ends is None else is_behind(positions, ends)
