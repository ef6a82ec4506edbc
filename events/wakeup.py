"""Telling relays that there is something to do. A hint only: they poll as well.

Never part of a mutation's transaction: NOTIFY takes a lock at commit that all writers of the cluster share.
"""

import asyncio
import contextlib

import asyncpg
from sqlalchemy import URL

from models.database import direct
from models.driver import GONE

CHANNEL = "modplane_outbox"
PAUSE_SECONDS = 0.01
BUDGET_SECONDS = 2.0
NOTIFY = f"NOTIFY {CHANNEL}"


class Wakeup:
    """Sends at most one NOTIFY per 10 ms, on a connection of its own: mutations need those of the pool.

    `has_relay`: whether there is a relay of ours to be told, and with it an outbox to be filled.
    """

    def __init__(self, url: URL, *, has_relay: bool = True) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self.has_relay = has_relay
        self._pending: asyncio.Task[None] | None = None

    def poke(self) -> None:
        if self.has_relay and (self._pending is None or self._pending.done()):
            self._pending = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        # whatever goes wrong here, the relay's poll finds the rows
        try:
            async with asyncio.timeout(BUDGET_SECONDS):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(**direct(self._url))
                await self._connection.execute(NOTIFY)
        except (asyncpg.PostgresError, *GONE, OSError, TimeoutError):
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        if self._pending is not None:
            await asyncio.gather(self._pending, return_exceptions=True)
        if self._connection is not None:
            with contextlib.suppress(asyncpg.PostgresError, *GONE, OSError):
                await self._connection.close(timeout=1)
        self._drop()
