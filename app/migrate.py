"""Roles and tables. The owner's login is used here and nowhere else."""

import asyncio
import hashlib
import hmac
from pathlib import Path

import asyncpg
from sqlalchemy import URL, Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from models.database import ADMIN_ROLE, APP_ROLE, RELAY_ROLE, DatabaseUrls, direct, parse_url

MIGRATIONS = Path(__file__).parent.parent / "migrations"
ROLES = (APP_ROLE, ADMIN_ROLE, RELAY_ROLE)
LOCK = "SELECT pg_advisory_xact_lock(hashtext('modplane.migrate'))"


def role_urls(
    owner: URL, *, app: str | None = None, admin: str | None = None, relay: str | None = None
) -> DatabaseUrls:
    """The logins of the three roles: given ones, or the owner's address with a password derived from the owner's."""
    return DatabaseUrls(
        app=parse_url(app) if app else _derived(owner, APP_ROLE),
        admin=parse_url(admin) if admin else _derived(owner, ADMIN_ROLE),
        relay=parse_url(relay) if relay else _derived(owner, RELAY_ROLE),
    )


def _derived(owner: URL, role: str) -> URL:
    secret = str(owner.password or "").encode()
    password = hmac.new(secret, f"modplane {role}".encode(), hashlib.sha256).hexdigest()
    return owner.set(username=role, password=password)


async def migrate(owner: URL, urls: DatabaseUrls, *, revision: str = "head") -> None:
    """Bring roles and tables to a revision. Safe to run from several processes at once."""
    await _ensure_roles(owner, urls)
    engine = create_async_engine(owner.set(drivername="postgresql+asyncpg"))
    try:
        await _run(engine, revision)
    finally:
        await engine.dispose()


async def _ensure_roles(owner: URL, urls: DatabaseUrls) -> None:
    logins = (urls.app, urls.admin, urls.relay)
    if all(await asyncio.gather(*map(_can_log_in, logins))):
        return
    connection = await connect_owner(owner)
    try:
        async with connection.transaction():
            await connection.execute(LOCK)
            for role, url in zip(ROLES, logins, strict=True):
                await _ensure_role(connection, role, str(url.password or ""))
    finally:
        await connection.close()


async def _ensure_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
    quoted: str = await connection.fetchval("SELECT quote_literal($1::text)", password)
    await connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD {quoted}")


async def _can_log_in(url: URL) -> bool:
    try:
        connection = await connect_owner(url)
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    await connection.close()
    return True


async def connect_owner(url: URL) -> asyncpg.Connection:
    return await asyncpg.connect(**direct(url), timeout=5)


async def _run(engine: AsyncEngine, revision: str) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql(LOCK)
        current = None
        if await connection.scalar(text("SELECT to_regclass('alembic_version')")):
            current = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        if current != (head_revision() if revision == "head" else revision):
            await connection.run_sync(_migrate, revision, current)


def _migrate(connection: Connection, revision: str, current: str | None) -> None:
    # half a second to import, and most starts have nothing to migrate
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    if revision == "head" or (revision != "base" and (current or "") < revision):
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)


def head_revision() -> str:
    """The newest revision: files are numbered, so it is the last by name."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


UNSAFE = """
SELECT r.rolname FROM pg_roles r WHERE r.rolname = session_user AND (r.rolsuper OR r.rolbypassrls
  OR EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid AND c.relname = 'organizations'))
"""
SEES_ALL = f"SELECT session_user WHERE pg_has_role(session_user, '{ADMIN_ROLE}', 'MEMBER')"


class UnsafeRole(Exception):
    """The login is one that row-level security does not hold for; the text names it."""


async def refuse_unsafe_role(engine: AsyncEngine, *, is_tenant: bool = False) -> None:
    """Row-level security does not hold for a superuser, for BYPASSRLS or for an owner: do not serve as one.

    Nor does it narrow the administrators' role: tenants are never served as that.
    """
    async with engine.connect() as connection:
        role = (await connection.exec_driver_sql(UNSAFE)).scalar()
        if role is None and is_tenant:
            role = (await connection.exec_driver_sql(SEES_ALL)).scalar()
    if role is not None:
        raise UnsafeRole(f"the role {role} can pass row-level security; the API must not connect as it")
