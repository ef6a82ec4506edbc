"""Transactions of one organization by the driver: what they begin with, what ends them, and how many statements."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from auth.actor import PLATFORM, Role
from commands.transaction import Writer
from events.facts import Fact
from events.types import EventType
from models.assignment import CompanyModuleRow, TenantModuleRow
from models.base import Base
from models.company_module import COLUMNS as COMPANY_COLUMNS
from models.database import TIMEOUTS
from models.tenant_module import COLUMNS as TENANT_COLUMNS
from models.tenant_writes import OPEN, TenantWrites
from tests.database.catalogue import connected
from tests.support.platform import Platform, token
from tests.support.stories import assign, create_company, register, set_company_config, set_config, sign_up, unique

OWN = "SELECT organization_id FROM organizations"
RENAME = "UPDATE organizations SET name = $2 WHERE organization_id = $1"
NAME = "SELECT name FROM organizations WHERE organization_id = $1"
WRITTEN = "WITH facts AS"  # how the statement begins that writes rows, counters and facts
READ_ROW = ["SELECT organization_id,"]
ASSIGN = (
    "mutation($input: AssignModuleInput!) { assignModule(input: $input) {"
    " revision errors { message } assignments { version state config module { code name } } } }"
)


@pytest_asyncio.fixture
async def writes(platform: Platform) -> AsyncIterator[TenantWrites]:
    """One connection, so that each transaction gets the one of the transaction before."""
    made = TenantWrites(platform.backends.database.app, size=1, timeouts=TIMEOUTS)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def admin(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    async with connected(platform.backends.database.admin) as connection:
        yield connection


@contextmanager
def statements(platform: Platform) -> Iterator[list[str]]:
    """What tenants' mutations send, BEGIN and COMMIT included."""
    told: list[str] = []
    platform.services.database.tenant_writes.listeners.append(told.append)
    try:
        yield told
    finally:
        platform.services.database.tenant_writes.listeners.remove(told.append)


def fact_of(organization: UUID) -> Fact:
    return Fact(type=EventType.ORGANIZATION_UPDATED, organization_id=organization, revision=2, payload={})


def kinds(sent: list[str]) -> list[str]:
    return [" ".join(each.split()[:2]) for each in sent]


async def test_it_begins_with_all_that_a_plan_needs(platform: Platform, writes: TenantWrites) -> None:
    organization, code = await sign_up(platform, plan="premium"), await register(platform, unique("begun"))
    internal = await register(platform, unique("inside"), tier="INTERNAL")
    await assign(platform, organization, code)
    await assign(platform, organization, internal, activate=False)
    async with writes.transaction(UUID(organization)) as begun:
        plan, revision, rev, registry_rev, assigned, *_ = begun.opened
        ((registry,),) = await begun.fetch("SELECT rev FROM registry_revision")
        assert (plan, revision, rev, registry_rev) == ("premium", 1, 3, registry)
        assert assigned is not None
        ((same,),) = await begun.fetch("SELECT $1::text::jsonb", assigned)
        assert same == {code: ["1.0.0", "ACTIVE"], internal: ["1.0.0", "INSTALLED"]}
        assert [row[0] for row in await begun.fetch(OWN)] == [UUID(organization)]


async def test_an_organization_that_is_not_there_begins_with_nothing(platform: Platform, writes: TenantWrites) -> None:
    await sign_up(platform)
    async with writes.transaction(uuid4()) as begun:
        plan, revision, rev, _, assigned, *_ = begun.opened
        assert (plan, revision, rev, assigned) == (None, None, None, None)
        assert await begun.fetch(OWN) == []


async def test_only_tenants_transactions_begin_so(platform: Platform, admin: asyncpg.Connection) -> None:
    for role, may in (("modplane_app", True), ("modplane_admin", False), ("modplane_relay", False)):
        right = f"SELECT has_function_privilege('{role}', 'open_tenant(uuid, text, bytea)', 'EXECUTE')"
        assert await admin.fetchval(right) is may


async def test_who_waited_for_the_lock_reads_what_was_committed_meanwhile(platform: Platform) -> None:
    organization, code = UUID(await sign_up(platform)), await register(platform, unique("late"))
    second = TenantWrites(platform.backends.database.app, size=2, timeouts=TIMEOUTS)
    insert = (
        "INSERT INTO tenant_modules(organization_id, module_id, version, state, config_revision, revision, assigned_by)"
        " VALUES ($1, $2, '1.0.0', 'ACTIVE', 2, 2, 'tester')"
    )

    async def wait() -> tuple[int, str]:
        async with second.transaction(organization) as begun:
            return begun.opened["rev"], begun.opened["assigned"]

    async with second.transaction(organization) as first:
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await first.fetch(insert, organization, code)
        await first.fetch("UPDATE org_revision SET rev = 2 WHERE organization_id = $1", organization)
        await first.commit()
    async with asyncio.timeout(5):
        rev, assigned = await waiting
    assert (rev, code in assigned) == (2, True)
    await second.close()


@pytest.mark.parametrize("failure", [ValueError("ours"), asyncpg.UndefinedTableError("the server's")])
async def test_what_is_not_committed_is_rolled_back_and_the_connection_used_again(
    platform: Platform, writes: TenantWrites, admin: asyncpg.Connection, failure: Exception
) -> None:
    organization = UUID(await sign_up(platform, name="Before"))
    with pytest.raises(type(failure)):
        async with writes.transaction(organization) as begun:
            pid = (await begun.fetch("SELECT pg_backend_pid()"))[0][0]
            await begun.fetch(RENAME, organization, "After")
            if isinstance(failure, ValueError):
                raise failure
            await begun.fetch("SELECT * FROM no_such_table")
    assert await admin.fetchval(NAME, organization) == "Before"
    async with writes.transaction(organization) as begun:
        assert (await begun.fetch("SELECT pg_backend_pid()"))[0][0] == pid
        await begun.fetch(RENAME, organization, "After")
        await begun.commit()
    assert await admin.fetchval(NAME, organization) == "After"


async def test_who_is_cancelled_holds_no_lock_and_keeps_no_connection(
    platform: Platform, writes: TenantWrites, admin: asyncpg.Connection
) -> None:
    organization = UUID(await sign_up(platform, name="Before"))

    async def sleep() -> None:
        async with writes.transaction(organization) as begun:
            await begun.fetch(RENAME, organization, "After")
            await begun.fetch("SELECT pg_sleep(4)")

    sleeping = asyncio.create_task(sleep())
    await asyncio.sleep(0.2)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    async with asyncio.timeout(2), writes.transaction(organization) as begun:
        assert (await begun.fetch(NAME, organization))[0][0] == "Before"
    assert await admin.fetchval(NAME, organization) == "Before"


async def test_a_transaction_that_has_failed_is_not_taken_for_committed(
    platform: Platform, writes: TenantWrites
) -> None:
    organization = UUID(await sign_up(platform))
    async with writes.transaction(organization) as begun:
        with pytest.raises(asyncpg.UndefinedTableError):
            await begun.fetch("SELECT * FROM no_such_table")
        with pytest.raises(RuntimeError, match="that had failed"):
            await begun.commit()


async def test_a_connection_that_is_gone_is_replaced(
    platform: Platform, writes: TenantWrites, admin: asyncpg.Connection
) -> None:
    organization = UUID(await sign_up(platform))
    with pytest.raises((ConnectionError, asyncpg.PostgresError)):
        async with writes.transaction(organization) as begun:
            pid = (await begun.fetch("SELECT pg_backend_pid()"))[0][0]
            async with connected(platform.backends.database.app) as another:
                assert await another.fetchval("SELECT pg_terminate_backend($1)", pid)
            await begun.fetch(OWN)
    async with writes.transaction(organization) as begun:
        assert (await begun.fetch("SELECT pg_backend_pid()"))[0][0] != pid


async def test_an_assignment_is_four_statements(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("cheap"))
    bearer = token(Role.ORGANIZATION_ADMIN, organization=organization)
    given = {"input": {"organizationId": organization, "module": code, "config": {"a": 1}}}
    reads: list[str] = []
    platform.services.database.tenant_reads.listeners.append(reads.append)
    with statements(platform) as sent:
        payload = (await platform.data(ASSIGN, given, token=bearer))["assignModule"]
    platform.services.database.tenant_reads.listeners.remove(reads.append)
    shown = {"version": "1.0.0", "state": "ACTIVE", "config": {"a": 1}, "module": {"code": code, "name": code.title()}}
    assert payload == {"revision": 2, "errors": [], "assignments": [shown]}
    assert sent[:2] == ["BEGIN", OPEN]
    assert kinds(sent)[2:] == [" ".join(WRITTEN.split()[:2]), "COMMIT"]
    assert reads == []  # what was written is not read again


async def test_a_key_costs_no_statement_more_and_its_answer_one_less(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("keyed"))
    with statements(platform) as sent:
        first = await assign(platform, organization, code, idempotencyKey="k")
    assert kinds(sent) == ["BEGIN", "SELECT *", "WITH facts", "COMMIT"]
    with statements(platform) as sent:
        assert await assign(platform, organization, code, idempotencyKey="k") == first
    assert kinds(sent) == ["BEGIN", "SELECT *", "COMMIT"]


async def test_a_key_is_claimed_with_the_transaction_or_not_at_all(platform: Platform, writes: TenantWrites) -> None:
    organization = UUID(await sign_up(platform))
    for is_committed in (False, True):
        async with writes.transaction(organization, key="k", request_hash=b"first") as begun:
            assert begun.opened["claimed"] is None
            if is_committed:
                await begun.commit()
    async with writes.transaction(organization, key="k", request_hash=b"second") as begun:
        assert begun.opened["claimed"] == b"first"


async def test_a_configuration_is_written_with_its_history(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("set"))
    company = await create_company(platform, organization)
    await assign(platform, organization, code)
    with statements(platform) as sent:
        await set_config(platform, organization, code, {"a": 1})
    # without a schema no company is asked
    assert kinds(sent) == ["BEGIN", "SELECT *", *READ_ROW, "INSERT INTO", "WITH facts", "COMMIT"]
    with statements(platform) as sent:
        await set_company_config(platform, company, code, {"a": 2})
    of_company = ["SELECT c.organization_id,", "INSERT INTO"]
    assert kinds(sent) == ["BEGIN", "SELECT *", *READ_ROW, *of_company, "INSERT INTO", "WITH facts", "COMMIT"]


async def test_a_counter_that_moves_without_the_lock_is_noticed_before_anything_is_committed(
    platform: Platform, admin: asyncpg.Connection
) -> None:
    organization = UUID(await sign_up(platform))
    services = platform.services
    writer = Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)
    with pytest.raises(RuntimeError, match="without its organization's lock"):
        async with writer.tenant_transaction(organization) as tx:
            await tx.advance(organization)
            await admin.execute("UPDATE org_revision SET rev = 7 WHERE organization_id = $1", organization)
            tx.record(fact_of(organization))
    assert await admin.fetchval("SELECT rev FROM org_revision WHERE organization_id = $1", organization) == 7
    assert await admin.fetchval("SELECT count(*) FROM event_log WHERE organization_id = $1", organization) == 1


async def test_a_rev_without_a_fact_is_not_committed(platform: Platform, admin: asyncpg.Connection) -> None:
    organization = UUID(await sign_up(platform))
    services = platform.services
    writer = Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)
    with pytest.raises(RuntimeError, match="do not match the revisions"):
        async with writer.tenant_transaction(organization) as tx:
            await tx.advance(organization, 2)
            tx.record(fact_of(organization))
    assert await admin.fetchval("SELECT rev FROM org_revision WHERE organization_id = $1", organization) == 1


@pytest.mark.parametrize(("columns", "row"), [(TENANT_COLUMNS, TenantModuleRow), (COMPANY_COLUMNS, CompanyModuleRow)])
def test_rows_have_the_columns_of_their_tables(columns: tuple[str, ...], row: type[Base]) -> None:
    assert list(columns) == [each.name for each in row.__table__.columns]
