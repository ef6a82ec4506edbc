"""A database that is away, or refuses everything: events wait for it, none becomes a dead letter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from app.migrate import connect_owner
from events.inbox import CONSUMER
from tests.live.conftest import Live
from tests.live.records import adopted, assigned, put
from tests.live.tables import column, execute

WAITING = "reactions wait for the database"
COUNT = "SELECT count(*) FROM dead_event WHERE consumer = $1"


@asynccontextmanager
async def unreachable(live: Live) -> AsyncIterator[None]:
    """Every connection is cut, and no new one is let in."""
    name = live.database.database
    server: asyncpg.Connection = await connect_owner(live.database.set(database="postgres"))
    try:
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
    finally:
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await server.close()


@asynccontextmanager
async def without_right(live: Live) -> AsyncIterator[None]:
    """As after a deployment whose migration did not run: the same for every event, and so no event's fault."""
    await execute(live.database, "REVOKE INSERT ON module_adoption FROM modplane_relay")
    try:
        yield
    finally:
        await execute(live.database, "GRANT INSERT ON module_adoption TO modplane_relay")


@asynccontextmanager
async def locked(live: Live) -> AsyncIterator[None]:
    """Somebody sits on the table for longer than a lock is waited for."""
    session: asyncpg.Connection = await connect_owner(live.database)
    try:
        async with session.transaction():
            await session.execute("LOCK TABLE module_adoption IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await session.close()


@pytest.mark.parametrize("outage", [unreachable, without_right, locked])
async def test_events_wait_for_the_database_and_none_is_given_up(
    live: Live, outage: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(outage)
    organization = str(uuid4())
    await put(live.kafka, assigned(organization, "before", 1))
    assert await adopted(live.database, organization, until="before") == ["before"]
    parked = await column(live.database, COUNT, CONSUMER)
    async with outage(live):
        await put(live.kafka, *[assigned(organization, f"during-{n}", n + 2) for n in range(3)])
        async with asyncio.timeout(60):  # they are tried, and tried again
            while sum(WAITING in each.message for each in caplog.records) < 2:
                await asyncio.sleep(0.05)
    await put(live.kafka, assigned(organization, "later", 9))
    await adopted(live.database, organization, until="later")
    assert await adopted(live.database, organization, until="during-2") == [
        "before",
        "during-0",
        "during-1",
        "during-2",
        "later",
    ]
    assert await column(live.database, COUNT, CONSUMER) == parked
