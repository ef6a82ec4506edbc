"""One process with any of the four roles, and its orderly end."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import uvicorn

from app.api import create_app
from app.migrate import refuse_unsafe_role
from app.worker import run_worker
from auth.actor import PLATFORM
from auth.tokens import TokenVerifier
from cache.client import connect
from cache.floor import RevisionFloor
from events.live import LiveStream
from events.reactions import Reactions
from events.relay import Relay, RelaySettings
from events.wakeup import Wakeup
from graph.context import Services
from models.database import Database, DatabaseUrls
from queries.event import load_revisions
from queries.reader import open_reader

log = logging.getLogger("modplane")

ROLES = ("api", "relay", "reactions", "worker")
DRAIN_SECONDS = 10
WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Backends:
    """Where the stores are."""

    database: DatabaseUrls
    redis: str
    kafka: str
    pool_size: int = 10


@asynccontextmanager
async def open_services(backends: Backends) -> AsyncIterator[Services]:
    database = Database(backends.database, pool_size=backends.pool_size)
    redis = connect(backends.redis)
    wakeup = Wakeup(database.admin_engine)

    async def revisions_of(ids: Collection[UUID]) -> Mapping[UUID, int]:
        async with open_reader(database, PLATFORM) as reader:
            return await load_revisions(reader, ids)

    live = LiveStream(backends.kafka, revisions_of)
    try:
        yield Services(database=database, floor=RevisionFloor(redis), wakeup=wakeup, live=live)
    finally:
        await wakeup.close()
        with contextlib.suppress(Exception):
            await redis.aclose()
        await database.close()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: this process has other roles to end as well."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@dataclass
class Process:
    """What a process is made of. `is_broken` is asked again and again, and ends the process when it says why."""

    backends: Backends
    roles: Collection[str]
    verifier: TokenVerifier
    listener: socket.socket | None = None
    on_ready: Callable[[], None] = lambda: None
    is_broken: Callable[[], str | None] = lambda: None


async def run_process(process: Process) -> int:
    """Run the roles until a signal or a fault; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_services(process.backends) as services:
        await refuse_unsafe_role(services.database.app_engine, is_tenant=True)
        await refuse_unsafe_role(services.database.admin_engine)
        tasks = _background(process, services)
        server = _server(process, services)
        if server is not None and process.listener is not None:
            tasks.append(asyncio.create_task(server.serve(sockets=[process.listener]), name="api"))
            while not server.started and not tasks[-1].done():
                await asyncio.sleep(0.01)
        # what lives from here on is request data: the collector need not look at the rest again and again
        gc.collect()
        gc.freeze()
        process.on_ready()
        code = await _watch(process, tasks, stop)
        if server is not None:
            server.should_exit = True
        await _end(tasks, server)
    return code


def _background(process: Process, services: Services) -> list[asyncio.Task[None]]:
    backends, roles = process.backends, process.roles
    tasks: list[asyncio.Task[None]] = []
    if "relay" in roles:
        settings = RelaySettings(url=backends.database.relay, bootstrap=backends.kafka)
        tasks.append(asyncio.create_task(Relay(settings).run(), name="relay"))
    if "reactions" in roles:
        reactions = Reactions(
            bootstrap=backends.kafka,
            engine=services.database.relay_engine,
            raise_floors=services.floor.raise_floors,
        )
        tasks.append(asyncio.create_task(reactions.run(), name="reactions"))
    if "worker" in roles:
        tasks.append(asyncio.create_task(run_worker(services), name="worker"))
    if "api" in roles:
        tasks.append(asyncio.create_task(services.live.run(), name="live"))
    return tasks


def _server(process: Process, services: Services) -> _Server | None:
    if "api" not in process.roles:
        return None
    config = uvicorn.Config(
        create_app(services, process.verifier),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=262_144,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        lifespan="off",
    )
    return _Server(config)


async def _watch(process: Process, tasks: list[asyncio.Task[None]], stop: asyncio.Event) -> int:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_SECONDS)
        ended = [task for task in tasks if task.done()]
        for task in ended:
            log.error("role %s ended", task.get_name(), exc_info=task.exception() if not task.cancelled() else None)
        broken = process.is_broken()
        if broken:
            log.error("%s", broken)
        if not stop.is_set() and (ended or broken):
            return 1
    return 0


async def _end(tasks: list[asyncio.Task[None]], server: _Server | None) -> None:
    """The API drains first, then the others are cancelled: each can be killed at any point anyway."""
    api = [task for task in tasks if task.get_name() == "api"]
    if server is not None and api:
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(api[0]), DRAIN_SECONDS + 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)
