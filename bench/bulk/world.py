"""Servers, processes and organizations to measure with, and what must be true of them afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints, Supervisor
from app.migrate import connect_owner, migrate, role_urls
from app.seed import seed_pack
from app.serve import Backends, open_services
from models.database import parse_url

# What sign-up leaves of an organization without an industry where no module is CORE: its row, its counter at 1, and its
# first event, which the relay has sent long ago (so nothing of it is in the outbox).
ORGANIZATIONS = (
    "INSERT INTO organizations(organization_id, name, plan, revision, created_at, updated_at)"
    " SELECT uuidv7(), 'Organization ' || n, 'free', 1, now(), now() FROM generate_series(1, $1::int) n",
    "INSERT INTO org_revision(organization_id, rev) SELECT organization_id, 1 FROM organizations",
    "INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, payload,"
    "  source, dataschema, time, actor, occurred_at)"
    " SELECT uuidv7(), organization_id, 1, 'module.organization_created', organization_id::text,"
    "  'tenant.module.organization_created.v1', organization_id::text, 1, jsonb_build_object("
    "   'organization_id', organization_id::text, 'module_id', NULL, 'user_id', 'bench', 'payload', jsonb_build_object("
    "   'organization', jsonb_build_object('id', organization_id::text, 'name', name, 'industry_code', NULL,"
    "   'industry_name', NULL, 'plan', plan, 'revision', 1))), '/organizations/' || organization_id,"
    "  'https://modplane.dev/schemas/events/tenant.module.organization_created.v1.json',"
    "  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'bench', created_at"
    " FROM organizations",
)
# Everything that the promise says, each as a count of what breaks it.
CHECKS = {
    "organizations without exactly the modules": "SELECT count(*) FROM organizations o WHERE"
    " (SELECT array_agg(module_id ORDER BY module_id) FROM tenant_modules t"
    "  WHERE t.organization_id = o.organization_id) IS DISTINCT FROM $1::text[]",
    "organizations without exactly one event": "SELECT count(*) FROM organizations o WHERE 1 <> (SELECT count(*)"
    " FROM event_log e WHERE e.organization_id = o.organization_id AND e.type LIKE 'tenant.module.bulk_assigned.%'"
    "  AND (SELECT array_agg(m ORDER BY m) FROM unnest(e.modules) m) = $1::text[])",
    "streams with a gap": "SELECT count(*) FROM organizations o JOIN org_revision r USING (organization_id)"
    " WHERE (SELECT array_agg(e.rev ORDER BY e.rev) FROM event_log e WHERE e.organization_id = o.organization_id)"
    "  IS DISTINCT FROM ARRAY(SELECT generate_series(1, r.rev)) OR cardinality($1::text[]) = 0",
    "rows that do not carry their event's rev": "SELECT count(*) FROM tenant_modules t"
    " WHERE config_revision <> revision OR module_id <> ALL($1::text[]) OR revision <> (SELECT e.rev FROM event_log e"
    "  WHERE e.organization_id = t.organization_id AND e.type LIKE 'tenant.module.bulk_assigned.%')",
}


@contextmanager
def servers(directory: Path, is_profiled: bool) -> Iterator[Endpoints]:
    supervisor = Supervisor(directory / "data", fsync=True)
    endpoints = supervisor.start()
    try:
        if is_profiled:
            asyncio.run(_load_statistics(endpoints))
            supervisor.stop()
            endpoints = supervisor.start()
        yield endpoints
    finally:
        supervisor.stop()


async def _load_statistics(endpoints: Endpoints) -> None:
    async with owner(endpoints) as connection:
        await connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        await connection.execute("CREATE EXTENSION pg_stat_statements")


@asynccontextmanager
async def owner(endpoints: Endpoints) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_owner(parse_url(endpoints.postgres))
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def processes(directory: Path, at: Endpoints, *, workers: int) -> Iterator[tuple[str, str, list[int]]]:
    """The API and the workers; the API's address, a token, and the workers' process ids."""
    port = choose_port(None, taken=())
    environment = {
        **os.environ,
        "DATABASE_URL": at.postgres,
        "REDIS_URL": at.redis,
        "KAFKA_BOOTSTRAP_SERVERS": at.kafka,
        "MODPLANE_PORT": str(port),
        "MODPLANE_DATA_DIR": str(directory / "keys"),
    }
    modplane = str(Path(sys.executable).with_name("modplane"))
    command = [modplane, "token", "--role", "SUPER_ADMIN"]
    token = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    started: list[subprocess.Popen[str]] = []
    try:
        for roles in ("api", *["worker"] * workers):
            command = [modplane, "serve", "--roles", roles]
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        for process in started:
            assert process.stdout
            assert process.stdout.readline().startswith("ready: ")
        yield f"http://127.0.0.1:{port}/graphql", token, [process.pid for process in started[1:]]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)


async def slowest(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    rows = await connection.fetch(
        "SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 100) AS statement, calls,"
        " round(total_exec_time::numeric / 1000, 2)::float AS seconds FROM pg_stat_statements"
        " ORDER BY total_exec_time DESC LIMIT 14"
    )
    return [dict(row) for row in rows]


def processor_seconds(pid: int) -> float:
    """User and system time of a process, by proc(5) stat after the name, which stands in parentheses."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def furnish(connection: asyncpg.Connection, at: Endpoints, organizations: int) -> list[str]:
    """Tables, a catalogue, and the organizations; their ids, in order."""
    url = parse_url(at.postgres)
    backends = Backends(database=role_urls(url), redis=at.redis, kafka=at.kafka)
    await migrate(url, backends.database)
    async with open_services(backends) as services:
        await seed_pack(services, "erp")
    for statement in ORGANIZATIONS:
        await connection.execute(statement, *([organizations] if "$1" in statement else []))
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    return [str(row[0]) for row in await connection.fetch("SELECT organization_id FROM organizations ORDER BY 1")]
