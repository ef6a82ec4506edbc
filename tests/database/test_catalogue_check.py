"""The catalogue check finds no hole in the wall between tenants, and finds each one that is made."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.database.catalogue import connected, find_breaches, list_tenant_tables

TENANT_TABLES = [
    "companies",
    "company_modules",
    "config_revisions",
    "event_log",
    "idempotency_key",
    "operation_chunks",
    "operations",
    "org_revision",
    "organizations",
    "outbox",
    "tenant_modules",
    "token_revocations",
]
NO_NULLIF = "organization_id = (SELECT current_setting('app.organization_id', true)::uuid)"
FUNCTION = "FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM organizations'"


@dataclass(frozen=True)
class Sabotage:
    """SQL that makes a hole in a table, and what the check must say of it."""

    sql: str
    finding: str


ON_EVERY_TABLE = [
    Sabotage("DROP POLICY tenant ON {table}", "{table}: not exactly one policy"),
    Sabotage("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY", "{table}: row-level security is not forced"),
    Sabotage("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY", "{table}: row-level security is not forced"),
    Sabotage("CREATE POLICY more ON {table} USING (true)", "{table}: not exactly one policy"),
    Sabotage("ALTER POLICY platform ON {table} TO PUBLIC", "{table}: not exactly one policy"),
    Sabotage(f"ALTER POLICY tenant ON {{table}} USING ({NO_NULLIF})", "{table}: the policy is another"),
    Sabotage("ALTER POLICY tenant ON {table} WITH CHECK (true)", "{table}: the policy is another"),
    Sabotage("GRANT TRUNCATE ON {table} TO modplane_app", "{table}: more than rows"),
    Sabotage("GRANT REFERENCES ON {table} TO PUBLIC", "{table}: more than rows"),
    Sabotage("ALTER TABLE {table} OWNER TO modplane_app", "{table}: owned by the application"),
]
ELSEWHERE = [
    Sabotage("GRANT SELECT ON event_log_default TO modplane_app", "event_log_default: a partition is not walled"),
    Sabotage("GRANT SELECT (payload) ON event_log_default TO PUBLIC", "event_log_default: a partition is not walled"),
    Sabotage("GRANT SELECT ON dead_event TO modplane_app", "dead_event: row-level security is not forced"),
    Sabotage("GRANT SELECT ON inbox TO modplane_app", "inbox: no organization_id"),
    Sabotage("GRANT UPDATE ON module_registry TO modplane_app", "module_registry: global, yet written"),
    Sabotage("GRANT UPDATE (tier) ON module_registry TO modplane_app", "module_registry: global, yet written"),
    Sabotage("CREATE TABLE news(id int); GRANT SELECT ON news TO modplane_app", "news: no organization_id"),
    Sabotage("CREATE VIEW every AS TABLE companies; GRANT SELECT ON every TO modplane_app", "every: neither a table"),
    Sabotage("CREATE MATERIALIZED VIEW old AS TABLE companies; GRANT SELECT ON old TO PUBLIC", "old: neither a table"),
    Sabotage(f"CREATE {FUNCTION}", "peek: runs with its owner's rights"),
    Sabotage("ALTER ROLE modplane_app BYPASSRLS", "modplane_app: passes every policy"),
    Sabotage("GRANT modplane_admin TO modplane_app", "organizations: not exactly one policy"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def owner(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    async with connected(await databases.create()) as connection:
        yield connection


async def test_there_is_no_breach(owner: asyncpg.Connection) -> None:
    assert await find_breaches(owner) == []


async def test_every_table_with_an_organization_is_under_test(owner: asyncpg.Connection) -> None:
    assert await list_tenant_tables(owner) == TENANT_TABLES


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_hole_in_any_table_is_found(owner: asyncpg.Connection, table: str) -> None:
    for sabotage in ON_EVERY_TABLE:
        found = await breaches_after(owner, sabotage.sql.format(table=table))
        assert sabotage.finding.format(table=table) in found, sabotage.sql
    assert await find_breaches(owner) == []


@pytest.mark.parametrize("sabotage", ELSEWHERE, ids=lambda sabotage: sabotage.sql)
async def test_a_way_around_the_tables_is_found(owner: asyncpg.Connection, sabotage: Sabotage) -> None:
    found = await breaches_after(owner, sabotage.sql)
    assert any(each.startswith(sabotage.finding) for each in found), found
    assert await find_breaches(owner) == []


async def test_a_view_with_the_callers_rights_is_no_breach(owner: asyncpg.Connection) -> None:
    sql = "CREATE VIEW own WITH (security_invoker = true) AS TABLE companies; GRANT SELECT ON own TO modplane_app"
    assert await breaches_after(owner, sql) == []


async def breaches_after(owner: asyncpg.Connection, sql: str) -> list[str]:
    """What the check says after the SQL; all of it is taken back."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(sql)
        return await find_breaches(owner)
    finally:
        await transaction.rollback()
