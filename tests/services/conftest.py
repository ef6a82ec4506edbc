"""A platform that probes instances, and real services on ports of their own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from app.embedded.supervisor import Endpoints
from tests.conftest import Databases, backends_on
from tests.services.rest import Echo, Served
from tests.services.services import becomes, module_with_key, register_instance, serving
from tests.support.platform import Platform, running_platform
from tests.support.stories import assign, sign_up


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def probing(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """The API beside a prober, on a database of this module's own."""
    backends = backends_on(await databases.create(), servers)
    async with running_platform(backends, roles=frozenset({"api", "prober"}), is_patient=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(probing: Platform) -> AsyncIterator[Served]:
    module, key = await module_with_key(probing)
    organization = await sign_up(probing)
    await assign(probing, organization, module)
    echo = Echo()
    async with serving(echo) as instance:
        await register_instance(probing, key, module, instance)
        await becomes(probing, module, {instance: "HEALTHY"}, seconds=5)
        yield Served(probing, module, key, echo, instance, organization)
