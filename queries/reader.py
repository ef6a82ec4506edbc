"""A reader is a session that knows its actor: no query can be written that forgets who is asking.

A reader lives for one question: GraphQL asks siblings at the same time and one session cannot.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, any_, literal
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from auth.actor import Actor
from models.database import Database

if TYPE_CHECKING:
    from queries.registry import Registry


@dataclass
class Reader:
    session: AsyncSession
    actor: Actor

    async def registry(self) -> "Registry | None":
        """The registry in memory, when it is known to be what this reader would find; None: ask the database."""
        return None


@asynccontextmanager
async def open_reader(database: Database, actor: Actor) -> AsyncIterator[Reader]:
    """Platform administrators read over all tenants; everybody else behind the wall of their own."""
    if actor.is_platform_admin:
        async with database.platform_session() as session:
            yield Reader(session=session, actor=actor)
    else:
        async with database.tenant_session(actor.organization_id) as session:
            yield Reader(session=session, actor=actor)


def among(column: InstrumentedAttribute[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """`column = ANY(values)`: one statement text however many values, so that the server's plan is found again."""
    item_type = Uuid() if isinstance(column.type, Uuid) else Text()
    return column == any_(literal(list(values), ARRAY(item_type)))
