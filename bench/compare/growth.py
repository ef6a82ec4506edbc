"""Whether a read costs more among a million organizations than among ten thousand: two databases, one server each."""

from dataclasses import replace
from pathlib import Path

from app.embedded.supervisor import Endpoints
from app.keys import signing_key
from app.migrate import connect_owner, migrate, role_urls
from bench.chaos.client import Client
from bench.compare import servers as start
from bench.compare.cells import Measured
from bench.compare.data import read_ids, register, write_organizations
from bench.compare.load import Target, measure
from bench.compare.operations import NESTED, Tenant
from bench.compare.parts import Plan
from bench.compare.pools import once, sign
from bench.compare.servers import Server, Servers
from bench.compare.world import MODPLANE, admin_token
from models.database import parse_url

GROWTH = "growth"
ASKED_MAX = 10_000  # of either database so many organizations are asked for, all over it


async def growth(
    directory: Path, endpoints: Endpoints, servers: Servers, *, sizes: tuple[int, int], plan: Plan
) -> Measured:
    """Cold nested reads; the processor time is the API's and PostgreSQL's together, for it is there that size tells."""
    measured = Measured()
    postgres = int((directory / "stores" / "postgres" / "postmaster.pid").read_text().split()[0])
    signing_key(directory / "keys")
    sides = []
    for number, size in enumerate(sizes):
        # what is kept of the one must not be taken for the other's: each has a Redis database of its own
        redis = f"{endpoints.redis.rpartition('/')[0]}/{number + 1}"
        server, tenants = await _database(directory, replace(endpoints, redis=redis), servers, size)
        target = Target(ports=server.target.ports, pids=(*server.target.pids, postgres))
        sides.append((size, target, _shares(tenants, plan.rounds)))
    for number in range(plan.rounds):
        for size, target, shares in sides if number % 2 == 0 else sides[::-1]:
            window = await measure(
                target,
                once(NESTED, shares[number], has_token=True),
                connections=plan.connections,
                seconds=plan.seconds,
                warm_seconds=plan.warm_seconds,
            )
            measured.windows[GROWTH, label(size), NESTED].append(window)
    return measured


async def _database(directory: Path, endpoints: Endpoints, servers: Servers, size: int) -> tuple[Server, list[Tenant]]:
    name = f"organizations_{size}"
    owner = parse_url(endpoints.postgres)
    connection = await connect_owner(owner)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = owner.set(database=name)
    await migrate(url, role_urls(url))
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    environment = {"DATABASE_URL": address, "REDIS_URL": endpoints.redis}
    server = start.modplane(servers, f"{MODPLANE}-{size}", "api", environment=environment)
    async with Client(server.port, admin_token(directory)) as client:
        await register(client)
    connection = await connect_owner(url)
    try:
        await write_organizations(connection, size, companies=False)
        ids = await read_ids(connection)
    finally:
        await connection.close()
    return server, sign(ids[:: max(1, size // ASKED_MAX)][:ASKED_MAX], directory / "keys")


def _shares(tenants: list[Tenant], count: int) -> list[list[Tenant]]:
    return [tenants[number::count] for number in range(count)]


def label(size: int) -> str:
    return f"{size:,} organizations"
