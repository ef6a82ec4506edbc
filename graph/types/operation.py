"""Long work, as the API shows it."""

from datetime import datetime
from enum import Enum

import strawberry

from graph.types.errors import UserError, stored_error
from models.operation import OperationRow


@strawberry.enum
class OperationStatus(Enum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIALLY_SUCCEEDED = "PARTIALLY_SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINAL = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"})


@strawberry.type(description="Long work with progress; follow it with operationProgress.")
class Operation:
    id: strawberry.ID
    kind: str
    status: OperationStatus
    done: int
    total: int = strawberry.field(description="Counted when asked for, exact once it is RUNNING.")
    failed: int = strawberry.field(description="Organizations, of those done, that were refused: see errors.")
    started_at: datetime | None
    finished_at: datetime | None
    errors: list[UserError] = strawberry.field(description="At most 1,000, each naming its organization.")

    @staticmethod
    def from_row(row: OperationRow) -> "Operation":
        return Operation(
            id=strawberry.ID(str(row.id)),
            kind=row.kind,
            status=OperationStatus(row.status),
            done=row.done,
            total=row.total,
            failed=row.failed,
            started_at=row.started_at,
            finished_at=row.finished_at,
            errors=[stored_error(each) for each in row.errors],
        )
