"""What the three logins may and may not do, and that the API refuses a login that the wall does not hold."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from app.migrate import ROLES, UnsafeRole, refuse_unsafe_role, role_urls
from tests.conftest import Databases
from tests.database.catalogue import connected
from tests.support.platform import Platform
from tests.support.stories import create_company, sign_up

POWERS = """SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication,
  EXISTS (SELECT 1 FROM pg_auth_members WHERE member = r.oid),
  EXISTS (SELECT 1 FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = r.oid AND deptype = 'o')
  FROM pg_roles r WHERE rolname = $1"""
HOLDERS = (
    "SELECT rolname FROM pg_roles WHERE rolname LIKE 'modplane%' AND has_table_privilege(rolname, $1, $2) ORDER BY 1"
)
APP, ADMIN, RELAY = ROLES
READY_SECONDS = 60


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(databases: Databases) -> URL:
    return await databases.create()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def owner(own: URL) -> AsyncIterator[asyncpg.Connection]:
    async with connected(own) as connection:
        yield connection


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_no_powers_and_owns_nothing(owner: asyncpg.Connection, role: str) -> None:
    assert tuple(await owner.fetchrow(POWERS, role)) == (False,) * 7


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_makes_no_tables_and_no_triggers(own: URL, role: str) -> None:
    urls = role_urls(own)
    url = {APP: urls.app, ADMIN: urls.admin, RELAY: urls.relay}[role]
    async with connected(url) as connection:
        for statement in (
            "CREATE TABLE public.mine(id int)",
            "CREATE SCHEMA mine",
            "TRUNCATE event_log",
            "ALTER TABLE organizations DISABLE ROW LEVEL SECURITY",
            "DROP TABLE outbox",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


@pytest.mark.parametrize(
    ("table", "right", "holders"),
    [
        ("event_log", "INSERT", [ADMIN, APP]),
        ("event_log", "UPDATE", []),
        ("event_log", "DELETE", []),
        ("outbox", "INSERT", [ADMIN, APP]),
        ("outbox", "DELETE", [RELAY]),
        ("config_revisions", "UPDATE", []),
        ("config_revisions", "DELETE", []),
        ("module_versions", "INSERT", [ADMIN]),
        ("module_versions", "UPDATE", []),
        ("module_versions", "DELETE", []),
        ("module_registry", "UPDATE", [ADMIN]),
        ("module_registry", "DELETE", []),
        ("industry_templates", "UPDATE", [ADMIN]),
        ("organizations", "DELETE", []),
        ("org_revision", "DELETE", []),
        ("inbox", "INSERT", [RELAY]),
        ("operations", "UPDATE", [ADMIN]),
    ],
)
async def test_a_right_is_held_by_those_who_need_it(
    owner: asyncpg.Connection, table: str, right: str, holders: list[str]
) -> None:
    assert [row[0] for row in await owner.fetch(HOLDERS, table, right)] == holders


async def test_the_relay_reads_no_tenant_data(owner: asyncpg.Connection) -> None:
    readable = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r','p','v')"
        " AND has_table_privilege('modplane_relay', oid, 'SELECT') ORDER BY 1"
    )
    # module_adoption is made of what event_log says, which it reads anyway
    expected = ["dead_event", "event_log", "inbox", "module_adoption", "org_revision", "outbox"]
    assert [row[0] for row in readable] == expected


async def test_history_cannot_be_rewritten(platform: Platform) -> None:
    organization = await sign_up(platform)
    urls = platform.backends.database
    for url in (urls.app, urls.admin, urls.relay):
        async with connected(url) as connection:
            for statement in ("UPDATE event_log SET payload = '{}'", "DELETE FROM event_log"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
    async with connected(urls.admin) as connection:
        assert await connection.fetchval("SELECT count(*) FROM event_log WHERE organization_id = $1", organization) == 1


async def test_revisions_have_no_gaps_and_no_doubles(platform: Platform) -> None:
    organizations = [await sign_up(platform) for _ in range(3)]
    await asyncio.gather(*(create_company(platform, organizations[number % 3]) for number in range(30)))
    async with connected(platform.backends.database.admin) as connection:
        logged = await connection.fetch(
            "SELECT r.rev, array_agg(e.rev ORDER BY e.rev), count(DISTINCT e.id) FROM org_revision r"
            " JOIN event_log e USING (organization_id) WHERE organization_id = ANY($1::uuid[])"
            " GROUP BY r.organization_id, r.rev",
            organizations,
        )
        whole = await connection.fetchval(
            "SELECT count(*) FROM org_revision r WHERE r.rev <> (SELECT count(DISTINCT e.rev) FROM event_log e"
            " WHERE e.organization_id = r.organization_id AND e.rev BETWEEN 1 AND r.rev)"
        )
        unsent = await connection.fetchval(
            "SELECT count(*) FROM outbox o JOIN event_log e USING (organization_id, rev)"
        )
        assert await connection.fetchval("SELECT count(*) FROM event_log") == unsent
    assert [tuple(row) for row in logged] == [(11, list(range(1, 12)), 11)] * 3
    assert whole == 0


async def test_a_login_that_passes_the_wall_is_refused(own: URL, owner: asyncpg.Connection) -> None:
    await refused(own, "postgres")
    async with connected(own) as connection:
        await connection.execute("CREATE ROLE walled_owner LOGIN NOSUPERUSER PASSWORD 'x'")
        await connection.execute("CREATE ROLE walled_bypass LOGIN NOSUPERUSER BYPASSRLS PASSWORD 'x'")
        await connection.execute("ALTER TABLE organizations OWNER TO walled_owner")
    try:
        for role in ("walled_owner", "walled_bypass"):
            await refused(own.set(username=role, password="x"), role)
    finally:
        await owner.execute("ALTER TABLE organizations OWNER TO CURRENT_USER")
        await owner.execute("DROP ROLE walled_owner")
        await owner.execute("DROP ROLE walled_bypass")
    for url in (role_urls(own).app, role_urls(own).admin):
        engine = create_async_engine(url)
        await refuse_unsafe_role(engine)
        await engine.dispose()


async def test_tenants_are_not_served_as_the_administrators_role(own: URL) -> None:
    admin, app = create_async_engine(role_urls(own).admin), create_async_engine(role_urls(own).app)
    with pytest.raises(UnsafeRole, match=f"the role {ADMIN} can pass row-level security"):
        await refuse_unsafe_role(admin, is_tenant=True)
    await refuse_unsafe_role(app, is_tenant=True)
    await admin.dispose()
    await app.dispose()


async def refused(url: URL, role: str) -> None:
    engine = create_async_engine(url)
    try:
        with pytest.raises(UnsafeRole, match=f"the role {role} can pass row-level security"):
            await refuse_unsafe_role(engine)
    finally:
        await engine.dispose()


async def test_serve_takes_the_owners_login_and_derives_the_roles(own: URL, servers: Endpoints, tmp_path: Path) -> None:
    with serving(own, servers, tmp_path) as (process, address):
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await healthy(client, address, process)).json()["status"] == "healthy"
            answer = await client.post(f"{address}/graphql", json={"query": "{ industries { totalCount } }"})
        assert answer.json() == {"data": {"industries": {"totalCount": 8}}}
        async with connected(own) as connection:
            logins = await connection.fetch(
                "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = $1 AND application_name = 'modplane'",
                own.database,
            )
        assert own.username not in {row[0] for row in logins}
        assert APP in {row[0] for row in logins}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, READY_SECONDS) == 0


async def test_serve_refuses_an_application_login_that_passes_the_wall(
    own: URL, servers: Endpoints, tmp_path: Path
) -> None:
    unsafe = own.set(drivername="postgresql").render_as_string(hide_password=False)
    with serving(own, servers, tmp_path, DATABASE_APP_URL=unsafe) as (process, _):
        output, _errors = await asyncio.to_thread(process.communicate, timeout=READY_SECONDS)
    assert process.returncode == 1
    assert output.decode().splitlines() == [
        f"modplane: the role {own.username} can pass row-level security; the API must not connect as it"
    ]


@contextmanager
def serving(
    database: URL, servers: Endpoints, folder: Path, **more: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process of `modplane serve` with an API on a free port; ended when the context ends."""
    port = choose_port(None, taken=())
    environment = {
        **os.environ,
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": servers.redis,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
        "MODPLANE_PORT": str(port),
        "MODPLANE_DATA_DIR": str(folder),
        **more,
    }
    command = [str(Path(sys.executable).parent / "modplane"), "serve", "--roles", "api"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def healthy(client: httpx.AsyncClient, address: str, process: subprocess.Popen[bytes]) -> httpx.Response:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            assert process.poll() is None, process.communicate()
            try:
                return await client.get(f"{address}/health")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
