"""Connections to PostgreSQL. Three roles, three pools: what a pool may see is decided by the server, not by our code.

Never holds statements about modules, organizations or events.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

APP_ROLE, ADMIN_ROLE, RELAY_ROLE = "modplane_app", "modplane_admin", "modplane_relay"

SET_ORGANIZATION = text("select set_config('app.organization_id', :organization_id, true)")

# A transaction that waits longer than this is refused, never queued without end.
TIMEOUTS = {"lock_timeout": "2s", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}


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
        self._app = async_sessionmaker(self.app_engine, expire_on_commit=False, autoflush=False)
        self._admin = async_sessionmaker(self.admin_engine, expire_on_commit=False, autoflush=False)

    @asynccontextmanager
    async def tenant_session(self, organization_id: UUID | None) -> AsyncIterator[AsyncSession]:
        """A session that sees one organization, or none."""
        async with self._app() as session:
            value = str(organization_id) if organization_id else ""
            await session.execute(SET_ORGANIZATION, {"organization_id": value})
            yield session

    @asynccontextmanager
    async def platform_session(self) -> AsyncIterator[AsyncSession]:
        """A session that sees every organization. For platform administrators and the platform's own work."""
        async with self._admin() as session:
            yield session

    async def close(self) -> None:
        for engine in (self.app_engine, self.admin_engine, self.relay_engine):
            await engine.dispose()


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _engine(url: URL, *, pool_size: int, timeouts: dict[str, str]) -> AsyncEngine:
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # a fault's log must not carry what tenants have written
        json_serializer=_dump,
        json_deserializer=orjson.loads,
        connect_args={"server_settings": {"application_name": "modplane", **timeouts}, "timeout": 5},
    )


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
