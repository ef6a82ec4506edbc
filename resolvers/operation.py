"""Fields about operations: unpack, call, wrap."""

from uuid import UUID

import strawberry

from commands.operation.cancel import cancel_operation
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.types.ids import parse_id
from graph.types.inputs.operation import CancelOperationInput
from graph.types.operation import Operation
from graph.types.payload import OperationPayload
from queries.operation import find_operation


@strawberry.type
class OperationQueries:
    @strawberry.field(extensions=[Guard("Query")])
    async def operation(self, info: Info, id: strawberry.ID) -> Operation | None:
        operation_id = parse_id(id)
        if operation_id is None:
            return None
        async with info.context.reader() as reader:
            row = await find_operation(reader, operation_id)
        return None if row is None else Operation.from_row(row)


@strawberry.type
class OperationMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="What is done stays done; nothing further is begun. Again: a success.",
    )
    async def cancel_operation(self, info: Info, input: CancelOperationInput) -> OperationPayload:
        return await operation_payload(info, await run_command(info, cancel_operation, input.request))


async def operation_payload(info: Info, ran: Ran) -> OperationPayload:
    """The operation that a command made or changed, as it is now."""
    row = None
    if ran.outcome is not None:
        async with info.context.reader() as reader:
            row = await find_operation(reader, UUID(ran.outcome.shows["operation"]))
    operation = None if row is None else Operation.from_row(row)
    return OperationPayload(operation=operation, errors=ran.errors, revision=ran.revision)
