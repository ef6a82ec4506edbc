"""Leases on chunks: who may work on which, until when. Bookkeeping between transactions; never the work itself.

A lease is on a connection of its own and takes no lock of the registry: it must be renewed while the work goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from models.base import JsonObject
from models.database import Database
from models.ids import new_id

LEASE_SECONDS = 15
RENEW_SECONDS = 5
AGAIN_SECONDS = 0.25  # times the attempts so far

# A chunk that nobody has, or whose worker has not been heard of. Of a cancelled operation none is taken.
LEASE = text(
    "WITH next AS (SELECT c.organization_id, c.operation_id, c.number, o.kind, o.request"
    "  FROM operations o JOIN operation_chunks c ON c.organization_id = o.organization_id AND c.operation_id = o.id"
    "  WHERE o.status = 'RUNNING' AND c.status <> 'DONE' AND (c.lease_until IS NULL OR c.lease_until < now())"
    "  ORDER BY o.created_at, c.number LIMIT 1 FOR UPDATE OF c SKIP LOCKED)"
    " UPDATE operation_chunks c SET status = 'RUNNING', attempts = c.attempts + 1, lease_id = :lease_id,"
    "  lease_until = now() + make_interval(secs => :seconds)"
    " FROM next WHERE c.organization_id = next.organization_id AND c.operation_id = next.operation_id"
    "  AND c.number = next.number"
    " RETURNING c.operation_id, c.number, c.members, c.attempts, next.kind, next.request"
)
OWN = " WHERE lease_id = :lease_id AND status = 'RUNNING'"
RENEW = text("UPDATE operation_chunks SET lease_until = now() + make_interval(secs => :seconds)" + OWN)
GIVE_BACK = text(
    "UPDATE operation_chunks SET status = 'PENDING', lease_id = NULL, lease_until = NULL, attempts = attempts - 1" + OWN
)
PUT_OFF = text(
    "UPDATE operation_chunks SET status = 'PENDING', lease_id = NULL,"
    "  lease_until = now() + make_interval(secs => attempts * cast(:seconds AS float))" + OWN
)


@dataclass(frozen=True)
class Chunk:
    """A leased chunk. `attempts` counts this one."""

    operation_id: UUID
    number: int
    members: Sequence[UUID]
    attempts: int
    kind: str
    request: JsonObject
    lease_id: UUID


def new_lease() -> UUID:
    """Known before it is taken, so that a worker that is ended meanwhile can give back what it may have."""
    return new_id()


async def lease_chunk(database: Database, lease_id: UUID) -> Chunk | None:
    """Take the next chunk of the oldest operation that has a free one."""
    async with database.admin_engine.begin() as connection:
        found = (await connection.execute(LEASE, {"lease_id": lease_id, "seconds": LEASE_SECONDS})).one_or_none()
    return None if found is None else Chunk(**found._mapping, lease_id=lease_id)


async def renew(database: Database, lease_id: UUID) -> None:
    await _execute(database, RENEW, {"lease_id": lease_id, "seconds": LEASE_SECONDS})


async def give_back(database: Database, lease_id: UUID) -> None:
    """Nothing went wrong: another worker may have it at once."""
    await _execute(database, GIVE_BACK, {"lease_id": lease_id})


async def put_off(database: Database, lease_id: UUID) -> None:
    """Something went wrong: it is tried again, the later the more often it was tried."""
    await _execute(database, PUT_OFF, {"lease_id": lease_id, "seconds": AGAIN_SECONDS})


async def _execute(database: Database, statement: Any, parameters: dict[str, Any]) -> None:
    async with database.admin_engine.begin() as connection:
        await connection.execute(statement, parameters)
