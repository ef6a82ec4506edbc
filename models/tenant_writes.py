"""Transactions of one organization, asked of the driver itself: what tenants' mutations are, without a session's cost.

What a tenant may see and write is still the server's to decide, by row-level security. Never holds a statement about
modules or events.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from sqlalchemy import URL

from models.driver import GONE, connect_driver

WAIT_SECONDS = 5.0
ROLLBACK_SECONDS = 1.0
# A connection that was idle for longer may have been forgotten by something between here and the server.
IDLE_SECONDS = 60.0
# Migration 0011: says whose the transaction is, locks, claims an idempotency key, answers what planning begins with.
OPEN = "SELECT * FROM open_tenant($1, $2, $3)"


class BegunTransaction:
    """From BEGIN to COMMIT. `opened`: what open_tenant has answered."""

    def __init__(self, driver: asyncpg.Connection, listeners: Sequence[Callable[[str], None]]) -> None:
        self.driver, self._listeners = driver, listeners
        self.has_ended = False

    async def open(self, organization_id: UUID, key: str | None, request_hash: bytes | None) -> None:
        await self._send("BEGIN")
        (self.opened,) = await self.fetch(OPEN, organization_id, key, request_hash)

    async def fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Raises what the driver raises; ConnectionError when the connection is gone."""
        for tell in self._listeners:
            tell(statement)
        try:
            rows: Sequence[asyncpg.Record] = await self.driver.fetch(statement, *arguments)
        except GONE as error:
            raise ConnectionError(str(error)) from error
        return rows

    async def commit(self) -> None:
        if await self._send("COMMIT") != "COMMIT":
            raise RuntimeError("a transaction that had failed was to be committed")  # the server has rolled it back
        self.has_ended = True

    async def roll_back(self) -> None:
        await self._send("ROLLBACK")
        self.has_ended = True

    async def _send(self, statement: str) -> str:
        """The tag of what the server has done."""
        for tell in self._listeners:
            tell(statement)
        try:
            tag: str = await self.driver.execute(statement)
        except GONE as error:
            raise ConnectionError(str(error)) from error
        return tag


class TenantWrites:
    """At most `size` connections of the tenants' role; made when they are needed, the last used is used first."""

    def __init__(self, url: URL, *, size: int, timeouts: dict[str, str]) -> None:
        self._url = url
        self._settings = {**timeouts, "application_name": "modplane"}
        self._places = asyncio.Semaphore(size)
        self._idle: list[tuple[float, asyncpg.Connection]] = []
        self.listeners: list[Callable[[str], None]] = []  # told each statement before it is sent

    @asynccontextmanager
    async def transaction(
        self, organization_id: UUID, *, key: str | None = None, request_hash: bytes | None = None
    ) -> AsyncIterator[BegunTransaction]:
        """Rolled back, unless it is committed inside. Raises TimeoutError when all connections are busy."""
        if self._places.locked():
            async with asyncio.timeout(WAIT_SECONDS):
                await self._places.acquire()
        else:
            await self._places.acquire()  # at once, without the cost of a timer
        try:
            begun = BegunTransaction(await self._take(), self.listeners)
            try:
                await begun.open(organization_id, key, request_hash)
                yield begun
            finally:
                await self._give_back(begun)
        finally:
            self._places.release()

    async def _take(self) -> asyncpg.Connection:
        while self._idle:
            used_at, driver = self._idle.pop()
            if driver.is_closed():
                continue
            if time.monotonic() - used_at < IDLE_SECONDS:
                return driver
            driver.terminate()
        return await connect_driver(self._url, self._settings, encoder=str)

    async def _give_back(self, begun: BegunTransaction) -> None:
        """A connection that does not even roll back in time is of no use any more."""
        try:
            if not begun.has_ended:
                async with asyncio.timeout(ROLLBACK_SECONDS):
                    await begun.roll_back()
        except (asyncpg.PostgresError, OSError, TimeoutError):
            pass  # whoever comes here so has an error already
        finally:
            if begun.has_ended:
                self._idle.append((time.monotonic(), begun.driver))
            else:
                begun.driver.terminate()

    async def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].terminate()
