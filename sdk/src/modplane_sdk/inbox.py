"""What was applied already, in the module's own database and in the same transaction as what it did.

An event that comes twice is applied once; an event older than the state that a handler keeps is passed over.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import asyncpg

from modplane_sdk.events import Event, Subscription

# Whatever it says while nothing of a handler's has been asked of it: gone, full, a standby, another password.
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
ACQUIRE_SECONDS = 5.0
KEPT_DAYS = 30
FORGOTTEN_ROWS_MAX = 10_000  # by one statement: it has to end within its own limit


class InboxAway(Exception):
    """The database does not answer, or can't: nobody's fault, and no reason to give an event up."""


class Inbox(Protocol):
    """Where it is remembered. Another database than PostgreSQL needs one of its own."""

    async def prepare(self) -> None:
        """Make what it needs, forget what is old. Called at the start and again every hour. Raises InboxAway."""

    def applying(self, event: Event, subscription: Subscription) -> AbstractAsyncContextManager[Any]:
        """The transaction to apply it in, committed at the end; None when there is nothing to do. Raises InboxAway."""


class PostgresInbox:
    """Two tables with the module's prefix. Gives handlers the asyncpg connection."""

    def __init__(self, pool: asyncpg.Pool, *, prefix: str) -> None:
        if not prefix.replace("_", "").isalnum():
            raise ValueError(f"{prefix!r} is no prefix of a table's name")
        self._pool = pool
        self._seen = f"{prefix}inbox"
        self._applied = f"{prefix}applied_revision"
        self._is_made = False

    async def prepare(self) -> None:
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                if not self._is_made:
                    await self._make(connection)
                await self._forget(connection)
        except AWAY as error:
            raise InboxAway(repr(error)) from error

    @asynccontextmanager
    async def applying(self, event: Event, subscription: Subscription) -> AsyncIterator[asyncpg.Connection | None]:
        async with AsyncExitStack() as opened:
            try:
                connection = await opened.enter_async_context(self._pool.acquire(timeout=ACQUIRE_SECONDS))
                await opened.enter_async_context(connection.transaction())
                is_new = await self._is_new(connection, event, subscription)
            except AWAY as error:
                raise InboxAway(repr(error)) from error
            yield connection if is_new else None
            if is_new:
                # A handler may have caught the error of a statement. PostgreSQL has given its transaction up all the
                # same, and would answer COMMIT by rolling back without a word.
                await connection.execute("SELECT 1")

    async def _make(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            # IF NOT EXISTS is no promise to two that begin at once
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", self._seen)
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._seen} (handler text NOT NULL, event_id uuid NOT NULL,"
                " received_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (handler, event_id));"
                f"CREATE INDEX IF NOT EXISTS {self._seen}_received_at ON {self._seen} (received_at);"
                f"CREATE TABLE IF NOT EXISTS {self._applied} (handler text NOT NULL, organization_id uuid NOT NULL,"
                " company_id text NOT NULL, revision bigint NOT NULL,"
                " PRIMARY KEY (handler, organization_id, company_id))"
            )
        self._is_made = True

    async def _forget(self, connection: asyncpg.Connection) -> None:
        forgotten = FORGOTTEN_ROWS_MAX
        while forgotten == FORGOTTEN_ROWS_MAX:
            done = await connection.execute(
                f"DELETE FROM {self._seen} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {self._seen}"
                " WHERE received_at < now() - make_interval(days => $1) LIMIT $2))",
                KEPT_DAYS,
                FORGOTTEN_ROWS_MAX,
            )
            forgotten = int(done.removeprefix("DELETE "))

    async def _is_new(self, connection: asyncpg.Connection, event: Event, subscription: Subscription) -> bool:
        seen = await connection.fetchval(
            f"INSERT INTO {self._seen} (handler, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
            subscription.name,
            event.id,
        )
        if not seen or not subscription.is_state:
            return bool(seen)
        newer = await connection.fetchval(
            f"INSERT INTO {self._applied} AS known VALUES ($1, $2, $3, $4) ON CONFLICT (handler, organization_id,"
            " company_id) DO UPDATE SET revision = excluded.revision WHERE known.revision < excluded.revision"
            " RETURNING true",
            subscription.name,
            event.organization_id,
            event.company_id or "",
            event.revision,
        )
        return bool(newer)
