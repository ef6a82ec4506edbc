"""`modplane dev`: everything in one process beside its embedded servers."""

import asyncio
import os
import socket
from pathlib import Path

import orjson
import uvloop

from app.embedded.gateway import find_node, running_gateway
from app.embedded.supervisor import Supervisor
from app.federation import Federation
from app.keys import federation_keys, signing_key, write_private
from app.migrate import migrate, role_urls
from app.seed import seed_pack
from app.serve import ROLES, Backends, Process, open_services, run_process
from app.settings import Settings
from app.transport.trusted import TrustedDocuments
from auth.actor import Role
from auth.tokens import TokenIssuer, TokenSubject, TokenVerifier, sign_token
from events import failpoints
from federation.routing import RoutingPolicy
from models.database import parse_url

TOKEN_SECONDS = 30 * 24 * 3600
LISTEN_BACKLOG = 512


class PortTaken(Exception):
    """The port is somebody else's; the text says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Take the port first: a start that can't serve should fail before it starts anything."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches Nagle's algorithm off (40 ms of every answer) only where it sees TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"can't listen on {host}:{port} ({error.strerror}); set MODPLANE_PORT to another port"
        ) from None
    return listener


def run_dev(settings: Settings, *, has_gateway: bool = False) -> int:
    """Start the servers that no URL replaces, migrate, seed once, serve. Returns the exit code."""
    node = find_node() if has_gateway else None  # what is missing is told before anything starts
    listener = listen(settings.host, settings.port)
    supervisor = Supervisor(
        settings.data_dir,
        postgres=settings.database_url is None,
        redis=settings.redis_url is None,
        kafka=settings.kafka_bootstrap_servers is None,
    )
    endpoints = supervisor.start()
    try:
        owner = settings.database_url or endpoints.postgres
        redis = settings.redis_url or endpoints.redis
        kafka = settings.kafka_bootstrap_servers or endpoints.kafka
        backends = backends_of(settings, owner=owner, redis=redis, kafka=kafka)
        uvloop.run(_prepare(settings, owner, backends))
        platform_url = f"http://{settings.host}:{listener.getsockname()[1]}"
        with running_gateway(
            node, port=settings.gateway_port, platform_url=platform_url, data_dir=settings.data_dir
        ) as gateway:
            process = _process(settings, backends, listener, owner=owner, gateway=gateway)
            process.is_broken = supervisor.failed
            return uvloop.run(run_process(process))
    finally:
        supervisor.stop()
        listener.close()


def backends_of(settings: Settings, *, owner: str, redis: str, kafka: str) -> Backends:
    return Backends(
        database=role_urls(
            parse_url(owner),
            app=settings.database_app_url,
            admin=settings.database_admin_url,
            relay=settings.database_relay_url,
        ),
        redis=redis,
        kafka=kafka,
        pool_size=settings.database_pool_size,
        delivery=settings.delivery,
    )


async def _prepare(settings: Settings, owner: str, backends: Backends) -> None:
    await migrate(parse_url(owner), backends.database)
    # a pack is loaded once: what an operator has changed or deleted since stays so
    marker = settings.data_dir / f"seeded-{settings.seed_pack}"
    if settings.seed_pack and not marker.exists():
        async with open_services(backends) as services:
            await seed_pack(services, settings.seed_pack)
        marker.touch()


def _process(
    settings: Settings, backends: Backends, listener: socket.socket, *, owner: str, gateway: str | None
) -> Process:
    key, issuer = signing_key(settings.keys_dir), TokenIssuer()
    bearer = TokenSubject(role=Role.SUPER_ADMIN, subject="dev")
    address = f"http://{settings.host}:{listener.getsockname()[1]}/graphql"
    told = {
        "graphql": address,
        "kafka": backends.kafka,
        "postgres": owner,
        "redis": backends.redis,
        "token": sign_token(key, bearer, lifetime_seconds=TOKEN_SECONDS, issuer=issuer),
    }
    if gateway is not None:
        told["gateway"] = gateway
    path = settings.data_dir / "dev.json"
    path.unlink(missing_ok=True)  # nobody may take the last start's for this one's

    def on_ready() -> None:
        _tell(path, told)

    verifier = TokenVerifier(key.public_key(), issuer)
    return Process(
        backends=backends,
        roles=ROLES,
        verifier=verifier,
        listener=listener,
        trusted=_trusted(settings),
        federation=_federation(settings, "127.0.0.1", "localhost"),
        graphql_url=settings.graphql_url if settings.public_url else address,
        on_ready=on_ready,
    )


def _federation(settings: Settings, *allowed: str) -> Federation:
    """`allowed`: hosts that modules' services may be on besides those of the settings."""
    keys = federation_keys(
        settings.keys_dir,
        gateway_key=settings.gateway_key,
        gateway_public_file=settings.gateway_public_key_file,
    )
    named = (host.strip() for host in settings.routing_allowed_hosts.split(","))
    return Federation(keys=keys, routing=RoutingPolicy(frozenset({*filter(None, named), *allowed})))


def _trusted(settings: Settings) -> TrustedDocuments:
    return TrustedDocuments(directory=settings.trusted_documents, only=settings.trusted_documents_only)


def _tell(path: Path, told: dict[str, str]) -> None:
    draft = path.with_suffix(".draft")
    write_private(draft, orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    os.replace(draft, path)
    lines = (
        "",
        "  Modplane is ready.",
        "",
        f"  GraphQL   {told['graphql']}   (open it in a browser)",
        *([f"  Gateway   {told['gateway']}"] if "gateway" in told else ()),
        f"  Kafka     {told['kafka']}",
        f"  Details   {path}",
        "",
        "  Super-admin token:",
        f"  {told['token']}",
        "",
        "  Ctrl-C stops everything.",
        "",
    )
    print("\n".join(lines), flush=True)


def run_serve(settings: Settings, roles: tuple[str, ...]) -> int:
    """The production form: no embedded server, any subset of roles. Returns the exit code."""
    missing = [
        name
        for name, value in (
            ("DATABASE_URL", settings.database_url),
            ("REDIS_URL", settings.redis_url),
            ("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers),
        )
        if not value
    ]
    if missing:
        raise ValueError(f"set {', '.join(missing)}: serve starts no servers of its own (modplane dev does)")
    if settings.failpoint:
        failpoints.arm(settings.failpoint)
    assert settings.database_url
    assert settings.redis_url
    assert settings.kafka_bootstrap_servers
    backends = backends_of(
        settings,
        owner=settings.database_url,
        redis=settings.redis_url,
        kafka=settings.kafka_bootstrap_servers,
    )
    listener = listen(settings.host, settings.port) if "api" in roles else None
    key = signing_key(settings.keys_dir)
    process = Process(
        backends=backends,
        roles=roles,
        verifier=TokenVerifier(key.public_key(), TokenIssuer()),
        listener=listener,
        trusted=_trusted(settings),
        federation=_federation(settings),
        graphql_url=settings.graphql_url,
        on_ready=lambda: print(f"ready: {', '.join(roles)}", flush=True),
        drain_grace_seconds=settings.drain_grace_seconds,
    )
    return uvloop.run(run_process(process))


def run_migrate(settings: Settings, revision: str) -> None:
    if not settings.database_url:
        raise ValueError("set DATABASE_URL to the owner's login")
    owner = parse_url(settings.database_url)
    asyncio.run(
        migrate(
            owner, backends_of(settings, owner=settings.database_url, redis="", kafka="").database, revision=revision
        )
    )
