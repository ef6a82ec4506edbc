"""Looking at what no API shows: the tables of the event roles, as the database's owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from sqlalchemy import URL

from app.migrate import connect_owner

APPLIED = "SELECT e.rev FROM inbox i JOIN event_log e ON e.id = i.event_id WHERE e.organization_id = $1 ORDER BY e.rev"


async def column(database: URL, query: str, *arguments: object) -> list[int]:
    """The first column of an answer."""
    connection: asyncpg.Connection = await connect_owner(database)
    try:
        return [row[0] for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


async def execute(database: URL, statement: str, *arguments: object) -> None:
    connection: asyncpg.Connection = await connect_owner(database)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def applied(database: URL, organization: str, *, until: int, seconds: float = 30) -> list[int]:
    """The revs of an organization's events that reactions have applied, once the last one is among them."""
    async with asyncio.timeout(seconds):
        while until not in (revs := await column(database, APPLIED, UUID(organization))):
            await asyncio.sleep(0.1)
    return revs


@asynccontextmanager
async def held_lock(database: URL, table: str) -> AsyncIterator[None]:
    """Nobody reads or writes the table inside."""
    connection: asyncpg.Connection = await connect_owner(database)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()
