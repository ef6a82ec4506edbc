"""Calling an operation off: at once for the caller, whole chunks or none, and what is done stays done."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest_asyncio

from app.embedded.supervisor import Endpoints
from commands.operation.lease import lease_chunk, new_lease
from tests.api.operations import (
    WAITS,
    bulk,
    cancel,
    connected,
    finished,
    holding,
    in_chunks_of,
    made,
    read,
    until,
    working,
)
from tests.conftest import Databases, backends_on
from tests.support.platform import Platform, running_platform
from tests.support.stories import (
    change_module,
    events_of,
    module_codes,
    organization_revision,
    platform_revision,
    register,
    unique,
)
from tests.support.stream import messages_of

AT_REST = (
    "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
    " AND pid <> pg_backend_pid() AND usename = 'modplane_admin')"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """An API without a worker: each test says when one runs."""
    async with running_platform(backends_on(await databases.create(), servers)) as running:
        yield running


def refusal(payload: Any) -> list[tuple[str, str, list[str]]]:
    assert (payload["operation"], payload["revision"]) == (None, None)
    return [(each["__typename"], each["code"], each["path"]) for each in payload["errors"]]


async def test_one_that_has_not_begun_never_does(platform: Platform) -> None:
    users = await made(platform, 2, unique("Pending"))
    payload = await bulk(platform, ["crm"], organizationIds=users)
    cancelled = await cancel(platform, payload["operation"]["id"])
    assert (cancelled["errors"], cancelled["revision"]) == ([], await platform_revision(platform))
    operation = cancelled["operation"]
    assert (operation["status"], operation["done"], operation["total"]) == ("CANCELLED", 0, 2)
    assert (operation["startedAt"], operation["finishedAt"] is not None) == (None, True)
    async with working(platform):
        # one after the other: when the second is done, the first would have been begun
        await finished(
            platform, await bulk(platform, ["crm"], organizationIds=await made(platform, 1, unique("After")))
        )
    assert await read(platform, operation["id"]) == operation
    assert [await module_codes(platform, each) for each in users] == [[], []]


async def test_what_is_done_stays_and_nothing_further_is_begun(platform: Platform) -> None:
    users = await made(platform, 6, unique("Running"))
    operation = await in_chunks_of(platform, 2, await bulk(platform, ["crm"], organizationIds=users))
    async with holding(platform, "organizations", users[4]) as connection, working(platform):
        await until(connection, "done = 4 FROM operations WHERE id = $1", operation)
        cancelled = (await cancel(platform, operation))["operation"]
    assert (cancelled["status"], cancelled["done"], cancelled["failed"], cancelled["errors"]) == ("CANCELLED", 4, 0, [])
    assert await lease_chunk(platform.services.database, new_lease()) is None
    assert await read(platform, operation) == cancelled
    assert [await module_codes(platform, each) for each in users] == [["crm"]] * 4 + [[]] * 2


async def test_a_chunk_under_way_is_dropped_whole(platform: Platform) -> None:
    users = await made(platform, 3, unique("Dropped"))
    async with connected(platform) as watching, working(platform):
        # the counters are what a chunk locks last: its organizations are locked and planned by then
        async with holding(platform, "org_revision", users[2]):
            payload = await bulk(platform, ["crm"], organizationIds=users)
            operation = payload["operation"]["id"]
            await until(watching, WAITS, "UPDATE org_revision")
            cancelled = (await cancel(platform, operation))["operation"]
        await until(watching, AT_REST)
        assert (cancelled["status"], cancelled["done"]) == ("CANCELLED", 0)
        assert await read(platform, operation) == cancelled
    assert [await module_codes(platform, each) for each in users] == [[]] * 3
    assert [await events_of(platform, each) for each in users] == [[]] * 3
    assert [await organization_revision(platform, each) for each in users] == [1] * 3


async def test_one_that_is_over_is_refused(platform: Platform) -> None:
    async with working(platform):
        users = await made(platform, 1, unique("Over"))
        for ids, status in ((users, "SUCCEEDED"), ([str(uuid4())], "FAILED")):
            done = await finished(platform, await bulk(platform, ["crm"], organizationIds=ids))
            payload = await cancel(platform, done["id"])
            assert refusal(payload) == [("StateTransitionError", "STATE_TRANSITION", ["input", "operationId"])]
            assert payload["errors"][0]["message"] == f"the operation is over: {status}"
            assert await read(platform, done["id"]) == done


async def test_again_is_a_success_that_changes_nothing(platform: Platform) -> None:
    users, key = await made(platform, 1, unique("Again")), unique("key")
    first, other = [await bulk(platform, ["crm"], organizationIds=users) for _ in range(2)]
    cancelled = await cancel(platform, first["operation"]["id"], idempotencyKey=key)
    for more in ({}, {"idempotencyKey": key}, {"idempotencyKey": unique("key")}):
        assert await cancel(platform, first["operation"]["id"], **more) == cancelled
    payload = await cancel(platform, other["operation"]["id"], idempotencyKey=key)
    assert refusal(payload) == [("IdempotencyConflictError", "IDEMPOTENCY_KEY_REUSED", ["input", "idempotencyKey"])]
    assert (await read(platform, other["operation"]["id"]))["status"] == "PENDING"
    await cancel(platform, other["operation"]["id"])


async def test_an_unknown_one_is_not_found(platform: Platform) -> None:
    (user,) = await made(platform, 1, unique("No operation"))
    for unknown in (str(uuid4()), user, "not-an-id"):
        payload = await cancel(platform, unknown)
        assert refusal(payload) == [("NotFoundError", "NOT_FOUND", ["input", "operationId"])]
        assert payload["errors"][0]["message"] == f"no operation {unknown}"


async def test_what_the_registry_has_set_off_is_not_called_off(platform: Platform) -> None:
    code = await register(platform, unique("everybodys"))
    users = await made(platform, 1_001, unique("Told"))
    async with working(platform):
        await finished(platform, await bulk(platform, [code], organizationFilter={"search": "Told-"}))
    assert (await change_module(platform, "deactivateModule", code))["errors"] == []
    async with connected(platform) as connection:
        operation = str(await connection.fetchval("SELECT id FROM operations WHERE kind = 'FAN_OUT'"))
    before = await read(platform, operation)
    payload = await cancel(platform, operation)
    assert refusal(payload) == [("StateTransitionError", "STATE_TRANSITION", ["input", "operationId"])]
    assert payload["errors"][0]["message"] == (
        "the registry has changed already, and every organization concerned has to be told: this can't be cancelled"
    )
    assert (before["status"], await read(platform, operation)) == ("PENDING", before)
    async with working(platform):
        done = await finished(platform, {"operation": before, "errors": []})
    assert (done["status"], done["done"], done["total"]) == ("SUCCEEDED", 1_001, 1_001)
    for user in (users[0], users[-1]):
        assert [each["type"] for each in await events_of(platform, user)] == ["BULK_ASSIGNED", "STATE_CHANGED"]


async def test_the_progress_ends_with_it(platform: Platform) -> None:
    payload = await bulk(platform, ["crm"], organizationIds=await made(platform, 1, unique("Followed")))
    operation = payload["operation"]["id"]
    query = "subscription($id: ID!) { operationProgress(id: $id) { status done } }"
    assert [each["type"] for each in await messages_of(platform, query, {"id": operation}, limit=1)] == ["next"]
    await cancel(platform, operation)
    messages = await messages_of(platform, query, {"id": operation})
    assert [each["payload"]["data"]["operationProgress"] for each in messages[:-1]] == [
        {"status": "CANCELLED", "done": 0}
    ]
    assert messages[-1]["type"] == "complete"
