"""Real servers for every test: one PostgreSQL, one Valkey and one Kafka-protocol broker for the whole run.

Each test module gets a database of its own, cloned from one that is migrated and seeded with the erp pack.
"""

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import URL

from app.embedded.supervisor import Endpoints, Supervisor
from app.migrate import connect_owner, migrate, role_urls
from app.seed import seed_pack
from app.serve import Backends, open_services
from models.database import parse_url
from tests.support.platform import Platform, running_platform

TEMPLATE = "modplane_erp"


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def _collected() -> AsyncIterator[None]:
    """What libraries close only when it is collected, while there is a loop to do that: the last thing of a session."""
    yield
    gc.collect()
    await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    supervisor = Supervisor(tmp_path_factory.mktemp("servers") / "data", fsync=False)
    endpoints = supervisor.start()
    yield endpoints
    supervisor.stop()


@dataclass(frozen=True)
class Databases:
    """Makes databases. `owner` is the login that may."""

    owner: URL

    async def create(self, *, template: str = TEMPLATE) -> URL:
        name = f"test_{secrets.token_hex(6)}"
        connection = await connect_owner(self.owner)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        finally:
            await connection.close()
        return self.owner.set(database=name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def databases(servers: Endpoints) -> Databases:
    owner = parse_url(servers.postgres)
    made = Databases(owner)
    template = await made.create(template="template0")
    backends = backends_on(template, servers)
    await migrate(template, backends.database)
    async with open_services(backends) as services:
        await seed_pack(services, "erp")
    connection: asyncpg.Connection = await connect_owner(owner)
    try:
        await connection.execute(f"ALTER DATABASE {template.database} RENAME TO {TEMPLATE}")
    finally:
        await connection.close()
    return made


def backends_on(database: URL, servers: Endpoints, *, kafka: str | None = None) -> Backends:
    return Backends(database=role_urls(database), redis=servers.redis, kafka=kafka or servers.kafka, pool_size=8)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """An API with the erp pack on a database of this module's own; the worker runs, Kafka is not needed."""
    backends = backends_on(await databases.create(), servers)
    async with running_platform(backends, roles=frozenset({"api", "worker"}), is_patient=True) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast and pure tests first; the supervisor's own while no other server runs, for they count processes."""
    order = {"rules": 0, "architecture": 1, "transport": 2, "embedded": 3}
    items.sort(key=lambda item: order.get(Path(item.fspath).parent.name, 4))
