"""effectiveConfigChanged: the whole first, then patches, whichever tier changed; and nothing of anybody else's."""

import asyncio
import json
from typing import Any

import jsonpatch
from websockets.asyncio.client import ClientConnection

from auth.actor import Role
from tests.live.clients import SECONDS, opened_socket, say
from tests.live.conftest import ONE_BROKER, Live
from tests.support.platform import token
from tests.support.stories import (
    admin_of,
    assign,
    create_company,
    register,
    set_company_config,
    set_config,
    sign_up,
    unassign,
    unique,
)

pytestmark = ONE_BROKER
QUERY = """subscription($organization: ID!, $module: String!, $company: ID, $after: String) {
  effectiveConfigChanged(organizationId: $organization, module: $module, companyId: $company, after: $after) {
    revision values patch effectiveConfig { revision } } }"""


async def watch(socket: ClientConnection, **variables: Any) -> None:
    await say(socket, type="subscribe", id="1", payload={"query": QUERY, "variables": variables})


async def hear(socket: ClientConnection) -> Any:
    async with asyncio.timeout(SECONDS):
        message = json.loads(await socket.recv())
    assert message["type"] == "next", message
    return message["payload"]["data"]["effectiveConfigChanged"]


async def test_whole_first_then_patches_of_every_tier(live: Live) -> None:
    platform = live.platform
    code = await register(platform, unique("watched"), configuration={"defaults": {"a": 1, "deep": {"x": 1}}})
    organization = await sign_up(platform)
    company, other = [await create_company(platform, organization) for _ in range(2)]
    await assign(platform, organization, code)
    async with opened_socket(platform) as socket:
        await watch(socket, organization=organization, module=code, company=company)
        whole = await hear(socket)
        assert (whole["values"], whole["patch"]) == ({"a": 1, "deep": {"x": 1}}, None)
        # one after the other: changes that come faster than they are read are told as one
        tenant = await set_config(platform, organization, code, {"deep": {"y": 2}})
        first = await hear(socket)
        await set_company_config(platform, other, code, {"a": 99})
        mine = await set_company_config(platform, company, code, {"a": 3})
        second = await hear(socket)
    assert first == {
        "revision": tenant["revision"],
        "values": None,
        "patch": [{"op": "add", "path": "/deep/y", "value": 2}],
        "effectiveConfig": {"revision": tenant["revision"]},
    }
    assert (second["revision"], second["patch"]) == (mine["revision"], [{"op": "replace", "path": "/a", "value": 3}])
    values = whole["values"]
    for change in (first, second):
        values = jsonpatch.apply_patch(values, change["patch"])
    assert values == mine["effectiveConfig"]["values"]


async def test_a_module_that_goes_and_comes_back(live: Live) -> None:
    platform = live.platform
    code = await register(platform, unique("watched"), configuration={"defaults": {"a": 1}})
    organization = await sign_up(platform)
    await assign(platform, organization, code)
    async with opened_socket(platform) as socket:
        await watch(socket, organization=organization, module=code)
        await hear(socket)
        await unassign(platform, organization, code)
        gone = await hear(socket)
        await assign(platform, organization, code, config={"a": 2})
        back = await hear(socket)
    assert (gone["values"], gone["patch"], gone["effectiveConfig"]) == (None, None, None)
    assert (back["values"], back["patch"]) == ({"a": 2}, None)


async def test_another_tenant_is_answered_like_nobody(live: Live) -> None:
    platform = live.platform
    organization, stranger = await sign_up(platform, industry="tech"), await sign_up(platform)
    nobody = "01900000-0000-7000-8000-000000000000"
    heard = []
    for asked in (organization, nobody):
        async with opened_socket(platform, token=admin_of(stranger)) as socket:
            await watch(socket, organization=asked, module="crm")
            async with asyncio.timeout(SECONDS):
                heard.append((await socket.recv(decode=False)).replace(asked.encode(), b"ID"))
    assert heard[0] == heard[1]
    assert json.loads(heard[0])["payload"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_member_of_one_company_may_not_watch_another(live: Live) -> None:
    platform = live.platform
    organization = await sign_up(platform, industry="tech")
    mine, other = [await create_company(platform, organization) for _ in range(2)]
    bound = token(Role.MEMBER, organization=organization, company=mine)
    async with opened_socket(platform, token=bound) as socket:
        await watch(socket, organization=organization, module="crm", company=other)
        async with asyncio.timeout(SECONDS):
            assert json.loads(await socket.recv())["type"] == "error"


async def test_a_cursor_beyond_the_stream_is_a_gap(live: Live) -> None:
    organization = await sign_up(live.platform, industry="tech")
    async with opened_socket(live.platform) as socket:
        await watch(socket, organization=organization, module="crm", after="v1:1000")
        async with asyncio.timeout(SECONDS):
            (error,) = json.loads(await socket.recv())["payload"]
    assert (error["extensions"]["code"], error["extensions"]["currentRevision"]) == ("RESUME_GAP", 2)
