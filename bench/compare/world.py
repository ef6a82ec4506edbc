"""Everything that a comparison needs, started and filled: servers, data, variants. Never holds: what is measured."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import asyncpg
from redis.asyncio import from_url

from app.embedded.supervisor import Endpoints, Supervisor
from app.keys import signing_key
from app.migrate import connect_owner, migrate, role_urls
from auth.actor import Role
from auth.tokens import TokenIssuer, TokenSubject, sign_token
from bench.chaos.client import Client
from bench.compare import servers as start
from bench.compare.data import read_ids, register, write_organizations
from bench.compare.install import Installed
from bench.compare.load import Target
from bench.compare.operations import DOCUMENTS, NESTED, OPERATIONS, READS, THREE_TIER, body_of, post, variables_of
from bench.compare.pools import SUBJECT, TOKEN_SECONDS, Pools, drawn, pools_of, sign
from bench.compare.servers import OTHERS, Server, Servers, on
from models.database import parse_url

MODPLANE, MERCURIUS, APOLLO, STRAWBERRY, ARIADNE = "modplane", "mercurius", "apollo", "strawberry", "ariadne"
FIXED, REDIS, ASYNCPG, FRAMES = "bare ASGI", "Redis GET", "raw asyncpg", "bare frames"
PEERS = (MERCURIUS, APOLLO, STRAWBERRY, ARIADNE)
DRAINED_SECONDS = 120.0


@dataclass(frozen=True)
class Variant:
    """One of those compared. `path`: where it takes an operation; only the product is sent tokens."""

    name: str
    target: Target
    operations: tuple[str, ...] = OPERATIONS
    path: str = "/graphql"

    @property
    def has_token(self) -> bool:
        return self.name == MODPLANE

    def reads(self, operation: str, pools: Pools, *, seed: int) -> Iterator[bytes]:
        """Of the hot organizations, without end."""
        if self.path == "/graphql":
            return drawn(operation, pools.hot, has_token=self.has_token, seed=seed)
        # a limit looks at no request; what it is sent is as long as everybody's
        body = body_of(DOCUMENTS[operation], variables_of(operation, pools.hot[0].id))
        return repeat(post(self.path.format(operation=operation), body))


@dataclass
class World:
    """`processes` has besides the variants a second API process on the same data, and the relay."""

    directory: Path
    endpoints: Endpoints
    servers: Servers
    connection: asyncpg.Connection
    peers: Installed
    variants: dict[str, Variant] = field(default_factory=dict)
    processes: dict[str, Server] = field(default_factory=dict)
    pools: Pools = field(default_factory=lambda: Pools(hot=[], cold={}, written={}, mixed={}))

    @property
    def admin_token(self) -> str:
        return admin_token(self.directory)

    def client(self, name: str = MODPLANE) -> Client:
        return Client(self.processes[name].port, self.admin_token)

    async def drained(self) -> None:
        """Wait until the relay has sent what was written, so that nobody pays for it in another's window."""
        async with asyncio.timeout(DRAINED_SECONDS):
            while await self.connection.fetchval("SELECT count(*) FROM outbox"):
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)  # the tail of the log has what is on its way


def admin_token(directory: Path) -> str:
    bearer = TokenSubject(role=Role.SUPER_ADMIN, subject=SUBJECT)
    return sign_token(signing_key(directory / "keys"), bearer, lifetime_seconds=TOKEN_SECONDS, issuer=TokenIssuer())


@contextmanager
def stores() -> Iterator[tuple[Path, Endpoints, Servers]]:
    """PostgreSQL with its disk writes on, Valkey and the broker, in an empty directory."""
    with supervised() as (directory, endpoints, servers, _):
        yield directory, endpoints, servers


@contextmanager
def supervised() -> Iterator[tuple[Path, Endpoints, Servers, Supervisor]]:
    """The same, with the means to take a store away."""
    with tempfile.TemporaryDirectory(prefix="modplane-compare-") as name:
        directory = Path(name)
        supervisor = Supervisor(directory / "stores")
        with on(OTHERS):
            endpoints = supervisor.start()
        environment = {
            "DATABASE_URL": endpoints.postgres,
            "REDIS_URL": endpoints.redis,
            "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
            "MODPLANE_DATA_DIR": name,
        }
        servers = Servers(logs=directory, environment=environment)
        try:
            yield directory, endpoints, servers, supervisor
        finally:
            servers.stop()
            supervisor.stop()


@asynccontextmanager
async def world(
    directory: Path, endpoints: Endpoints, servers: Servers, *, organizations: int, peers: Installed
) -> AsyncIterator[World]:
    """The product and its peers over the same tables, which they find filled."""
    owner = parse_url(endpoints.postgres)
    await migrate(owner, role_urls(owner))
    connection = await connect_owner(owner)
    try:
        found = World(directory=directory, endpoints=endpoints, servers=servers, connection=connection, peers=peers)
        await _furnish(found, organizations)
        _start_peers(found)
        yield found
    finally:
        await connection.close()


async def _furnish(found: World, organizations: int) -> None:
    for name, roles in ((MODPLANE, "api"), ("second", "api"), ("relay", "relay")):
        found.processes[name] = start.modplane(found.servers, name, roles)
    found.variants[MODPLANE] = Variant(MODPLANE, found.processes[MODPLANE].target)
    async with found.client() as client:
        await register(client)
    _say(f"writing {organizations:,} organizations …")
    await write_organizations(found.connection, organizations)
    tenants = sign(await read_ids(found.connection), found.directory / "keys")
    writers = (MODPLANE, *PEERS)
    found.pools = pools_of(tenants, cold=(NESTED, THREE_TIER), writers=writers, mixers=(MODPLANE, MERCURIUS))


def _start_peers(found: World) -> None:
    for name in (MERCURIUS, APOLLO):
        _add(found, name, start.node(found.servers, name, found.peers.node))
    for name in (STRAWBERRY, ARIADNE):
        _add(found, name, start.python(found.servers, name, found.peers.python))


def _add(found: World, name: str, server: Server) -> None:
    found.processes[name] = server
    found.variants[name] = Variant(name, server.target)


async def start_limits(found: World, answers: dict[str, bytes]) -> None:
    """The limits, which answer what the product has answered."""
    directory = found.directory / "answers"
    directory.mkdir()
    async with from_url(found.endpoints.redis) as redis:
        for operation, body in answers.items():
            (directory / f"{operation}.json").write_bytes(body)
            await redis.set(f"bench:{operation}", body)
    server = start.limit(found.servers, directory)
    found.processes[FIXED] = server
    reads: Sequence[tuple[str, str]] = ((FIXED, "/fixed/{operation}"), (REDIS, "/redis/{operation}"))
    for name, path in reads:
        found.variants[name] = Variant(name, server.target, READS, path)


def start_frames(found: World) -> Server:
    """The limit of a fan-out."""
    command = [sys.executable, "-m", "bench.compare.limits.frames"]
    found.processes[FRAMES] = found.servers.start("frames", command)
    return found.processes[FRAMES]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
