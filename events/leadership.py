"""Who may publish: the one session that holds the locks of its slots in the outbox, as long as it can prove it.

A leader that was stalled may still believe in its lock when the server has given it to another. It therefore trusts a
proof for a few seconds only, counted from before the question was sent. What it has handed to the broker by then may
arrive late, as a repeat of what its heir has sent: never before something it should follow.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL

from events.wakeup import CHANNEL
from models.database import direct
from models.driver import GONE

T = TypeVar("T")
log = logging.getLogger("modplane.relay")

SLOTS = 64
TRUST_SECONDS = 3.0
HEARTBEAT_SECONDS = 1.0
CANDIDATE_SECONDS = 1.0
RESIGN_SECONDS = 2.0
RESIGNED = "modplane_relay_resigned"

# How asyncpg says that a session is gone; InternalClientError when it is cut between two of its messages.
LOST = (OSError, TimeoutError, asyncpg.PostgresError, *GONE)

# The lowest slot first and alone: of candidates for the same slots one gets all of them, not each a part.
TAKE = """
SELECT CASE WHEN pg_try_advisory_lock(hashtext('modplane.relay'), $1)
  THEN (SELECT coalesce(bool_and(pg_try_advisory_lock(hashtext('modplane.relay'), slot)), true)
          FROM unnest($2::int[]) AS slot) ELSE false END
"""
GIVE_BACK = "SELECT pg_advisory_unlock_all()"
RESIGN = f"SELECT pg_advisory_unlock_all(), pg_notify('{RESIGNED}', '')"
PROVE = "SELECT 1"


def slots_of(shard: int, shards: int) -> list[int]:
    """The slots that one of several relays serves. Rows know their slot only, so that their number may change."""
    return list(range(shard, SLOTS, shards))


class Leadership:
    """A session that holds its locks. Every answer it gets proves that it still did when it asked."""

    def __init__(self, connection: asyncpg.Connection, slots: Sequence[int]) -> None:
        self._connection = connection
        self._trusted_until = 0.0
        self.slots = slots

    @property
    def is_trusted(self) -> bool:
        return time.monotonic() < self._trusted_until

    async def fetch(self, query: str, *arguments: object, seconds: float = TRUST_SECONDS) -> list[Any]:
        """Ask on the session that holds the locks. Raises what LOST lists."""
        asked_at = time.monotonic()
        rows: list[Any] = await self._connection.fetch(query, *arguments, timeout=seconds)
        self._trusted_until = asked_at + TRUST_SECONDS
        return rows

    async def while_proving(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for what may take long. The server ends a session that it has not heard of for ten seconds."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=HEARTBEAT_SECONDS))[0]:
                await self.fetch(PROVE)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def lead(url: URL, slots: Sequence[int], woken: asyncio.Event) -> AsyncIterator[Leadership]:
    """Wait until all the slots are ours; on the way out, tell the next one. Raises what LOST lists."""
    connection = await connect(url)
    resigned = asyncio.Event()
    try:
        await connection.add_listener(CHANNEL, lambda *_: woken.set())
        await connection.add_listener(RESIGNED, lambda *_: resigned.set())
        while not await connection.fetchval(TAKE, slots[0], slots[1:]):
            await connection.execute(GIVE_BACK)
            resigned.clear()
            # not all at the same moment: candidates for other divisions of the slots may each hold a part
            await _heard(resigned, CANDIDATE_SECONDS * random.uniform(0.9, 1.0))  # noqa: S311 - no secret
        yield Leadership(connection, slots)
    finally:
        # a connection that hangs must not hold the lock's heir up
        with contextlib.suppress(Exception):
            async with asyncio.timeout(RESIGN_SECONDS):
                await connection.execute(RESIGN)
                await connection.close()
        connection.terminate()


async def _heard(event: asyncio.Event, seconds: float) -> None:
    # here and elsewhere timeout() and not wait_for(), which in Python 3.11 may swallow a cancellation
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def connect(url: URL, name: str = "modplane-relay") -> asyncpg.Connection:
    """A direct connection, outside any pool: advisory locks and LISTEN belong to a session."""
    return await asyncpg.connect(
        **direct(url),
        timeout=5,
        server_settings={
            "application_name": name,
            "statement_timeout": "30s",
            # a machine that is gone, a network that swallows everything, a process that died while it waited
            "tcp_keepalives_idle": "5",
            "tcp_keepalives_interval": "2",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "10s",
            "client_connection_check_interval": "2s",
            # a process that is stopped: its kernel goes on answering for it, so that nothing above sees it
            "idle_session_timeout": "10s",
        },
    )
