"""Live streams through the gateway: of the platform and of a module, to their end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from auth.actor import Role
from tests.gateway.world import MODULE, World
from tests.live.clients import OVER, Subscriber, opened_socket, say
from tests.support.platform import token
from tests.support.stories import assign, rename, unassign

MOVED = "subscription { warehouseMoved { sku quantity } }"
REVOKE = "mutation($input: RevokeTokensInput!) { revokeTokens(input: $input) { errors { code } } }"
END_SECONDS = 5.0


@asynccontextmanager
async def moves(world: World, bearer: str) -> AsyncIterator[Subscriber]:
    """The module's own subscription, over a WebSocket."""
    async with opened_socket(world.gateway, token=bearer) as socket:
        await say(socket, type="subscribe", id="1", payload={"query": MOVED})

        async def hear() -> tuple[str, Any]:
            message = json.loads(await socket.recv())
            return message["type"], message.get("payload")

        yield Subscriber(hear=hear, drop=socket.transport.abort)


async def begun(world: World, organization: str, stream: Subscriber) -> None:
    """It begins with what comes after it, and only the first event tells that it has: make some until it comes."""
    first = asyncio.create_task(stream.take(1))
    revision = 0
    while not first.done():
        revision = await rename(world.platform, organization)
        await asyncio.wait({first}, timeout=0.1)
    (event,) = await first
    await stream.take(revision - event["revision"])


async def streams(world: World, count: int) -> None:
    """Wait until the module feeds so many."""
    async with asyncio.timeout(END_SECONDS):
        while await world.warehouse.streams() != count:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_events_of_the_platform_arrive(world: World, transport: str) -> None:
    tenant = await world.tenant(has_warehouse=False)
    async with OVER[transport](world.gateway, token=tenant.token, organization=tenant.organization) as stream:
        await begun(world, tenant.organization, stream)
        assert (await assign(world.platform, tenant.organization, MODULE))["errors"] == []
        (event,) = await stream.take(1)
        assert (event["type"], event["moduleCode"]) == ("ASSIGNED", MODULE)
        assert (await unassign(world.platform, tenant.organization, MODULE))["errors"] == []
        (event,) = await stream.take(1)
        assert event["type"] == "UNASSIGNED"


async def test_a_revoked_module_ends_its_streams(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    await streams(world, 0)
    async with moves(world, tenant.token) as stream:
        await streams(world, 1)
        await world.receive(tenant, "bolt", 7)
        async with asyncio.timeout(END_SECONDS):
            assert await stream.hear() == ("next", {"data": {"warehouseMoved": {"sku": "bolt", "quantity": 7}}})
        assert (await unassign(world.platform, tenant.organization, MODULE))["errors"] == []
        revoked = time.monotonic()
        extensions = await stream.error()
        assert extensions == {"code": "ENTITLEMENT_REVOKED", "module": MODULE}
        assert await stream.hear() == ("complete", None)
        assert time.monotonic() - revoked < END_SECONDS
        await streams(world, 0)


async def test_a_stream_of_a_module_begins_only_with_it(world: World) -> None:
    tenant = await world.tenant(has_warehouse=False)
    async with moves(world, tenant.token) as stream:
        assert await stream.error() == {"code": "MODULE_NOT_ENTITLED", "module": MODULE}
    assert await world.warehouse.streams() == 0


async def test_who_leaves_is_not_fed_any_more(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    async with moves(world, tenant.token) as stream:
        await streams(world, 1)
        stream.drop()
        await streams(world, 0)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_revoked_token_ends_its_streams(world: World, transport: str) -> None:
    tenant = await world.tenant(has_warehouse=False)
    leaver = token(Role.MEMBER, organization=tenant.organization, subject=f"leaver-{transport}")
    async with OVER[transport](world.gateway, token=leaver, organization=tenant.organization) as stream:
        await begun(world, tenant.organization, stream)
        variables = {"input": {"subject": f"leaver-{transport}"}}
        payload = await world.platform.data(REVOKE, variables, token=tenant.token)
        assert payload["revokeTokens"]["errors"] == []
        revoked = time.monotonic()
        assert (await stream.error())["code"] == "UNAUTHENTICATED"
        assert time.monotonic() - revoked < END_SECONDS


async def test_a_token_that_is_none_begins_nothing(world: World) -> None:
    async with moves(world, "nonsense") as stream:
        assert (await stream.error())["code"] == "UNAUTHENTICATED"
