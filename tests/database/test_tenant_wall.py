"""Behind the wall: a raw session of the application's role sees one organization's rows, or none at all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text

from tests.database.catalogue import connected, list_tenant_tables
from tests.support.platform import Platform
from tests.support.stories import assign, create_company, register, set_company_config, set_config, sign_up, unique

SET = "SELECT set_config('app.organization_id', $1, true)"
OPERATION = """WITH made AS (
  INSERT INTO operations(organization_id, id, kind, status, request, requested_by, total)
  VALUES (cast(:organization AS uuid), gen_random_uuid(), 'TEST', 'SUCCEEDED', '{}', 'tester', 0)
  RETURNING organization_id, id)
INSERT INTO operation_chunks(organization_id, operation_id, number, members)
SELECT organization_id, id, 0, ARRAY[organization_id] FROM made"""
REVOCATION = """INSERT INTO token_revocations(organization_id, id, subject, not_before, revoked_by, revoked_at)
VALUES (cast(:organization AS uuid), gen_random_uuid(), 'leaver', now(), 'tester', now())"""
REFUSED = asyncpg.InsufficientPrivilegeError


@dataclass(frozen=True)
class Twins:
    """Two organizations with the same things in every tenant table."""

    mine: str
    other: str
    tables: list[str]
    rights: dict[str, set[str]]
    app: asyncpg.Connection
    admin: asyncpg.Connection

    def tables_with(self, right: str) -> list[str]:
        return [table for table in self.tables if right in self.rights[table]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def twins(platform: Platform) -> AsyncIterator[Twins]:
    code = await register(platform, unique("walled"))
    mine, other = [await furnished(platform, code) for _ in range(2)]
    urls = platform.backends.database
    async with connected(urls.app) as app, connected(urls.admin) as admin:
        tables = await list_tenant_tables(app)
        rights = {table: await rights_on(app, table) for table in tables}
        yield Twins(mine=mine, other=other, tables=tables, rights=rights, app=app, admin=admin)


async def furnished(platform: Platform, code: str) -> str:
    """An organization with a row in every tenant table."""
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    await assign(platform, organization, code, idempotencyKey="first")
    await set_config(platform, organization, code, {"a": 1})
    await set_company_config(platform, company, code, {"a": 2})
    async with platform.services.database.platform_session() as session:
        await session.execute(text(OPERATION), {"organization": organization})
        await session.execute(text(REVOCATION), {"organization": organization})
        await session.commit()
    return organization


async def rights_on(connection: asyncpg.Connection, table: str) -> set[str]:
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE")
    return {right for right in rights if await connection.fetchval(f"SELECT has_table_privilege('{table}', '{right}')")}


async def test_without_an_organization_every_table_is_empty(twins: Twins) -> None:
    for table in twins.tables_with("SELECT"):
        assert await twins.admin.fetchval(f"SELECT count(*) FROM {table}") >= 2, table
        assert await twins.app.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_with_an_organization_every_table_shows_its_rows_and_no_others(twins: Twins) -> None:
    for table in twins.tables_with("SELECT"):
        expected = await twins.admin.fetchval(f"SELECT count(*) FROM {table} WHERE organization_id = $1", twins.mine)
        async with twins.app.transaction():
            await twins.app.execute(SET, twins.mine)
            rows = await twins.app.fetch(f"SELECT organization_id::text, count(*) FROM {table} GROUP BY 1")
        assert [tuple(row) for row in rows] == [(twins.mine, expected)], table


async def test_a_queue_that_is_only_written_cannot_be_read(twins: Twins) -> None:
    assert [table for table in twins.tables if table not in twins.tables_with("SELECT")] == ["outbox"]
    with pytest.raises(REFUSED):
        await twins.app.fetch("SELECT * FROM outbox")


async def test_a_row_of_another_organization_cannot_be_written(twins: Twins) -> None:
    for table in twins.tables_with("INSERT"):
        columns = await insertable_columns(twins.admin, table)
        row = await twins.admin.fetchval(
            f"SELECT to_jsonb(t)::text FROM {table} t WHERE organization_id = $1 LIMIT 1", twins.other
        )
        before = await count(twins, table, twins.other)
        insert = f"INSERT INTO {table}({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1)"
        with pytest.raises(REFUSED, match="row-level security"):
            await as_mine(twins, insert, row)
        assert await count(twins, table, twins.other) == before


async def test_rows_of_another_organization_are_not_there_to_be_changed(twins: Twins) -> None:
    for table in twins.tables_with("UPDATE"):
        change = f"UPDATE {table} SET organization_id = organization_id WHERE organization_id = $1"
        assert await as_mine(twins, change, twins.other) == "UPDATE 0", table
    for table in twins.tables_with("DELETE"):
        before = await count(twins, table, twins.other)
        assert await as_mine(twins, f"DELETE FROM {table} WHERE organization_id = $1", twins.other) == "DELETE 0"
        assert await count(twins, table, twins.other) == before > 0


async def test_a_row_cannot_be_given_to_another_organization(twins: Twins) -> None:
    for table in twins.tables_with("UPDATE"):
        before = await count(twins, table, twins.mine)
        with pytest.raises(REFUSED, match="row-level security"):
            await as_mine(twins, f"UPDATE {table} SET organization_id = $1", twins.other)
        assert await count(twins, table, twins.mine) == before > 0


async def test_the_organization_is_forgotten_when_the_transaction_ends(twins: Twins) -> None:
    seen = "SELECT count(*) FROM organizations"
    for ends_well in (True, False):
        transaction = twins.app.transaction()
        await transaction.start()
        await twins.app.execute(SET, twins.mine)
        assert await twins.app.fetchval(seen) == 1
        await (transaction.commit() if ends_well else transaction.rollback())
        assert await twins.app.fetchval(seen) == 0
        assert not await twins.app.fetchval("SELECT current_setting('app.organization_id', true)")


async def test_a_pooled_session_starts_without_the_last_ones_organization(platform: Platform, twins: Twins) -> None:
    database = platform.services.database
    for _ in range(20):
        async with database.tenant_session(UUID(twins.mine)) as session:
            assert await session.scalar(text("SELECT count(*) FROM organizations")) == 1
        async with database.tenant_session(None) as session:
            assert await session.scalar(text("SELECT count(*) FROM organizations")) == 0


async def test_an_organization_that_is_no_id_shows_nothing(twins: Twins) -> None:
    async with twins.app.transaction():
        await twins.app.execute(SET, "everything")
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            async with twins.app.transaction():
                await twins.app.fetch("SELECT * FROM organizations")


async def test_a_partition_cannot_be_read_past_its_parent(twins: Twins) -> None:
    leaves = await twins.admin.fetch(
        "SELECT i.inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent"
        " WHERE c.relname IN ('event_log', 'inbox') AND c.relkind = 'p'"
    )
    assert len(leaves) >= 4
    for (leaf,) in leaves:
        for role in (twins.app, twins.admin):
            with pytest.raises(REFUSED):
                await role.fetch(f"SELECT * FROM {leaf}")


async def insertable_columns(connection: asyncpg.Connection, table: str) -> str:
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attidentity = '' ORDER BY attnum",
        table,
    )
    return ", ".join(row[0] for row in rows)


async def count(twins: Twins, table: str, organization: str) -> int:
    found: int = await twins.admin.fetchval(f"SELECT count(*) FROM {table} WHERE organization_id = $1", organization)
    return found


async def as_mine(twins: Twins, statement: str, *arguments: str) -> str:
    """Run one statement as the application on behalf of the first twin; the command tag."""
    async with twins.app.transaction():
        await twins.app.execute(SET, twins.mine)
        tag: str = await twins.app.execute(statement, *arguments)
        return tag
