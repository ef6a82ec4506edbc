"""Telling relays that there is something to do. A hint only: they poll as well.

Never part of a mutation's transaction: NOTIFY takes a lock at commit that all writers of the cluster share.
"""

import asyncio
import contextlib

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

CHANNEL = "modplane_outbox"
PAUSE_SECONDS = 0.01
NOTIFY = text("SELECT pg_notify(:channel, '')")


class Wakeup:
    """Sends at most one NOTIFY per 10 ms, on a connection of its own transaction.

    `has_relay`: whether there is a relay of ours to be told, and with it an outbox to be filled.
    """

    def __init__(self, engine: AsyncEngine, *, has_relay: bool = True) -> None:
        self._engine = engine
        self.has_relay = has_relay
        self._pending: asyncio.Task[None] | None = None

    def poke(self) -> None:
        if self.has_relay and (self._pending is None or self._pending.done()):
            self._pending = asyncio.create_task(self._notify())

    async def _notify(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        # whatever goes wrong here, the relay's poll finds the rows
        with contextlib.suppress(Exception):
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(NOTIFY, {"channel": CHANNEL})

    async def close(self) -> None:
        if self._pending is not None:
            await asyncio.gather(self._pending, return_exceptions=True)
