"""`modplane doctor`: what is missing or can't be reached, in plain words."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import URL

from app.admin import running_addresses
from app.dev import backends_of
from app.embedded.binaries import find_postgres_bindir, find_tansu, find_valkey_server
from app.embedded.errors import EmbeddedServerError
from app.keys import KEY_FILE
from app.migrate import connect_owner, head_revision
from app.settings import Settings
from cache.client import connect
from events.relay import LAG_SECONDS_MAX
from events.types import TOPICS
from models.database import Database, DatabaseUrls, parse_url
from queries.backlog import load_backlog

OLDEST_PYTHON = (3, 11)
PATIENCE_SECONDS = 8


@dataclass(frozen=True)
class Finding:
    is_ok: bool
    text: str


def examine(settings: Settings) -> list[Finding]:
    return asyncio.run(_examine(settings))


async def _examine(settings: Settings) -> list[Finding]:
    addresses = running_addresses(settings)
    findings = [_python(), *_binaries(), _keys(settings)]
    for name, variable, check in (
        ("database", "DATABASE_URL", lambda url: _database(settings, url)),
        ("redis", "REDIS_URL", _redis),
        ("kafka", "KAFKA_BOOTSTRAP_SERVERS", _kafka),
    ):
        address = addresses[name]
        if address is None:
            findings.append(Finding(False, f"{name}: no address; set {variable}, or start modplane dev"))
        else:
            findings += await _try(name, address, check)
    return findings


async def _try(name: str, address: str, check: Callable[[str], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await asyncio.wait_for(check(address), PATIENCE_SECONDS)
    except TimeoutError:
        return [Finding(False, f"{name}: no answer within {PATIENCE_SECONDS} s")]
    except Exception as error:  # noqa: BLE001  # whatever a client raises is what the doctor has to tell
        return [Finding(False, f"{name}: can't be reached: {error}")]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(sys.version_info >= OLDEST_PYTHON, f"Python {version} (3.11 or later is needed)")


def _binaries() -> list[Finding]:
    findings = []
    for name, find in (("PostgreSQL", find_postgres_bindir), ("Valkey", find_valkey_server), ("Tansu", find_tansu)):
        try:
            findings.append(Finding(True, f"embedded {name}: {find()}"))
        except EmbeddedServerError as error:
            findings.append(Finding(False, f"embedded {name}: {error}"))
    return findings


def _keys(settings: Settings) -> Finding:
    path = settings.keys_dir / KEY_FILE
    if path.exists():
        return Finding(True, f"signing key: {path}")
    return Finding(True, f"signing key: none yet, {path} is made at the first start")


async def _database(settings: Settings, url: str) -> list[Finding]:
    owner = parse_url(url)
    connection = await connect_owner(owner)
    try:
        version: str = await connection.fetchval("SHOW server_version")
        findings = [Finding(True, f"database: PostgreSQL {version}"), await _revision(connection)]
    finally:
        await connection.close()
    urls = backends_of(settings, owner=url, redis="", kafka="").database
    findings += [await _role(role) for role in (urls.app, urls.admin, urls.relay)]
    if all(finding.is_ok for finding in findings):
        findings.append(await _lag(urls))
    return findings


async def _lag(urls: DatabaseUrls) -> Finding:
    """As the administrators' role: the owner, held by row-level security, would find every outbox empty."""
    database = Database(urls, pool_size=1)
    try:
        backlog = await load_backlog(database)
    finally:
        await database.close()
    if not backlog.pending:
        return Finding(True, "outbox: empty")
    text = f"outbox: {backlog.pending} events wait, the oldest for {backlog.oldest_seconds:.0f} s"
    if backlog.oldest_seconds > LAG_SECONDS_MAX:
        return Finding(False, f"{text}; does a relay run, and does it reach Kafka?")
    return Finding(True, text)


async def _revision(connection: asyncpg.Connection) -> Finding:
    try:
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        revision = None
    head = head_revision()
    if revision == head:
        return Finding(True, f"database: at revision {head}")
    return Finding(False, f"database: at revision {revision}, the code needs {head}; run modplane migrate")


async def _role(url: URL) -> Finding:
    try:
        connection = await connect_owner(url)
    except (asyncpg.PostgresError, OSError) as error:
        return Finding(False, f"database: the role {url.username} can't log in ({error}); run modplane migrate")
    await connection.close()
    return Finding(True, f"database: the role {url.username} logs in")


async def _redis(url: str) -> list[Finding]:
    redis = connect(url)
    try:
        info = await redis.info("server")
    finally:
        await redis.aclose()
    version = info.get("valkey_version") or info.get("redis_version")
    return [Finding(True, f"redis: {info.get('server_name', 'redis')} {version}")]


async def _kafka(bootstrap: str) -> list[Finding]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    await admin.start()
    try:
        missing = set(TOPICS) - set(await admin.list_topics())
    finally:
        await admin.close()
    if missing:
        return [Finding(True, f"kafka: {bootstrap}; {len(missing)} topics are made by the first relay")]
    return [Finding(True, f"kafka: {bootstrap}, all {len(TOPICS)} topics are there")]
