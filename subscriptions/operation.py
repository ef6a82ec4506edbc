"""operationProgress: the operation now, and again whenever it has moved, until it is finished."""

import asyncio
from collections.abc import AsyncIterator

import strawberry

from graph.context import Info
from graph.guard import require
from graph.masking import ApiError
from graph.types.ids import parse_id
from graph.types.operation import FINAL, Operation
from queries.operation import find_operation, find_progress

POLL_SECONDS = 0.25


@strawberry.type
class OperationSubscriptions:
    @strawberry.subscription(description="Progress until the end; completes with the operation.")
    async def operation_progress(self, info: Info, id: strawberry.ID) -> AsyncIterator[Operation]:
        require(info.context.actor, "Subscription.operationProgress")
        operation_id = parse_id(id)
        shown: tuple[str, int] | None = None
        while shown is None or shown[0] not in FINAL:
            row = None
            if operation_id is not None:
                async with info.context.reader() as reader:
                    has_moved = await find_progress(reader, operation_id) != shown
                    row = await find_operation(reader, operation_id) if has_moved else None
            if row is not None:
                shown = (row.status, row.done)
                yield Operation.from_row(row)
            elif shown is None:
                raise ApiError("NOT_FOUND", f"no operation {str(id)[:100]}")
            if shown[0] not in FINAL:
                await asyncio.sleep(POLL_SECONDS)
