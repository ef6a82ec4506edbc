"""Applying dead letters again, when an administrator has asked for it (commands/dead_event.py).

The same handlers, in a transaction of their own. The inbox row is there already: what makes a second time harmless is
the revision guard of the effects. Never replays what the relay parked: that goes back to the outbox.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from events.dead_letters import decode_headers, describe
from events.envelope import COLUMNS, Event, MalformedEvent, StoredEvent, event_of_record, event_of_row
from events.inbox import CONSUMER, is_fault_of_event, remember
from events.projection import fold
from events.reactions import changes_of

log = logging.getLogger("modplane.reactions")

POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0

RaiseFloors = Callable[[Mapping[UUID, int]], Awaitable[bool]]

# one at a time: each has its own fate
REQUESTED = text(
    "SELECT event_id, organization_id, rev, headers, value FROM dead_event"
    " WHERE consumer = :consumer AND status = 'replay_requested' ORDER BY first_at LIMIT 1 FOR UPDATE SKIP LOCKED"
)
REPLAYED = text(
    "UPDATE dead_event SET status = 'replayed', attempts = attempts + 1, last_at = now()"
    " WHERE consumer = :consumer AND event_id = :id"
)
FAILED = text(
    "UPDATE dead_event SET status = 'parked', attempts = attempts + 1, last_at = now(), error_class = :error_class,"
    " error_text = :error_text WHERE consumer = :consumer AND event_id = :id"
)
LOGGED = text(
    f"SELECT {COLUMNS} FROM event_log e WHERE e.organization_id = :organization_id AND e.rev = :rev AND e.id = :id"
)


class NothingKept(MalformedEvent):
    """Neither the dead letter nor the event log has what there was."""


async def replay_for_ever(engine: AsyncEngine, raise_floors: RaiseFloors) -> None:
    """Until it is cancelled. A database that is away is tried again."""
    while True:
        try:
            is_done = await replay_next(engine, raise_floors)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("replays wait for the database: %r", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if not is_done:
            await asyncio.sleep(POLL_SECONDS)


async def replay_next(engine: AsyncEngine, raise_floors: RaiseFloors) -> bool:
    """One dead letter, applied or parked again; whether there was one."""
    event: Event | None = None
    async with engine.begin() as connection:
        row = (await connection.execute(REQUESTED, {"consumer": CONSUMER})).one_or_none()
        if row is None:
            return False
        key = {"consumer": CONSUMER, "id": row.event_id}
        try:
            async with connection.begin_nested():
                event = await _event(connection, row)
                await remember(connection, [event])
                await fold(connection, changes_of(event))
            await connection.execute(REPLAYED, key)
        except Exception as error:
            if isinstance(error, SQLAlchemyError | OSError | TimeoutError) and not _is_its_fault(error):
                raise
            log.warning("dead letter %s failed again: %s", row.event_id, type(error).__name__)
            why = {"error_class": type(error).__name__, "error_text": describe(error)}
            await connection.execute(FAILED, {**key, **why})
    if event is not None:
        await raise_floors({event.organization_id: event.rev})
    return True


async def _event(connection: AsyncConnection, row: Any) -> Event:
    """From the record as it was kept; one that was too large to be kept, from the log. Raises MalformedEvent."""
    if row.headers is not None and row.value is not None:
        return event_of_record(decode_headers(row.headers), row.value)
    parameters = {"organization_id": row.organization_id, "rev": row.rev, "id": row.event_id}
    logged = (await connection.execute(LOGGED, parameters)).one_or_none()
    if logged is None:
        raise NothingKept("neither the record nor the event log has it any more")
    return event_of_row(StoredEvent.of(logged))


def _is_its_fault(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and is_fault_of_event(error)
