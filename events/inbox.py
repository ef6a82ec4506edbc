"""Applying records: effects exactly once per consumer, though records come at least once and in any order.

A batch is one transaction: inbox rows, and what follows from those that are new. Never holds where records come from
(consumer.py) or what follows from which event (reactions.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.dead_letters import Expired, Letter, park
from events.envelope import Event, MalformedEvent, event_of_record
from events.failpoints import reach
from events.projection import Adoption, fold
from events.reactions import changes_of

CONSUMER = "modplane-reactions"
# Before each further try of the events that failed, whatever their number: 1.5 s in all, so that many poisonous events
# in one batch hold the others up no longer than one does.
PAUSES = (0.1, 0.2, 0.4, 0.8)
# Data exception, constraint, cardinality. A missing table or right is no fault of an event: it would be the same for
# every one of them, and the whole stream would end among the dead letters.
FAULTS_OF_EVENTS = ("21", "22", "23")

# by id: two processes with the same records wait for each other and do not lock each other out
REMEMBER = text(
    "INSERT INTO inbox(consumer, event_id, occurred_at)"
    " SELECT :consumer, id, at FROM unnest(cast(:ids AS uuid[]), cast(:times AS timestamptz[])) AS seen(id, at)"
    " ORDER BY id ON CONFLICT DO NOTHING RETURNING event_id"
)


@dataclass(frozen=True)
class Read:
    """A record and the event in it."""

    record: Any
    event: Event


@dataclass(frozen=True)
class Unread:
    """A record of which nothing but its place is known."""

    topic: str
    partition: int
    offset: int
    key: None = None
    headers: tuple[()] = ()
    value: None = None


@dataclass(frozen=True)
class Failed:
    """An event that could not be applied, and why."""

    read: Read
    error: Exception


class Inbox:
    """One consumer's. `kept_days`: how long rows are kept, and so how old an event may be."""

    def __init__(self, engine: AsyncEngine, *, kept_days: int) -> None:
        self._engine = engine
        self._kept = timedelta(days=kept_days)

    async def apply(self, records: Sequence[Any]) -> list[Event]:
        """Apply what is new, set aside what can't be; the events that were in the records, repeats included.

        Raises what keeps the database away. Whatever was done then, the same records may come again.
        """
        reads, letters = self._read(records)
        if letters:
            async with self._engine.begin() as connection:
                await park(connection, CONSUMER, letters)
        failed = await self._try(reads)
        for pause in PAUSES:
            if not failed:
                break
            await asyncio.sleep(pause)
            failed = await self._try([each.read for each in failed])
        for each in failed:
            await self._give_up(each)
        return [read.event for read in reads]

    async def pass_over(self, partition: TopicPartition, offset: int, error: Exception) -> None:
        """Set aside a record that the client library cannot read: of it there is only its place."""
        place = Unread(topic=partition.topic, partition=partition.partition, offset=offset)
        async with self._engine.begin() as connection:
            await park(connection, CONSUMER, [Letter(place, error)])

    def _read(self, records: Sequence[Any]) -> tuple[list[Read], list[Letter]]:
        reads, letters = [], []
        oldest = datetime.now(UTC) - self._kept
        for record in records:
            try:
                event = event_of_record(record.headers, record.value)
            except MalformedEvent as error:
                letters.append(Letter(record, error))
                continue
            if event.occurred_at < oldest:
                expired = Expired(f"older than the {self._kept.days} days that the inbox remembers")
                letters.append(Letter(record, expired, event))
            else:
                reads.append(Read(record, event))
        return reads, letters

    async def _try(self, reads: Sequence[Read]) -> list[Failed]:
        """All in one transaction; when the database refuses that for the sake of one event, one by one."""
        good: list[tuple[Read, list[Adoption]]] = []
        failed: list[Failed] = []
        for read in reads:
            try:
                good.append((read, changes_of(read.event)))
            except Exception as error:  # noqa: BLE001  # a handler is pure: whatever it raises is of the event
                failed.append(Failed(read, error))
        try:
            await self._write(good)
        except DBAPIError as error:
            if not is_fault_of_event(error):
                raise
            if len(good) == 1:
                return [*failed, Failed(good[0][0], error)]
            for each in good:
                failed += await self._try([each[0]])
        return failed

    async def _write(self, good: Sequence[tuple[Read, list[Adoption]]]) -> None:
        if not good:
            return
        async with self._engine.begin() as connection:
            new = await remember(connection, [read.event for read, _ in good])
            await fold(connection, [each for read, changes in good if read.event.id in new for each in changes])
            reach("reactions.in_transaction")
        reach("reactions.committed")

    async def _give_up(self, failed: Failed) -> None:
        """The dead letter and the inbox row together: from here on it is the administrators' to replay."""
        event = failed.read.event
        async with self._engine.begin() as connection:
            if await remember(connection, [event]):
                letter = Letter(failed.read.record, failed.error, event, attempts=1 + len(PAUSES))
                await park(connection, CONSUMER, [letter])


async def remember(connection: AsyncConnection, events: Sequence[Event]) -> set[Any]:
    """Write inbox rows; the ids of the events that were not there yet."""
    parameters = {
        "consumer": CONSUMER,
        "ids": [event.id for event in events],
        "times": [event.occurred_at for event in events],
    }
    return set(await connection.scalars(REMEMBER, parameters))


def is_fault_of_event(error: DBAPIError) -> bool:
    """Whether the same event would be refused again, by a database that is well."""
    state = getattr(error.orig, "sqlstate", None) or ""
    # what the driver can't even encode never reaches the server, and has no state
    is_refused_by_driver = isinstance(getattr(error.orig, "__cause__", None), ValueError)
    return state.startswith(FAULTS_OF_EVENTS) or is_refused_by_driver
