"""Claiming operations, and carrying out those that go in steps: each step is a transaction with its work in it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text

from commands.transaction import Scope, Transaction, Writer
from models.base import PLATFORM_ID
from models.operation import OperationRow

LEASE_SECONDS = 15

CLAIM = text(
    "UPDATE operations SET status = 'RUNNING', started_at = coalesce(started_at, now()),"
    "  lease_until = now() + make_interval(secs => :lease)"
    " WHERE (organization_id, id) = (SELECT organization_id, id FROM operations"
    "  WHERE status IN ('PENDING','RUNNING') AND (lease_until IS NULL OR lease_until < now())"
    "  ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, kind"
)
RENEW = text("SELECT now() + make_interval(secs => :lease)")

Step = Callable[[Transaction, OperationRow], Awaitable[bool]]
"""Does the next piece of work and moves the operation's position; False when there is no more."""


@dataclass(frozen=True)
class Claimed:
    """An operation that this worker is to cut into chunks, or to take all steps of."""

    id: UUID
    kind: str


async def claim_operation(writer: Writer) -> Claimed | None:
    """Take the oldest operation that nobody works on, or whose worker has not been heard of."""
    async with writer.transaction(Scope(PLATFORM_ID)) as tx:
        found = (await tx.session.execute(CLAIM, {"lease": LEASE_SECONDS})).one_or_none()
    return None if found is None else Claimed(id=found.id, kind=found.kind)


async def take_step(writer: Writer, operation_id: UUID, step: Step) -> bool:
    """One step; whether there may be more. A fault rolls back both, the work and the position."""
    async with writer.transaction(Scope(PLATFORM_ID)) as tx:
        operation = await tx.session.get(OperationRow, (PLATFORM_ID, operation_id), with_for_update=True)
        if operation is None or operation.status != "RUNNING":
            return False
        has_more = await step(tx, operation)
        if has_more:
            operation.lease_until = await tx.session.scalar(RENEW, {"lease": LEASE_SECONDS})
        else:
            finish(operation)
    return has_more


def finish(operation: OperationRow) -> None:
    """Everything is done: what has come of it."""
    operation.finished_at, operation.lease_until = datetime.now(UTC), None
    if not operation.failed:
        operation.status = "SUCCEEDED"
    else:
        operation.status = "FAILED" if operation.failed >= operation.done else "PARTIALLY_SUCCEEDED"
