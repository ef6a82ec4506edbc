"""The world that a chaos run plays in: real servers, and product processes that die as they are told. Loopback only."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import URL

from app.embedded.ports import choose_port
from app.migrate import connect_owner, migrate, role_urls
from auth.actor import Role
from auth.tokens import TokenIssuer, TokenSubject, sign_token
from bench.chaos.client import Client, Lost
from models.database import parse_url

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
READY_SECONDS = 30.0
TOKEN_SECONDS = 6 * 3600
LINE_BYTES_MAX = 1 << 20


@dataclass
class Child:
    """One product process. `exited` is set, and `status` says how, when it is gone."""

    pid: int
    roles: Sequence[str]
    port: int
    failpoint: str | None
    ready_file: Path
    zygote: "Zygote | None" = None
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        if not self.exited.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self, seconds: float = 40.0) -> int:
        async with asyncio.timeout(seconds):
            await self.exited.wait()
        assert self.status is not None
        return self.status

    async def ready(self) -> None:
        """Wait until it serves. Raises RuntimeError when it ends before."""
        async with asyncio.timeout(READY_SECONDS):
            while not self.ready_file.exists():
                if self.exited.is_set():
                    raise RuntimeError(f"{','.join(self.roles)} ended with {self.status} before it was ready")
                await asyncio.sleep(0.005)


class Zygote:
    """Asks bench.chaos.zygote for processes. `environment` is added to its own, and so to its children's."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._children: dict[int, Child] = {}
        self._orders: dict[str, asyncio.Future[Child]] = {}

    async def start(self) -> None:
        self._program = await _program("bench.chaos.zygote", environment=self._environment)
        self._listening = asyncio.create_task(self._listen())

    async def spawn(self, order: dict[str, Any]) -> Child:
        tag = secrets.token_hex(4)
        spawned: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._orders[tag] = spawned
        _say(self._program, {**order, "tag": tag})
        child = await spawned
        child.roles, child.port, child.failpoint = order["roles"], order["port"], order.get("failpoint")
        child.zygote = self
        child.ready_file = Path(order["log"] + f".{child.pid}.ready")
        return child

    async def stop(self) -> None:
        for child in self._children.values():
            child.kill()
        if self._program.stdin is not None:
            self._program.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self._program.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        assert self._program.stdout is not None
        while line := await self._program.stdout.readline():
            message = json.loads(line)
            if "spawned" in message:
                # known before its end can be told
                child = Child(pid=message["pid"], roles=(), port=0, failpoint=None, ready_file=Path())
                self._children[child.pid] = child
                self._orders.pop(message["spawned"]).set_result(child)
            else:
                child = self._children.pop(message["exited"])
                child.status = message["status"]
                child.exited.set()
        for waiting in self._orders.values():
            waiting.set_exception(RuntimeError("the zygote has ended; its output says why"))


@dataclass
class World:
    """`owner` is the login that owns the database, for looking at what no API shows."""

    directory: Path
    owner: URL
    redis: str
    kafka: str
    zygote: Zygote
    key: Ed25519PrivateKey
    servers: asyncio.subprocess.Process
    kafka_proxied: Mapping[str, int]  # the port it listens on for a proxy, and the one where it says the proxy is
    taken: set[int] = field(default_factory=set)

    def token(self, role: Role = Role.SUPER_ADMIN, *, subject: str = "chaos") -> str:
        bearer = TokenSubject(role=role, subject=subject)
        return sign_token(self.key, bearer, lifetime_seconds=TOKEN_SECONDS, issuer=TokenIssuer())

    def free_port(self) -> int:
        port = choose_port(None, taken=self.taken)
        self.taken.add(port)
        return port

    async def spawn(
        self,
        *roles: str,
        port: int = 0,
        failpoint: str | None = None,
        through: Mapping[str, str] | None = None,
        zygote: Zygote | None = None,
    ) -> Child:
        """A process with these roles. `through`: other addresses of the stores, those of proxies say."""
        order = {
            "roles": roles,
            "port": port or (self.free_port() if "api" in roles else 0),
            "failpoint": failpoint,
            "owner": self.owner.render_as_string(hide_password=False),
            "redis": self.redis,
            "kafka": self.kafka,
            "key": self.key.private_bytes_raw().hex(),
            "log": str(self.directory / f"{'-'.join(roles)}.log"),
            **(through or {}),
        }
        return await (zygote or self.zygote).spawn(order)

    async def running(self, *roles: str, **options: Any) -> Child:
        """A process that serves already."""
        child = await self.spawn(*roles, **options)
        await child.ready()
        return child

    def client(self, child: Child, *, token: str | None = None) -> Client:
        return Client(child.port, token or self.token())

    async def restart(self, server: str) -> None:
        """Kill a server, PostgreSQL by its immediate shutdown, and have it back: postgres, valkey or kafka."""
        _say(self.servers, {"restart": server})
        answer = await _heard(self.servers, READY_SECONDS * 3)
        assert answer == {"restarted": server}, answer

    @asynccontextmanager
    async def tables(self) -> AsyncIterator[asyncpg.Connection]:
        """The database as its owner sees it."""
        connection = await connect_owner(self.owner)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """Start the servers and the zygote, make and migrate a database; end all of them."""
    servers = await _program("bench.chaos.servers", str(directory))
    zygote = Zygote()
    try:
        told = await _heard(servers, START_SECONDS)
        owner = await _database(parse_url(told["postgres"]))
        await migrate(owner, role_urls(owner))
        await zygote.start()
        yield World(
            directory=directory,
            owner=owner,
            redis=told["redis"],
            kafka=told["kafka"],
            zygote=zygote,
            key=Ed25519PrivateKey.generate(),
            servers=servers,
            kafka_proxied=told["kafka_proxied"],
        )
    finally:
        with suppress(AttributeError):
            await zygote.stop()
        if servers.stdin is not None:
            servers.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(40):
                await servers.wait()


async def answered(world: World, child: Child, query: str, variables: dict[str, Any] | None = None) -> Any:
    """`data` of an answer without errors."""
    async with world.client(child) as client:
        answer = await client.ask(query, variables)
    if "errors" in answer:
        raise RuntimeError(answer["errors"])
    return answer["data"]


async def _database(servers: URL) -> URL:
    name = f"chaos_{secrets.token_hex(4)}"
    connection = await connect_owner(servers)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return servers.set(database=name)


async def _program(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        limit=LINE_BYTES_MAX,
    )


def _say(program: asyncio.subprocess.Process, message: Mapping[str, Any]) -> None:
    assert program.stdin is not None
    program.stdin.write(json.dumps(message).encode() + b"\n")


async def _heard(program: asyncio.subprocess.Process, seconds: float) -> Any:
    assert program.stdout is not None
    async with asyncio.timeout(seconds):
        line = await program.stdout.readline()
    if not line:
        raise Lost("the servers have ended; their output says why")
    return json.loads(line)
