"""The graph, started once for all tests here."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.composing import run_composing
from app.embedded.supervisor import Endpoints
from tests.conftest import Databases, backends_on
from tests.federation.install import require_composer, require_installed
from tests.gateway.node import GATEWAY, WAREHOUSE
from tests.gateway.world import World, running_world
from tests.support.platform import FEDERATION, running_platform

ROLES = frozenset({"api", "live", "relay"})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(
    databases: Databases, servers: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    require_composer()
    require_installed(GATEWAY)
    require_installed(WAREHOUSE)
    database = await databases.create()
    async with running_platform(backends_on(database, servers), roles=ROLES) as platform:
        composing = run_composing(platform.services, graphql_url=platform.url, routing=FEDERATION.routing)
        worker = asyncio.create_task(composing)
        try:
            async with running_world(platform, database, tmp_path_factory.mktemp("gateway")) as running:
                yield running
        finally:
            worker.cancel()
            await asyncio.wait([worker])
