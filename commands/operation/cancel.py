"""Calling an operation off."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from commands import fanout
from commands.request import Outcome, Request
from commands.transaction import Transaction, platform_command
from models.base import PLATFORM_ID
from models.operation import OperationRow
from rules.errors import IllegalTransition, NotFound, Refusal

OPERATION = ("input", "operationId")


@dataclass(frozen=True, kw_only=True)
class CancelOperation(Request):
    operation_id: UUID


@platform_command
async def cancel_operation(tx: Transaction, request: CancelOperation) -> Outcome:
    """No further chunk is begun, and one that is under way does not count. What is done stays. Again: a success."""
    key = (PLATFORM_ID, request.operation_id)
    operation = await tx.session.get(OperationRow, key)
    if operation is None:
        raise Refusal(NotFound(message=f"no operation {request.operation_id}", path=OPERATION))
    if operation.kind == fanout.KIND:
        message = (
            "the registry has changed already, and every organization concerned has to be told: this can't be cancelled"
        )
        raise Refusal(IllegalTransition(message=message, path=OPERATION))
    # a worker holds this lock only while it commits a chunk
    await tx.session.refresh(operation, with_for_update=True)
    if operation.status in ("PENDING", "RUNNING"):
        operation.status, operation.finished_at, operation.lease_until = "CANCELLED", datetime.now(UTC), None
    elif operation.status != "CANCELLED":
        message = f"the operation is over: {operation.status}"
        raise Refusal(IllegalTransition(message=message, path=OPERATION))
    return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows={"operation": str(operation.id)})
