"""What the gateway does when something is away, broken, or just being changed."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.migrate import connect_owner
from tests.gateway.node import GATEWAY, Program, free_port, running
from tests.gateway.world import MODULE, Tenant, World, gateway_environment, write_keys
from tests.live.clients import over_websocket
from tests.support.proxy import proxy
from tests.support.stories import assign
from tests.support.subgraphs import active, module_of, running_services

LAST_GOOD = Path("gateway") / "supergraph.graphql"
QUERY = "query($id: ID!) { organization(id: $id) { name warehouseStock { sku quantity } } }"
BREAK = """INSERT INTO supergraph_artifacts SELECT version + 1000, $1, public_sdl, sha256, contracts, composer, inputs,
  platform_sdl, revision, created_by, created_at FROM supergraph_artifacts ORDER BY version DESC LIMIT 1"""


async def ask(world: World, tenant: Tenant, count: int) -> int:
    """How many of so many queries, one after the other, were answered in full."""
    good = 0
    for _ in range(count):
        answer = (await world.gateway.post(QUERY, {"id": tenant.organization}, token=tenant.token)).json()
        good += "errors" not in answer and answer["data"]["organization"]["warehouseStock"][0]["sku"] == "bolt"
    return good


@pytest.mark.timeout(300)  # twenty seconds where nothing else runs
async def test_no_query_fails_while_the_supergraph_changes(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    await world.receive(tenant, "bolt", 1)
    module = await module_of(world.platform)
    field = f"{module[0]}{module.title().replace('-', '')[1:]}"
    stream = over_websocket(world.gateway, token=tenant.token, organization=tenant.organization)
    async with running_services() as services, stream as live:
        load = asyncio.gather(*(ask(world, tenant, 125) for _ in range(8)))
        await active(world.platform, services, module)
        async with asyncio.timeout(10):
            # the gateway knows the field as soon as it has the new supergraph; this tenant has not got the module
            while await world.gateway.code(f"{{ {field} {{ id }} }}", token=tenant.token) != "MODULE_NOT_ENTITLED":
                await asyncio.sleep(0.1)
        is_under_load = not load.done()
        assert sum(await load) == 1_000
        assert is_under_load
        assert (await assign(world.platform, tenant.organization, module))["errors"] == []
        (event,) = await live.take(1)  # begun on the former supergraph, and still there
        assert event["type"] == "ASSIGNED"


async def test_a_broken_supergraph_changes_nothing(world: World) -> None:
    kept = (world.data_dir / LAST_GOOD).read_text()
    connection = await connect_owner(world.database)
    try:
        good = await connection.fetchval("SELECT version FROM supergraph_head")
        await connection.execute(BREAK, "type Query { broken: ")
        await connection.execute("UPDATE supergraph_head SET version = (SELECT max(version) FROM supergraph_artifacts)")
        async with asyncio.timeout(10):
            while not any("A supergraph was refused" in line for line in world.program.lines):
                await asyncio.sleep(0.05)
        assert await world.gateway.data("{ __typename viewer { subject } }")
        assert (world.data_dir / LAST_GOOD).read_text() == kept
    finally:
        await connection.execute("UPDATE supergraph_head SET version = $1", good)
        await connection.close()


async def test_a_module_that_is_down_is_null_and_named(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    assert await world.warehouse.program.end() == 0
    try:
        answer = (await world.gateway.post(QUERY, {"id": tenant.organization}, token=tenant.token)).json()
        assert answer["data"]["organization"]["warehouseStock"] is None
        assert answer["data"]["organization"]["name"]
        (error,) = answer["errors"]
        assert error["message"] == "The service of 'warehouse' does not answer."
        assert error["extensions"] == {"code": "SUBGRAPH_UNAVAILABLE", "subgraph": MODULE}
    finally:
        await world.warehouse.start()
    found = await world.gateway.data(QUERY, {"id": tenant.organization}, token=tenant.token)
    assert found["organization"]["warehouseStock"] == []


@asynccontextmanager
async def another_gateway(data_dir: Path, platform_url: str, supergraph: str) -> AsyncIterator[tuple[Program, str]]:
    """A gateway that was there before, by what it kept; its address."""
    write_keys(data_dir)
    (data_dir / LAST_GOOD).parent.mkdir()
    (data_dir / LAST_GOOD).write_text(supergraph)
    environment = gateway_environment(platform_url, data_dir)
    async with running(GATEWAY, environment) as program:
        yield program, f"http://127.0.0.1:{environment['MODPLANE_GATEWAY_PORT']}/graphql"


async def test_it_begins_without_modplane_by_what_it_kept(world: World, tmp_path: Path) -> None:
    kept = (world.data_dir / LAST_GOOD).read_text()
    is_back: list[int] = []
    async with (
        proxy(lambda: is_back[0] if is_back else None) as door,
        another_gateway(tmp_path, f"http://127.0.0.1:{door.port}", kept) as (program, url),
    ):
        assert await program.said("ready: ") == url
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(url.replace("/graphql", "/readiness"))).status_code == 200
        response = await dataclasses.replace(world.gateway, url=url).post("{ viewer { subject } }")
        # who is asking, only Modplane knows
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert [each["extensions"] for each in response.json()["errors"]] == [{"code": "UNAVAILABLE"}]
        is_back.append(int(world.platform.url.split(":")[2].split("/")[0]))
        found = await dataclasses.replace(world.gateway, url=url).data("{ viewer { subject } }")
        assert found == {"viewer": {"subject": "tester"}}
        assert await program.end() == 0


@pytest.mark.parametrize("how", ["cut short", "edited", "empty"])
async def test_what_it_kept_is_not_used_when_it_is_corrupt(world: World, tmp_path: Path, how: str) -> None:
    kept = (world.data_dir / LAST_GOOD).read_text()
    corrupt = {"cut short": kept[:-100], "edited": kept.replace("name", "mane", 1), "empty": ""}[how]
    async with another_gateway(tmp_path, f"http://127.0.0.1:{free_port()}", corrupt) as (program, url):
        await program.said("waiting for a supergraph")
        with pytest.raises(httpx.ConnectError):
            await dataclasses.replace(world.gateway, url=url).post("{ __typename }")
        assert await program.end() == 0


async def test_it_begins_although_it_can_keep_nothing(world: World, tmp_path: Path) -> None:
    write_keys(tmp_path)
    (tmp_path / LAST_GOOD.parent).write_text("a file where the folder should be")
    async with running(GATEWAY, gateway_environment(world.platform.url, tmp_path)) as program:
        url = await program.said("ready: ")
        assert any("The supergraph could not be kept" in line for line in program.lines), program.lines
        assert await dataclasses.replace(world.gateway, url=url).data("{ viewer { subject } }")
