"""One process with any of the four roles, and its orderly end."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from app.api import create_app
from app.composing import run_composing
from app.draining import Draining
from app.federation import Federation
from app.migrate import refuse_unsafe_role
from app.probing import run_prober
from app.revocation import RevocationWatch
from app.shutdown import Api, EndSignals, LastResort, collect_leftovers, end_roles
from app.transport.server import UVICORN
from app.transport.trusted import TrustedDocuments
from app.worker import run_worker
from auth.actor import PLATFORM
from auth.tokens import TokenVerifier
from cache.floor import RevisionFloor
from cache.instances import Instances
from cache.local import LocalCache
from cache.read_through import ReadThrough
from cache.server import connect
from events.consumer import Reactions
from events.delivery import Delivery
from events.live import LiveStream
from events.relay import run_relays
from events.wakeup import Wakeup
from federation.routing import RoutingPolicy
from graph.context import Services
from models.database import Database, DatabaseUrls
from queries.event import load_revisions
from queries.health import load_identity
from queries.reader import open_reader
from queries.registry import RegistrySnapshot, load_registry

log = logging.getLogger("modplane")

ROLES = ("api", "relay", "reactions", "worker")
WATCH_SECONDS = 0.5
IDENTITY_SECONDS = 10.0
CLOSE_SECONDS = 2.0  # a store that does not answer is left without a goodbye


@dataclass(frozen=True)
class Backends:
    """Where the stores are, and how events leave them."""

    database: DatabaseUrls
    redis: str
    kafka: str
    pool_size: int = 10
    delivery: Delivery = field(default_factory=Delivery)


@asynccontextmanager
async def open_services(backends: Backends, routing: RoutingPolicy | None = None) -> AsyncIterator[Services]:
    """`routing`: where modules' services may be; nowhere private when it is not said."""
    database = Database(backends.database, pool_size=backends.pool_size)
    redis = connect(backends.redis)
    redis.installation = await _installation(database)
    wakeup = Wakeup(backends.database.admin, has_relay=backends.delivery.has_relay)

    async def revisions_of(ids: Collection[UUID]) -> Mapping[UUID, int]:
        async with open_reader(database, PLATFORM) as reader:
            return await load_revisions(reader, ids)

    floor = RevisionFloor(redis)
    live = LiveStream(backends.kafka, revisions_of, backends.delivery.replication)
    near = LocalCache(tail_rev=live.last_seen, tail_age=live.age, generation=lambda: floor.generation)
    services = Services(
        database=database,
        floor=floor,
        wakeup=wakeup,
        live=live,
        registry=RegistrySnapshot(lambda: load_registry(database)),
        instances=Instances(redis),
        values=ReadThrough(redis, floor, local=near),
        routing=routing or RoutingPolicy(),
    )
    try:
        yield services
    finally:
        for close in (*services.closing, wakeup.close, floor.aclose, redis.aclose, database.close):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await close()


async def _installation(database: Database) -> str | None:
    try:
        async with asyncio.timeout(IDENTITY_SECONDS):
            return await load_identity(database)
    except (SQLAlchemyError, OSError, TimeoutError):
        log.warning("the database does not answer; until this process starts again it asks Redis for nothing")
        return None


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
    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)
    federation: Federation | None = None
    graphql_url: str = ""  # where gateways reach /graphql of this platform
    drain_grace_seconds: float = 0.0  # from "not ready" until nothing more is accepted: balancers notice by asking


# Operations leave no cycles behind, and are gone when they have ended: looked at later, most need not be looked at.
# Those under way are 5,000 to 20,000 objects, and a threshold below that has them looked at again and again: a tenth
# of a cold query's processor time at Python's own 700, a twentieth at 5,000. Far above, pauses show in the tail.
COLLECTOR = (20_000, 20, 20)


async def run_process(process: Process) -> int:
    """Run the roles until a signal or a fault; returns the exit code."""
    last_resort = LastResort()
    signals = EndSignals(last_resort)
    try:
        routing = None if process.federation is None else process.federation.routing
        async with open_services(process.backends, routing) as services:
            await refuse_unsafe_role(services.database.app_engine, is_tenant=True)
            await refuse_unsafe_role(services.database.admin_engine)
            tasks, api = await _start(process, services)
            # what lives from here on is request data: the collector need not look at the rest again and again
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECTOR)
            process.on_ready()
            code = await _watch(process, tasks, signals.received)
            last_resort.start(tasks)
            await end_roles(tasks, api)
        await collect_leftovers()
    finally:
        last_resort.cancel()
    return code


async def _start(process: Process, services: Services) -> tuple[list[asyncio.Task[None]], Api | None]:
    if "api" not in process.roles or process.listener is None:
        return _background(process, services), None
    watch = RevocationWatch(services)
    await watch.start()  # whoever was kept out stays out from the first request on
    tasks = _background(process, services)
    tasks.append(asyncio.create_task(watch.run(), name="revocations"))
    app = create_app(services, process.verifier, trusted=process.trusted, federation=process.federation)
    door = Draining(app, app.connections)
    server = _server(door)
    tasks.append(asyncio.create_task(server.serve(sockets=[process.listener]), name="api"))
    while not server.started and not tasks[-1].done():
        await asyncio.sleep(0.01)
    return tasks, Api(server, door, grace_seconds=process.drain_grace_seconds)


def _background(process: Process, services: Services) -> list[asyncio.Task[None]]:
    backends, roles = process.backends, process.roles
    tasks: list[asyncio.Task[None]] = []
    if "relay" in roles:
        relays = run_relays(backends.database.relay, backends.kafka, backends.delivery)
        tasks.append(asyncio.create_task(relays, name="relay"))
    if "reactions" in roles:
        reactions = Reactions(
            bootstrap=backends.kafka,
            engine=services.database.relay_engine,
            raise_floors=services.floor.raise_floors,
            delivery=backends.delivery,
        )
        tasks.append(asyncio.create_task(reactions.run(), name="reactions"))
    if "worker" in roles:
        tasks.append(asyncio.create_task(run_worker(services), name="worker"))
        tasks.append(asyncio.create_task(run_prober(services), name="prober"))
    if "worker" in roles and process.federation is not None:
        composing = run_composing(services, graphql_url=process.graphql_url, routing=process.federation.routing)
        tasks.append(asyncio.create_task(composing, name="composing"))
    if "api" in roles:
        tasks.append(asyncio.create_task(services.live.run(), name="live"))
    return tasks


def _server(app: Draining) -> _Server:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        access_log=False,
        log_level="warning",
        **UVICORN,
    )
    return _Server(config)


async def _watch(process: Process, tasks: list[asyncio.Task[None]], stop: asyncio.Event) -> int:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                await stop.wait()
        ended = [task for task in tasks if task.done()]
        for task in ended:
            log.error("role %s ended", task.get_name(), exc_info=task.exception() if not task.cancelled() else None)
        broken = process.is_broken()
        if broken:
            log.error("%s", broken)
        if not stop.is_set() and (ended or broken):
            return 1
    return 0
