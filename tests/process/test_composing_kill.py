"""Workers die between any two steps of a check and of a publication: another goes on, and nothing is done twice."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from app.embedded.supervisor import Endpoints
from app.migrate import connect_owner
from models.database import parse_url
from tests.conftest import Databases, backends_on
from tests.federation.install import require_composer
from tests.process.programs import end, is_over, start, wait_until
from tests.support.platform import Platform, running_platform
from tests.support.subgraphs import Services, done, module_of, running_services, sdl_of

CHECKING = ("composing.leased", "composing.checked", "composing.deciding")
# each worker first looks whether the platform's own part is to be renewed: that is the first time
PUBLISHING = ("composing.locked:2", "composing.composed", "composing.publishing", "composing.published:2")
FACTS = """SELECT array_agg(payload->'payload'->'subgraph'->>'state' ORDER BY rev) FROM event_log
  WHERE aggregatetype = 'module.subgraph_changed' AND subject = $1"""
PUBLISHED = "SELECT count(*) FROM event_log WHERE aggregatetype = 'module.supergraph_published'"
# from the tables: whoever was killed has perhaps told nobody that kept answers hold no more
STATE, HEAD = "SELECT state FROM subgraph_versions WHERE module_id = $1", "SELECT version FROM supergraph_head"
EXPIRE = "UPDATE subgraph_versions SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL"


@dataclass
class Workers:
    """`modplane serve --roles worker`, one after the other."""

    directory: Path
    given: dict[str, str]
    started: int = field(default=0)

    @contextmanager
    def run(self, failpoint: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
        log = self.directory / f"worker-{self.started}.log"
        more = {} if failpoint is None else {"FAILPOINT": failpoint}
        data_dir = str(self.directory / "data")
        process = start("serve", "--roles", "worker", log=log, data_dir=data_dir, **self.given, **more)
        self.started += 1
        try:
            wait_until(lambda: "ready: " in log.read_text() or failpoint is not None or is_over(process, log))
            yield process
        finally:
            end(process)

    def die(self, failpoint: str) -> None:
        with self.run(failpoint) as process:
            assert process.wait(60) == -9, failpoint


@pytest_asyncio.fixture
async def platform(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """Without a worker of its own."""
    async with running_platform(backends_on(await databases.create(), servers)) as running:
        yield running


@pytest_asyncio.fixture
async def owner(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_owner(platform.backends.database.admin)
    yield connection
    await connection.close()


@pytest.mark.timeout(180)  # eight processes, a quarter of that on a quiet machine
async def test_a_check_and_a_publication_survive_every_death(
    tmp_path: Path, platform: Platform, owner: asyncpg.Connection, servers: Endpoints
) -> None:
    require_composer()
    module = await module_of(platform)
    async with running_services() as services:
        workers = Workers(tmp_path, addresses(platform, servers, services))
        services.sdl[module] = sdl_of(module)
        # the first one dies before it has published even the platform alone
        await asyncio.to_thread(workers.die, "composing.publishing")
        assert await owner.fetchval(PUBLISHED) == 0
        given = {"module": module, "version": "1.0.0", "sdl": sdl_of(module), "routingUrl": services.url(module)}
        subgraph = await done(platform, "registerSubgraph", given)
        for failpoint in CHECKING:
            await asyncio.to_thread(workers.die, failpoint)
            assert await owner.fetchval(STATE, module) == "CHECKING"
            await owner.execute(EXPIRE)
        with workers.run():
            async with asyncio.timeout(60):
                while await owner.fetchval(STATE, module) == "CHECKING":
                    await asyncio.sleep(0.1)
        assert await owner.fetchrow(f"SELECT ({STATE}), ({HEAD})", module) == ("CHECKED", 1)
        await done(platform, "activateSubgraph", {"id": subgraph["id"]})
        for failpoint in PUBLISHING:
            await asyncio.to_thread(workers.die, failpoint)
            wanted = ("ACTIVE", 2) if failpoint == "composing.published:2" else ("ACTIVATING", 1)
            assert await owner.fetchrow(f"SELECT ({STATE}), ({HEAD})", module) == wanted
    assert await owner.fetchval(FACTS, module) == ["CHECKING", "CHECKED", "ACTIVATING", "ACTIVE"]
    assert await owner.fetchval(PUBLISHED) == 2


def addresses(platform: Platform, servers: Endpoints, services: Services) -> dict[str, str]:
    """What a worker process is told. The owner's login is the one that the servers were started with."""
    database = parse_url(servers.postgres).set(database=platform.backends.database.admin.database)
    return {
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": servers.redis,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
        "MODPLANE_ROUTING_ALLOWED_HOSTS": f"127.0.0.1:{services.port}",
    }
