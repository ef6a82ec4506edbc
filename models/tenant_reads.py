"""Reads of one organization, asked of the driver itself: the questions of every page, without a session's cost.

Each connection carries whose it is, and is never used before it has been told. Read-only, statement by statement; what
a tenant may see is still the server's to decide, by row-level security.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import URL

from models.driver import GONE, connect_driver
from models.tenant_questions import TenantQuestions

SET_ORGANIZATION = "SELECT set_config('app.organization_id', $1, false)"
WAIT_SECONDS = 5.0
# A connection that was idle for longer may have been forgotten by something between here and the server.
IDLE_SECONDS = 60.0


@dataclass
class _Connection:
    driver: asyncpg.Connection
    organization_id: UUID | None = None  # whose it is; None: it has not been told
    used_at: float = 0.0


class TenantReads:
    """At most `size` connections of the tenants' role; made when they are needed, the last used is used first."""

    def __init__(self, url: URL, *, size: int, timeouts: dict[str, str]) -> None:
        self._url = url
        self._settings = {**timeouts, "application_name": "modplane", "default_transaction_read_only": "on"}
        self._places = asyncio.Semaphore(size)
        self.listeners: list[Callable[[str], None]] = []  # told each statement before it is sent
        self._idle: list[_Connection] = []
        self.questions = TenantQuestions(self._fetch_for_many)

    async def fetch(self, organization_id: UUID, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """The rows that this organization sees. Raises what the driver raises, and TimeoutError when all are busy."""
        self._tell(statement)
        async with self._connection() as connection:
            if connection.organization_id != organization_id:
                connection.organization_id = None
                await connection.driver.fetchval(SET_ORGANIZATION, str(organization_id))
                connection.organization_id = organization_id
            rows: Sequence[asyncpg.Record] = await connection.driver.fetch(statement, *arguments)
        return rows

    async def _fetch_for_many(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """As whoever used the connection last: for statements that set for themselves whose rows they read."""
        self._tell(statement)
        async with self._connection() as connection:
            rows: Sequence[asyncpg.Record] = await connection.driver.fetch(statement, *arguments)
        return rows

    def _tell(self, statement: str) -> None:
        for tell in self.listeners:
            tell(statement)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        async with asyncio.timeout(WAIT_SECONDS):
            await self._places.acquire()
        try:
            connection = await self._take()
            try:
                yield connection
            except GONE as error:
                connection.driver.terminate()
                raise ConnectionError(str(error)) from error
            except BaseException:
                connection.driver.terminate()  # cancelled or failed: nobody knows what it is at
                raise
            connection.used_at = time.monotonic()
            self._idle.append(connection)
        finally:
            self._places.release()

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.driver.is_closed():
                continue
            if time.monotonic() - connection.used_at < IDLE_SECONDS:
                return connection
            connection.driver.terminate()
        driver = await connect_driver(self._url, self._settings, encoder=_dump)
        return _Connection(driver)

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().driver.terminate()


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
