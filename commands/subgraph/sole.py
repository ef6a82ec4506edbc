"""Who may publish: one process at a time, held by a session of its own. Never holds what is published.

The lock saves composing in vain. That nothing wrong is published does not hang on it: the transaction that writes a
graph sees for itself that what it was composed of is so still.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
from sqlalchemy import URL

from models.database import direct
from models.driver import GONE

CONNECT_SECONDS = 5
# The server ends a session that has said nothing for so long: a machine that vanished keeps nobody from publishing.
IDLE_SECONDS = 60
TAKE = "SELECT pg_try_advisory_lock(hashtext('modplane.supergraph'))"


@asynccontextmanager
async def sole_publisher(url: URL) -> AsyncIterator[bool]:
    """Whether this is the one who may publish, until the context ends. It must end within IDLE_SECONDS."""
    connection: asyncpg.Connection = await asyncpg.connect(
        **direct(url),
        timeout=CONNECT_SECONDS,
        command_timeout=CONNECT_SECONDS,
        server_settings={"application_name": "modplane publisher", "idle_session_timeout": f"{IDLE_SECONDS}s"},
    )
    try:
        yield await connection.fetchval(TAKE)
    finally:
        # the lock goes with the session, and not into a pool
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, *GONE):
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.close()
