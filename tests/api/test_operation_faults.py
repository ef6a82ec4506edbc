"""Workers that die, stall and stumble: every organization once, and one that can't be done holds up no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from app import worker as worker_module
from app.embedded.supervisor import Endpoints
from app.migrate import connect_owner
from app.worker import CHUNKED
from auth.actor import PLATFORM
from commands.bulk.ask import KIND
from commands.operation import lease as lease_module
from commands.operation.chunks import Dropped, carry_out, cut
from commands.operation.claim import claim_operation
from commands.operation.lease import LEASE_SECONDS, RENEW_SECONDS, lease_chunk, new_lease
from commands.transaction import Writer
from tests.api.operations import WAITS, bulk, connected, finished, holding, in_chunks_of, made, read, until, working
from tests.conftest import Databases, backends_on
from tests.support.platform import Platform, running_platform
from tests.support.stopwatch import stopwatch
from tests.support.stories import events_of, module_codes, register, rename, unique

STUMBLE = """
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$;
CREATE TRIGGER stumble BEFORE INSERT ON tenant_modules FOR EACH ROW WHEN (NEW.organization_id = '{}')
EXECUTE FUNCTION stumble()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """An API without a worker: each test says when one runs."""
    async with running_platform(backends_on(await databases.create(), servers)) as running:
        yield running


@asynccontextmanager
async def stumbling(platform: Platform, servers: Endpoints, organization: str, what: str) -> AsyncIterator[None]:
    """While this lasts, the database does something when the organization gets a module."""
    admin = platform.backends.database.admin
    owner = admin.set(username="postgres", password=servers.postgres.split(":")[2].split("@")[0])
    connection: asyncpg.Connection = await connect_owner(owner)
    try:
        await connection.execute(STUMBLE.format(what, organization))
        yield
        await connection.execute("DROP TRIGGER stumble ON tenant_modules; DROP FUNCTION stumble()")
    finally:
        await connection.close()


async def once(platform: Platform, users: Sequence[str], code: str) -> bool:
    """Whether each of them has got the module once, with one event."""
    events = [[each["type"] for each in await events_of(platform, user)] for user in users]
    return events == [["BULK_ASSIGNED"]] * len(users) and all(
        [await module_codes(platform, user) == [code] for user in users]
    )


async def test_one_that_always_fails_is_given_up_alone(
    platform: Platform, servers: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    users = await made(platform, 7, unique("Poisoned"))
    async with stumbling(platform, servers, users[3], "RAISE EXCEPTION 'poisoned';"), working(platform):
        done = await finished(platform, await bulk(platform, ["crm"], organizationIds=users))
    assert (done["status"], done["done"], done["failed"], done["total"]) == ("PARTIALLY_SUCCEEDED", 7, 1, 7)
    (error,) = done["errors"]
    assert (error["__typename"], error["code"], error["path"]) == (
        "LockedError",
        "LOCKED",
        ["input", "organizationIds"],
    )
    assert error["message"] == (
        f"organization {users[3]}: given up after 5 attempts, the worker's log says why; ask for it again"
    )
    assert await once(platform, users[:3] + users[4:], "crm")
    assert (await module_codes(platform, users[3]), await events_of(platform, users[3])) == ([], [])
    async with connected(platform) as connection:
        members = await connection.fetch(
            "SELECT unnest(members)::text FROM operation_chunks WHERE operation_id = $1 AND status = 'DONE' ORDER BY 1",
            done["id"],
        )
    assert [row[0] for row in members] == users


async def test_one_that_is_busy_for_a_while_is_done_in_the_end(platform: Platform) -> None:
    users = await made(platform, 4, unique("Busy"))
    async with working(platform):
        async with holding(platform, "organizations", users[1]) as connection:
            payload = await bulk(platform, ["crm"], organizationIds=users)
            await until(
                connection,
                "EXISTS (SELECT FROM operation_chunks WHERE operation_id = $1 AND attempts >= 2)",
                payload["operation"]["id"],
            )
        done = await finished(platform, payload)
    assert (done["status"], done["done"], done["errors"]) == ("SUCCEEDED", 4, [])
    assert await once(platform, users, "crm")


async def test_a_tenant_need_not_wait_for_another_one_that_is_busy(platform: Platform) -> None:
    users = await made(platform, 3, unique("Neighbour"))
    async with working(platform), holding(platform, "organizations", users[2]) as connection:
        payload = await bulk(platform, ["crm"], organizationIds=users)
        await until(
            connection,
            "EXISTS (SELECT FROM operation_chunks WHERE operation_id = $1 AND status = 'RUNNING')",
            payload["operation"]["id"],
        )
        with stopwatch() as watch:
            await rename(platform, users[0])
        assert watch.seconds < 1.5
    async with working(platform):
        assert (await finished(platform, payload))["status"] == "SUCCEEDED"


async def test_a_worker_that_lost_its_lease_does_not_commit(platform: Platform) -> None:
    users = await made(platform, 3, unique("Stalled"))
    operation = (await bulk(platform, ["crm"], organizationIds=users))["operation"]["id"]
    services, kind = platform.services, CHUNKED[KIND]
    writer = Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)
    claimed = await claim_operation(writer)
    assert claimed is not None
    await cut(writer, claimed.id, kind)
    stalled = await lease_chunk(services.database, new_lease())
    assert stalled is not None
    assert await lease_chunk(services.database, new_lease()) is None
    await run_out(platform, operation)
    successor = await lease_chunk(services.database, new_lease())
    assert successor is not None
    assert (successor.number, successor.attempts, successor.members) == (0, 2, [UUID(each) for each in users])
    with pytest.raises(Dropped, match="its lease was lost"):
        await carry_out(writer, stalled, kind)
    assert [await events_of(platform, each) for each in users] == [[]] * 3
    await carry_out(writer, successor, kind)
    with pytest.raises(Dropped, match="its operation is SUCCEEDED"):
        await carry_out(writer, stalled, kind)
    assert await once(platform, users, "crm")
    done = await read(platform, operation)
    assert (done["status"], done["done"], done["total"]) == ("SUCCEEDED", 3, 3)


async def run_out(platform: Platform, operation: str) -> None:
    """As if fifteen seconds had passed without a word of the worker."""
    async with connected(platform) as connection:
        await connection.execute(
            "UPDATE operation_chunks SET lease_until = now() - interval '1 s' WHERE operation_id = $1", operation
        )


async def test_a_worker_that_is_ended_gives_its_chunk_back(platform: Platform) -> None:
    users = await made(platform, 3, unique("Ended"))
    async with connected(platform) as watching, working(platform) as worker:
        async with holding(platform, "org_revision", users[2]):
            payload = await bulk(platform, ["crm"], organizationIds=users)
            operation = payload["operation"]["id"]
            await until(watching, WAITS, "UPDATE org_revision")
            with stopwatch() as watch:
                worker.cancel()
                await asyncio.wait([worker], timeout=20)
            assert worker.done()
            assert watch.seconds < 5
        chunk = await watching.fetchrow(
            "SELECT status, attempts, lease_id, lease_until FROM operation_chunks WHERE operation_id = $1", operation
        )
        assert tuple(chunk) == ("PENDING", 0, None, None)
        async with working(platform):
            with stopwatch() as watch:
                done = await finished(platform, payload)
        assert (done["status"], watch.seconds < 5) == ("SUCCEEDED", True)
    assert await once(platform, users, "crm")


async def test_a_slow_chunk_keeps_its_lease(
    platform: Platform, servers: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of a lease, renewals may fail or come late
    assert 2 * RENEW_SECONDS < LEASE_SECONDS
    monkeypatch.setattr(worker_module, "RENEW_SECONDS", 0.3)
    users = await made(platform, 2, unique("Slow"))
    payload = await bulk(platform, ["crm"], organizationIds=users)
    operation, leased = payload["operation"]["id"], "max(lease_until) FROM operation_chunks WHERE operation_id = $1"
    slow = stumbling(platform, servers, users[0], "PERFORM pg_sleep(3);")
    async with slow, connected(platform) as watching, working(platform):
        await until(watching, f"(SELECT {leased}) IS NOT NULL", operation)
        first = await watching.fetchval(f"SELECT {leased}", operation)
        await until(watching, f"(SELECT {leased}) >= $2::timestamptz + interval '0.2 s'", operation, first)
        done = await finished(platform, payload)
    assert (done["status"], done["done"]) == ("SUCCEEDED", 2)
    assert await once(platform, users, "crm")


async def test_a_thousand_errors_are_kept_and_all_are_counted(platform: Platform) -> None:
    paid, word = await register(platform, unique("paid"), subscription_tier="premium"), unique("Poor")
    await made(platform, 1_200, word)
    async with working(platform):
        done = await finished(platform, await bulk(platform, [paid], organizationFilter={"search": f"{word} "}))
    assert (done["status"], done["done"], done["failed"], done["total"]) == ("FAILED", 1_200, 1_200, 1_200)
    assert len({each["message"] for each in done["errors"]}) == len(done["errors"]) == 1_000
    assert {each["code"] for each in done["errors"]} == {"ENTITLEMENT"}


async def test_chunks_are_cut_once_and_hold_everybody_once(platform: Platform) -> None:
    word = unique("Cut")
    users = await made(platform, 7, word)
    payload = await bulk(platform, ["crm"], organizationFilter={"search": f"{word} "})
    operation = await in_chunks_of(platform, 3, payload)
    late = await made(platform, 1, word)
    async with working(platform), working(platform):
        done = await finished(platform, payload)
    assert (done["status"], done["done"], done["total"]) == ("SUCCEEDED", 7, 7)
    async with connected(platform) as connection:
        rows = await connection.fetch(
            "SELECT number, members::text[], status, attempts FROM operation_chunks WHERE operation_id = $1 ORDER BY 1",
            operation,
        )
    assert [tuple(row) for row in rows] == [
        (number, users[3 * number : 3 * number + 3], "DONE", 1) for number in range(3)
    ]
    assert (await once(platform, users, "crm"), await module_codes(platform, late[0])) == (True, [])
