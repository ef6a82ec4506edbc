"""The inputs of fields about operations, and the requests that they become."""

import strawberry

from commands.operation.cancel import CancelOperation
from graph.types.ids import require_id


@strawberry.input
class CancelOperationInput:
    operation_id: strawberry.ID
    idempotency_key: str | None = None

    def request(self) -> CancelOperation:
        return CancelOperation(
            operation_id=require_id(self.operation_id, thing="operation", field="operationId"),
            idempotency_key=self.idempotency_key,
        )
