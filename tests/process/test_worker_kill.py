"""Worker processes are killed again and again while they carry out an operation: each organization once."""

import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from app.migrate import connect_owner
from models.database import parse_url
from tests.conftest import Databases
from tests.process.programs import ask, end, is_over, run, start, wait_until

ORGANIZATIONS, CHUNK, WORKERS = 3_000, 20, 2
MODULES = ["crm", "hr", "leave"]
RESUME_SECONDS, ALL_SECONDS = 30.0, 150.0
# One is killed whenever so many more organizations are done: how fast that goes does not matter.
KILLS, KILL_EVERY = 4, 500
# The first two die in the middle of a chunk and between two of them; what comes after is killed from outside.
FAILPOINTS = ["worker.in_chunk:10", "worker.between_chunks:20"]
MADE = """
WITH made AS (INSERT INTO organizations(organization_id, name, plan, revision)
  SELECT uuidv7(), 'Killed ' || n, 'free', 1 FROM generate_series(1, $1::int) n RETURNING organization_id)
INSERT INTO org_revision(organization_id, rev) SELECT organization_id, 0 FROM made
"""
BULK = """mutation($modules: [String!]!) { bulkAssignModules(input: {modules: $modules, organizationFilter: {}}) {
  operation { id total } errors { code } } }"""
PROGRESS = "query($id: ID!) { operation(id: $id) { status done failed total } }"
# one row for each organization: its modules, the type and rev of its events, its counter
OUTCOME = """
SELECT (SELECT array_agg(module_id ORDER BY module_id) FROM tenant_modules t
         WHERE t.organization_id = o.organization_id) AS modules,
       (SELECT array_agg(e.aggregatetype || ' ' || e.rev ORDER BY e.rev) FROM event_log e
         WHERE e.organization_id = o.organization_id) AS events,
       (SELECT array_agg(DISTINCT revision) FROM tenant_modules t
         WHERE t.organization_id = o.organization_id) AS revisions, r.rev
  FROM organizations o JOIN org_revision r USING (organization_id)
"""


@dataclass
class Fleet:
    """Worker processes, the oldest first."""

    directory: Path
    given: dict[str, str]
    running: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)
    doomed: set[Path] = field(default_factory=set)  # the logs of those with a failpoint
    started: int = 0
    killed: int = 0

    def keep_up(self) -> None:
        """Replace those that have died."""
        self.running = [(process, log) for process, log in self.running if process.poll() is None]
        while len(self.running) < WORKERS:
            log = self.directory / f"worker-{self.started}.log"
            more = {}
            if self.started < len(FAILPOINTS):
                more = {"FAILPOINT": FAILPOINTS[self.started]}
                self.doomed.add(log)
            process = start(
                "serve", "--roles", "worker", log=log, data_dir=str(self.directory / "data"), **self.given, **more
            )
            self.running.append((process, log))
            self.started += 1

    def kill_when(self, done: int) -> None:
        """One that is at work, and would not die of itself, if it is time for it."""
        if self.killed < KILLS and done >= KILL_EVERY * (self.killed + 1):
            for process, log in self.running:
                if log not in self.doomed and "ready: " in log.read_text() and process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    self.killed += 1
                    return


@pytest_asyncio.fixture
async def addresses(databases: Databases, servers: Endpoints) -> AsyncIterator[dict[str, str]]:
    """Where the servers are, with a database of the test's own."""
    database = await databases.create()
    yield {
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": servers.redis,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
    }


@pytest_asyncio.fixture
async def owner(addresses: dict[str, str]) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_owner(parse_url(addresses["DATABASE_URL"]))
    yield connection
    await connection.close()


@pytest.mark.timeout(240)  # half a minute on a quiet machine
async def test_each_organization_once_whoever_dies(
    tmp_path: Path, addresses: dict[str, str], owner: asyncpg.Connection
) -> None:
    await owner.execute(MADE, ORGANIZATIONS)
    with api(tmp_path, addresses) as (url, bearer):
        asked = ask(url, BULK, {"modules": MODULES}, token=bearer)["bulkAssignModules"]
        assert (asked["errors"], asked["operation"]["total"]) == ([], ORGANIZATIONS)
        operation = asked["operation"]["id"]
        size = "UPDATE operations SET request = request || jsonb_build_object('chunk_size', $1::int) WHERE id = $2"
        await owner.execute(size, CHUNK, operation)
        with fleet(tmp_path, addresses) as workers:
            seen = watched(url, bearer, operation, workers)
    done = [each["done"] for _, each in seen]
    assert done == sorted(done)
    assert all(each["failed"] == 0 and each["total"] == ORGANIZATIONS for _, each in seen)
    assert (seen[-1][1]["status"], done[-1]) == ("SUCCEEDED", ORGANIZATIONS)
    moved = [at for index, (at, each) in enumerate(seen) if index == 0 or each["done"] > done[index - 1]]
    assert max(later - at for at, later in pairwise(moved)) < RESUME_SECONDS
    # those with a failpoint died of themselves
    assert (workers.started >= len(FAILPOINTS) + KILLS + 1, workers.killed) == (True, KILLS)
    outcome = {(*map(str, row),) for row in await owner.fetch(OUTCOME)}
    assert outcome == {(str(MODULES), "['module.bulk_assigned 1']", "[1]", "1")}
    chunks = await owner.fetchrow(
        "SELECT count(*), sum(cardinality(members)), max(attempts) FROM operation_chunks"
        " WHERE operation_id = $1 AND status = 'DONE'",
        operation,
    )
    assert (chunks[0] >= ORGANIZATIONS // CHUNK, chunks[1], chunks[2] >= 2) == (True, ORGANIZATIONS, True)


def watched(url: str, bearer: str, operation: str, workers: Fleet) -> list[tuple[float, Any]]:
    """What the API says of the progress, and when, while workers are killed and replaced."""
    seen: list[tuple[float, Any]] = []
    begun = time.monotonic()
    while not seen or seen[-1][1]["status"] in ("PENDING", "RUNNING"):
        assert time.monotonic() - begun < ALL_SECONDS, seen[-1]
        workers.keep_up()
        seen.append((time.monotonic(), ask(url, PROGRESS, {"id": operation}, token=bearer)["operation"]))
        workers.kill_when(seen[-1][1]["done"])
        time.sleep(0.05)
    return seen


@contextmanager
def api(directory: Path, given: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A process with the API: its address, and an administrator's token."""
    port, log, data_dir = choose_port(None, taken=()), directory / "api.log", directory / "data"
    process = start("serve", "--roles", "api", log=log, data_dir=str(data_dir), **given, MODPLANE_PORT=str(port))
    try:
        wait_until(lambda: "ready: " in log.read_text() or is_over(process, log))
        bearer = run("token", "--role", "SUPER_ADMIN", data_dir=data_dir).stdout.strip()
        yield f"http://127.0.0.1:{port}/graphql", bearer
    finally:
        end(process)


@contextmanager
def fleet(directory: Path, given: dict[str, str]) -> Iterator[Fleet]:
    workers = Fleet(directory, given)
    try:
        yield workers
    finally:
        for process, _ in workers.running:
            end(process)
