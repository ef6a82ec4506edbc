"""The graphs composed so far: which one is served, to whom, and how an earlier one is served again."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from app.embedded.supervisor import Endpoints
from graph.schema import schema
from models.database import DatabaseUrls
from tests.api.operations import connected
from tests.conftest import Databases, backends_on
from tests.federation.install import require_composer
from tests.live.servers import port_of
from tests.support.platform import GATEWAY_KEY, Platform, running_platform
from tests.support.proxy import proxy
from tests.support.stories import manifest, register, try_register
from tests.support.subgraphs import (
    PLATFORM_URL,
    Services,
    active,
    composing,
    current,
    done,
    module_of,
    mutate,
    prefix_of,
    read,
    running_services,
    sdl_of,
)

KEY = {"x-hive-cdn-key": GATEWAY_KEY}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(platform: Platform) -> AsyncIterator[Services]:
    require_composer()
    async with running_services() as running, composing(platform):
        yield running


async def fetch(platform: Platform, path: str = "current/supergraph", **headers: str) -> httpx.Response:
    url = platform.url.replace("/graphql", f"/artifacts/v1/{path}")
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await platform.client.get(url, headers={**KEY, **given})


async def test_the_first_artifact_is_the_platform_alone(databases: Databases, servers: Endpoints) -> None:
    require_composer()
    async with running_platform(backends_on(await databases.create(), servers)) as platform:
        assert (await fetch(platform)).status_code == 404
        async with composing(platform):
            found = await current(platform)
        alone = {"name": "platform", "subgraphId": None, "version": None, "url": PLATFORM_URL}
        assert (found["version"], found["isCurrent"], found["inputs"]) == (1, True, [alone])
        assert found["composer"].startswith("@theguild/federation-composition ")
        assert found["sha256"] == hashlib.sha256(found["sdl"].encode()).hexdigest()
        query = "{ events(types: [SUPERGRAPH_PUBLISHED]) { nodes { revision actor payload } } }"
        (event,) = (await platform.data(query))["events"]["nodes"]
        told = event["payload"]["supergraph"]
        assert (told["version"], told["sha256"], event["actor"]) == (1, found["sha256"], "modplane")
        assert told["inputs"][0]["sha256"] == hashlib.sha256(schema.as_str().encode()).hexdigest()
        assert "sdl" not in told


async def test_gateways_fetch_it_by_their_key_and_its_tag(platform: Platform, services: Services) -> None:
    shown = await current(platform)
    first = await fetch(platform)
    assert (first.status_code, first.text) == (200, shown["sdl"])
    assert first.headers["etag"] == f'"{shown["sha256"]}"'
    assert first.headers["cache-control"] == "private"
    again = await fetch(platform, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    public = await fetch(platform, "current/sdl")
    assert (public.status_code, public.text) == (200, shown["publicSdl"])
    for path in ("other/supergraph", "current/other", "plan-free/supergraph", "plan-golden/sdl"):
        assert (await fetch(platform, path)).status_code == 404
    for wrong in ("", "nobody's key", GATEWAY_KEY + "x"):
        refused = await fetch(platform, x_hive_cdn_key=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (401, "GATEWAY_KEY_INVALID")
    module = await module_of(platform)
    await active(platform, services, module)
    changed = await fetch(platform, if_none_match=first.headers["etag"])
    assert changed.status_code == 200
    assert prefix_of(module) in changed.text


async def test_a_plan_is_told_only_of_what_it_includes(platform: Platform, services: Services) -> None:
    public, dear = await module_of(platform), await register_for(platform, plan="premium")
    hidden = await register(platform, (await module_of(platform)) + "-hidden", tier="INTERNAL")
    for module in (public, dear, hidden):
        await active(platform, services, module)
    query = "query($plan: String!) { supergraph { contract(plan: $plan) } }"
    names = {module: prefix_of(module) for module in (public, dear, hidden)}
    seen = {}
    for plan in ("free", "premium"):
        contract = (await platform.data(query, {"plan": plan}))["supergraph"]["contract"]
        seen[plan] = {module for module, name in names.items() if f"type {name} " in contract}
        assert (await fetch(platform, f"plan-{plan}/sdl")).text == contract
    assert seen == {"free": {public}, "premium": {public, dear}}
    assert (await platform.data(query, {"plan": "golden"}))["supergraph"] == {"contract": None}


async def test_a_rollback_serves_the_same_bytes_again(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    await register(platform, module, "2.0.0")
    first = await active(platform, services, module)
    before, bytes_before = await current(platform), await fetch(platform)
    second = await active(platform, services, module, sdl_of(module, fields="number: Int new: Int"), version="2.0.0")
    after = await current(platform)
    back = await done(platform, "rollbackSupergraph", {"version": before["version"]})
    assert back == {"version": before["version"], "isCurrent": True}
    assert await current(platform) == before
    bytes_now = await fetch(platform, if_none_match=f'"{after["sha256"]}"')
    assert (bytes_now.content, bytes_now.headers["etag"]) == (bytes_before.content, bytes_before.headers["etag"])
    assert [(await read(platform, each["id"]))["state"] for each in (first, second)] == ["ACTIVE", "RETIRED"]
    again = await mutate(platform, "rollbackSupergraph", {"version": before["version"]})
    (event,) = await last_events(platform, 1)
    assert (event["type"], event["payload"]["moved_by"], again["errors"]) == ("SUPERGRAPH_PUBLISHED", "tester", [])
    assert (again["revision"], event["payload"]["supergraph"]["version"]) == (event["revision"], before["version"])
    # and forward again: what is activated next gets a number of its own
    await done(platform, "rollbackSupergraph", {"version": after["version"]})
    assert [(await read(platform, each["id"]))["state"] for each in (first, second)] == ["RETIRED", "ACTIVE"]


async def test_only_what_there_was_is_served_again(platform: Platform, services: Services) -> None:
    before = await current(platform)
    (error,) = (await mutate(platform, "rollbackSupergraph", {"version": 9999}))["errors"]
    assert (error["__typename"], error["path"]) == ("NotFoundError", ["input", "version"])
    module = await module_of(platform)
    await active(platform, services, module)
    with_it = await current(platform)
    await done(platform, "rollbackSupergraph", {"version": before["version"]})
    query = "mutation($code: String!) { deleteModule(input: {code: $code}) { errors { message } } }"
    assert (await platform.data(query, {"code": module}))["deleteModule"]["errors"] == []
    (error,) = (await mutate(platform, "rollbackSupergraph", {"version": with_it["version"]}))["errors"]
    assert error["__typename"] == "StateTransitionError"
    assert module in error["message"]
    assert await current(platform) == before


async def test_artifacts_are_listed_in_pages_without_their_texts(platform: Platform, services: Services) -> None:
    query = """query($after: String) { supergraphs(first: 2, after: $after) { totalCount
      nodes { version isCurrent } pageInfo { endCursor hasNextPage } } }"""
    seen: list[int] = []
    after = None
    with platform.statements() as sent:
        while True:
            page = (await platform.data(query, {"after": after}))["supergraphs"]
            seen += [each["version"] for each in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
    assert seen == list(range(page["totalCount"], 0, -1))
    assert not any("public_sdl" in each for each in sent.texts)
    query = "{ first: supergraph(version: 1) { version } missing: supergraph(version: 0) { version } }"
    assert await platform.data(query) == {"first": {"version": 1}, "missing": None}


async def test_nobody_may_change_an_artifact(platform: Platform, services: Services) -> None:
    async with platform.services.database.admin_engine.connect() as connection:
        for statement in ("UPDATE supergraph_artifacts SET sdl = ''", "DELETE FROM supergraph_artifacts"):
            with pytest.raises(Exception, match="permission denied"):
                await connection.exec_driver_sql(statement)
            await connection.rollback()


async def test_old_artifacts_go_and_what_is_served_stays(databases: Databases, servers: Endpoints) -> None:
    require_composer()
    async with (
        running_platform(backends_on(await databases.create(), servers)) as platform,
        running_services() as services,
        composing(platform),
    ):
        alone = await current(platform)
        # as if there had been as many, and the first one had been served again
        async with connected(platform) as connection:
            columns = "sdl, public_sdl, sha256, contracts, composer, inputs, platform_sdl, revision, created_by"
            await connection.execute(
                f"INSERT INTO supergraph_artifacts(version, {columns})"
                f" SELECT n, {columns} FROM supergraph_artifacts, generate_series(2, 120) AS n"
            )
            await active(platform, services, await module_of(platform))
            assert await kept_by(connection) == [1, *range(22, 122)]
            assert (await current(platform))["version"] == 121
            await active(platform, services, await module_of(platform))
            assert await kept_by(connection) == list(range(23, 123))
        (error,) = (await mutate(platform, "rollbackSupergraph", {"version": alone["version"]}))["errors"]
        assert (error["__typename"], error["message"]) == ("NotFoundError", "no supergraph 1")
        assert await done(platform, "rollbackSupergraph", {"version": 23}) == {"version": 23, "isCurrent": True}


async def kept_by(connection: asyncpg.Connection) -> list[int]:
    return [
        row["version"] for row in await connection.fetch("SELECT version FROM supergraph_artifacts ORDER BY version")
    ]


async def test_the_latest_artifacts_are_dropped_by_nobody(platform: Platform) -> None:
    database = platform.services.database
    for engine, kept, why in (
        (database.admin_engine, 9, "the last ten are always kept"),
        (database.app_engine, 100, "permission denied for function drop_old_supergraphs"),
    ):
        async with engine.connect() as connection:
            with pytest.raises(Exception, match=why):
                await connection.exec_driver_sql(f"SELECT drop_old_supergraphs({kept})")


async def test_the_last_good_one_is_served_while_the_database_is_away(
    databases: Databases, servers: Endpoints, platform: Platform, services: Services
) -> None:
    backends = platform.backends
    port = port_of(servers.postgres)
    async with proxy(lambda: port) as between:
        urls = backends.database
        through = DatabaseUrls(
            app=urls.app.set(host="127.0.0.1", port=between.port),
            admin=urls.admin.set(host="127.0.0.1", port=between.port),
            relay=urls.relay.set(host="127.0.0.1", port=between.port),
        )
        async with running_platform(replace(backends, database=through)) as gateway_side:
            good = await fetch(gateway_side)
            assert good.status_code == 200
            between.cut()
            kept = await fetch(gateway_side)
            assert (kept.status_code, kept.content) == (200, good.content)
            assert (await fetch(gateway_side, if_none_match=good.headers["etag"])).status_code == 304
            assert (await fetch(gateway_side, x_hive_cdn_key="wrong")).status_code == 401


async def register_for(platform: Platform, *, plan: str) -> str:
    """A module that needs a plan."""
    code = await module_of(platform)
    payload = await try_register(platform, manifest(f"{code}-dear", subscription_tier=plan))
    assert payload["errors"] == []
    return f"{code}-dear"


async def last_events(platform: Platform, count: int) -> list[Any]:
    query = """query($after: String) { events(first: 200, after: $after) {
      nodes { type revision payload } pageInfo { endCursor hasNextPage } } }"""
    nodes: list[Any] = []
    after = None
    while True:
        page = (await platform.data(query, {"after": after}))["events"]
        nodes += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes[-count:]
