"""One graph for all tests of the gateway: Modplane, the warehouse, and the gateway before them, each a real one."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from sqlalchemy import URL

from tests.gateway.node import GATEWAY, WAREHOUSE, Program, free_port, running
from tests.support.platform import GATEWAY as GATEWAY_KEY_PAIR
from tests.support.platform import GATEWAY_KEY, Platform
from tests.support.stories import admin_of, assign, create_company, register, sign_up

MODULE = "warehouse"
RECEIVE = """mutation($company: ID!, $sku: String!, $quantity: Int!) {
  receiveWarehouseGoods(companyId: $company, sku: $sku, quantity: $quantity) { sku quantity } }"""


@dataclass
class Tenant:
    """An organization with one company, and its administrator's token."""

    organization: str
    company: str
    token: str


@dataclass
class World:
    """`platform` is asked directly, `gateway` the same way through the gateway."""

    platform: Platform
    gateway: Platform
    program: Program
    warehouse: "Warehouse"
    data_dir: Path
    database: URL  # the owner's login

    async def tenant(self, *, has_warehouse: bool) -> Tenant:
        organization = await sign_up(self.platform)
        if has_warehouse:
            payload = await assign(self.platform, organization, MODULE)
            assert payload["errors"] == [], payload["errors"]
        company = await create_company(self.platform, organization)
        return Tenant(organization, company, admin_of(organization))

    async def receive(self, tenant: Tenant, sku: str, quantity: int) -> Any:
        """Goods come in, through the gateway."""
        variables = {"company": tenant.company, "sku": sku, "quantity": quantity}
        return await self.gateway.data(RECEIVE, variables, token=tenant.token)


@dataclass
class Warehouse:
    """The example's service, which can be ended and started again at the same address."""

    environment: dict[str, str]
    stack: AsyncExitStack

    @property
    def url(self) -> str:
        return self.environment["WAREHOUSE_URL"]

    @property
    def program(self) -> Program:
        return self._program

    async def start(self) -> None:
        self._program = await self.stack.enter_async_context(running(WAREHOUSE, self.environment))
        await self._program.said("ready: ")

    async def requests(self) -> int:
        """How many GraphQL requests it has been sent, refused ones too."""
        return (await self._health())["graphqlRequests"]

    async def streams(self) -> int:
        """How many live streams it feeds."""
        return (await self._health())["streams"]

    async def _health(self) -> dict[str, int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            found: dict[str, int] = (await client.get(f"{self.url}/health")).json()
            return found


def write_keys(data_dir: Path) -> None:
    """What Modplane would have made: the gateway's key to it, and the one that the gateway signs with."""
    keys = data_dir / "keys"
    keys.mkdir(parents=True)
    (keys / "gateway.key").write_text(GATEWAY_KEY + "\n")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (keys / "gateway.pem").write_bytes(GATEWAY_KEY_PAIR.private_bytes(*form))


def gateway_environment(platform_url: str, data_dir: Path) -> dict[str, str]:
    return {
        "MODPLANE_URL": platform_url.removesuffix("/graphql"),
        "MODPLANE_DATA_DIR": str(data_dir),
        "MODPLANE_GATEWAY_PORT": str(free_port()),
        "MODPLANE_GATEWAY_POLL_SECONDS": "1",
    }


@asynccontextmanager
async def running_world(platform: Platform, database: URL, data_dir: Path) -> AsyncIterator[World]:
    write_keys(data_dir)
    async with AsyncExitStack() as stack:
        warehouse = Warehouse(await _warehouse_environment(platform, database), stack)
        await warehouse.start()
        assert await warehouse.program.said(f"the subgraph {MODULE} 1.0.0 is ") == "ACTIVE", warehouse.program.lines
        program = await stack.enter_async_context(running(GATEWAY, gateway_environment(platform.url, data_dir)))
        gateway = dataclasses.replace(platform, url=await program.said("ready: "))
        yield World(platform, gateway, program, warehouse, data_dir, database)


async def _warehouse_environment(platform: Platform, database: URL) -> dict[str, str]:
    await register(platform, MODULE)
    mutation = """mutation($input: CreateModuleApiKeyInput!) {
      createModuleApiKey(input: $input) { secret errors { code message } } }"""
    made = await platform.data(mutation, {"input": {"module": MODULE, "name": "tests"}})
    assert made["createModuleApiKey"]["errors"] == []
    port = free_port()
    return {
        "MODPLANE_URL": platform.url.removesuffix("/graphql"),
        "MODPLANE_MODULE_API_KEY": made["createModuleApiKey"]["secret"],
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "WAREHOUSE_PORT": str(port),
        "WAREHOUSE_URL": f"http://127.0.0.1:{port}",
    }
