"""Migration 0002 on a database that has events, by an owner whom row-level security holds."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest_asyncio
from sqlalchemy import URL

from app.migrate import migrate, role_urls
from events.delivery import Kept
from events.envelope import dataschema_of, source_of, time_text
from events.retention import sweep
from models.ids import new_id
from tests.conftest import Databases
from tests.database.catalogue import connected

OWNER = "plain_owner"
NIL = UUID(int=0)
LOG = (
    "INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev,"
    " company_id, payload, occurred_at)"
    " VALUES ($1, $2, $3, 'module.x', $2::uuid::text, 'tenant.module.x.v1', $4, $3, $5, $6, $7)"
)
QUEUE = "INSERT INTO outbox(shard, organization_id, rev, occurred_at) VALUES (0, $1, $2, $3)"


@pytest_asyncio.fixture
async def old(databases: Databases) -> AsyncIterator[URL]:
    """A database at revision 0001, whose owner is no superuser."""
    url = await databases.create(template="template0")
    async with connected(url) as connection:
        await connection.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER PASSWORD 'x'")
        await connection.execute(f"ALTER DATABASE {url.database} OWNER TO {OWNER}")
    try:
        await migrate(url.set(username=OWNER, password="x"), role_urls(url), revision="0001")
        yield url
    finally:
        async with connected(url) as connection:
            await connection.execute(f"REASSIGN OWNED BY {OWNER} TO CURRENT_USER")
            await connection.execute(f"DROP OWNED BY {OWNER}")
            await connection.execute(f"DROP ROLE {OWNER}")


async def test_events_that_are_there_get_what_debezium_needs(old: URL) -> None:
    organization, company = new_id(), new_id()
    whole = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    rows = [
        (organization, 1, "hr", None, "{}", whole, "hr"),
        (organization, 2, "", company, "{}", whole + timedelta(microseconds=5), str(company)),
        (organization, 3, "", None, '{"payload": {"industry": "retail"}}', whole, str(organization)),
        (NIL, 4, "", None, '{"payload": {"industry": {"code": "retail"}}}', whole, "retail"),
    ]
    async with connected(old) as connection:
        for stream, rev, subject, about, payload, at, _ in rows:
            await connection.execute(LOG, new_id(), stream, rev, subject, about, payload, at)
            await connection.execute(QUEUE, stream, rev, at)
    await upgrade(old)
    async with connected(old) as connection:
        found = await connection.fetch(
            "SELECT rev, subject, specversion, source, time, dataschema FROM event_log ORDER BY rev"
        )
        slots = await connection.fetch("SELECT rev, shard FROM outbox ORDER BY seq")
        assert await unforced(connection) == []
    schema = dataschema_of("tenant.module.x.v1")
    assert [tuple(row) for row in found] == [
        (rev, subject, "1.0", source_of(stream), time_text(at), schema) for stream, rev, _, _, _, at, subject in rows
    ]
    assert [tuple(row) for row in slots] == [(rev, stream.bytes[15] % 64) for stream, rev, *_ in rows]


async def test_retention_works_for_an_owner_whom_the_wall_holds(old: URL) -> None:
    await upgrade(old)
    organization, old_time = new_id(), datetime.now(UTC) - timedelta(days=50)
    async with connected(old) as connection:
        for rev in (1, 2):
            await connection.execute(LOG, new_id(), organization, rev, "hr", None, "{}", old_time)
        await connection.execute(QUEUE, organization, 1, old_time)
    assert not await sweep(role_urls(old).relay, Kept())
    async with connected(old) as connection:
        await connection.execute("DELETE FROM outbox")
    assert (await sweep(role_urls(old).relay, Kept())).stray_events == 2


async def upgrade(url: URL) -> None:
    await migrate(url.set(username=OWNER, password="x"), role_urls(url), revision="0002")


async def unforced(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity")
    return [row[0] for row in rows]
