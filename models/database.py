"""Connections to PostgreSQL. Three roles, three pools: what a pool may see is decided by the server, not by our code.

Never holds statements about modules, organizations or events.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import URL, TextClause, event, make_url, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from models.driver import GONE
from models.tenant_reads import TenantReads
from models.tenant_writes import TenantWrites

APP_ROLE, ADMIN_ROLE, RELAY_ROLE = "modplane_app", "modplane_admin", "modplane_relay"

SET_ORGANIZATION = text("select set_config('app.organization_id', :organization_id, true)")

# A transaction that waits longer than this is refused, never queued without end.
TIMEOUTS = {"lock_timeout": "2s", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}


ROLLBACK_SECONDS = 1.0

Fetch = Callable[..., Awaitable[Sequence[asyncpg.Record]]]
"""Asks one statement, with its arguments in the order of $1, $2, …; JSON goes in as text, and comes out read."""


@dataclass(frozen=True)
class DatabaseUrls:
    """One login per role. The owner's is used by migrations alone."""

    app: URL
    admin: URL
    relay: URL


class Database:
    """The pools of one process.

    `app`: a tenant's view, walled by row-level security. `admin`: platform administrators, every tenant and the
    registry. `relay`: event log, outbox and inbox, no tenant data.
    """

    def __init__(self, urls: DatabaseUrls, *, pool_size: int = 10) -> None:
        self.app_engine = _engine(urls.app, pool_size=pool_size, timeouts=TIMEOUTS)
        # Registry-wide changes may touch every organization: longer, still bounded.
        self.admin_engine = _engine(urls.admin, pool_size=pool_size, timeouts={**TIMEOUTS, "statement_timeout": "30s"})
        self.relay_engine = _engine(urls.relay, pool_size=4, timeouts={**TIMEOUTS, "statement_timeout": "30s"})
        self.relay_url = urls.relay
        self.tenant_reads = TenantReads(urls.app, size=pool_size, timeouts=TIMEOUTS)
        self.tenant_writes = TenantWrites(urls.app, size=pool_size, timeouts=TIMEOUTS)
        self._app = async_sessionmaker(self.app_engine, expire_on_commit=False, autoflush=False)
        self._admin = async_sessionmaker(self.admin_engine, expire_on_commit=False, autoflush=False)

    @asynccontextmanager
    async def tenant_session(
        self, organization_id: UUID | None, opening: TextClause = SET_ORGANIZATION
    ) -> AsyncIterator[AsyncSession]:
        """A session that sees one organization, or none. `opening`: a statement that says so, and may do more."""
        async with self._app() as session, _given_up(session):
            value = str(organization_id) if organization_id else ""
            await session.execute(opening, {"organization_id": value})
            yield session

    @asynccontextmanager
    async def platform_session(self) -> AsyncIterator[AsyncSession]:
        """A session that sees every organization. For platform administrators and the platform's own work."""
        async with self._admin() as session, _given_up(session):
            yield session

    async def close(self) -> None:
        await self.tenant_reads.close()
        await self.tenant_writes.close()
        for engine in (self.app_engine, self.admin_engine, self.relay_engine):
            await engine.dispose()


@asynccontextmanager
async def _given_up(session: AsyncSession) -> AsyncIterator[None]:
    """Whoever is cancelled or too late gives the connection back, or ends it.

    A network that swallows everything lets a statement wait for ever, and the rollback after it as well: the pool would
    be empty long after the network is back.
    """
    try:
        yield
    except (asyncio.CancelledError, TimeoutError):
        has_ended = False
        try:
            has_ended = await _has_rolled_back(session)
        finally:
            if not has_ended:
                await session.invalidate()
        raise


async def _has_rolled_back(session: AsyncSession) -> bool:
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS):
            await session.rollback()
    except Exception:  # noqa: BLE001 - whatever it is, the connection is of no use any more
        return False
    return True


async def driver_of(session: AsyncSession) -> Fetch:
    """A way around a session, within its transaction, for statements that need nothing of it, and not its cost.

    The transaction must have begun. Raises what the driver raises; ConnectionError when the connection is gone.
    """
    pooled = await (await session.connection()).get_raw_connection()
    driver: Any = pooled.driver_connection

    async def fetch(statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        try:
            rows: Sequence[asyncpg.Record] = await driver.fetch(statement, *arguments)
        except GONE as error:
            raise ConnectionError(str(error)) from error
        return rows

    return fetch


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _engine(url: URL, *, pool_size: int, timeouts: dict[str, str]) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,  # a fault's log must not carry what tenants have written
        json_serializer=_dump,
        json_deserializer=orjson.loads,
        connect_args={"server_settings": {"application_name": "modplane", **timeouts}, "timeout": 5},
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """After a restart of the server the pool makes new connections, instead of handing out dead ones.

    The driver knows which are closed. To ask the server each time (`pool_pre_ping`) takes three round trips, and finds
    no more: a server that has vanished without a word does not answer the question either.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def parse_url(url: str) -> URL:
    """A SQLAlchemy URL of `postgres://`, `postgresql://` or `postgresql+asyncpg://`; libpq's sslmode is understood."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
    if "sslmode" in parsed.query:
        parsed = parsed.update_query_dict({"ssl": parsed.query["sslmode"]}).difference_update_query(["sslmode"])
    return parsed


def direct(url: URL) -> dict[str, Any]:
    """What the driver needs to connect outside any pool."""
    return {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
        "ssl": url.query.get("ssl"),
    }
