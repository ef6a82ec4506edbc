"""Mutation fields about assignments: unpack, call, wrap."""

from collections.abc import Sequence
from uuid import UUID

import strawberry

from commands import assignment as commands
from commands.bulk.ask import bulk_assign_modules
from commands.request import Outcome
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, hidden_codes, run_command
from graph.selection import is_selected
from graph.types.assignment import AssignmentRow, ModuleAssignment
from graph.types.inputs.assignment import (
    ApplyIndustryTemplateInput,
    AssignModuleInput,
    BulkAssignModulesInput,
    UnassignModuleInput,
)
from graph.types.payload import AssignmentsPayload, Change, OperationPayload
from resolvers.operation import operation_payload


@strawberry.type
class AssignmentMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")], description="Pulls in what the module requires. Again: a success."
    )
    async def assign_module(self, info: Info, input: AssignModuleInput) -> AssignmentsPayload:
        ran = await run_command(info, commands.assign_module, input.request)
        return await _payload(info, ran)

    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="AUTO takes out what requires the module, REFUSE refuses when anything does.",
    )
    async def unassign_module(self, info: Info, input: UnassignModuleInput) -> AssignmentsPayload:
        ran = await run_command(info, commands.unassign_module, input.request)
        return await _payload(info, ran)

    @strawberry.mutation(extensions=[Guard("Mutation")], description="All of the template, or nothing.")
    async def apply_industry_template(
        self,
        info: Info,
        input: ApplyIndustryTemplateInput,
    ) -> AssignmentsPayload:
        ran = await run_command(info, commands.apply_industry_template, input.request)
        return await _payload(info, ran)

    @strawberry.mutation(
        extensions=[Guard("Mutation")], description="N modules to M organizations; follow the operation."
    )
    async def bulk_assign_modules(
        self,
        info: Info,
        input: BulkAssignModulesInput,
    ) -> OperationPayload:
        ran = await run_command(info, bulk_assign_modules, input.request)
        return await operation_payload(info, ran)


async def _payload(info: Info, ran: Ran) -> AssignmentsPayload:
    """What was written, or a dry run would have written; what came of a request that comes again is read."""
    if ran.outcome is None:
        return AssignmentsPayload(errors=ran.errors, revision=None)
    rows = ran.outcome.preview
    if rows is None:
        rows = await _read_back(info, ran.outcome) if is_selected(info, "assignments") else []
    hidden = await hidden_codes(info, {row.module_id for row in rows} | {change.module for change in ran.changes})
    return AssignmentsPayload(
        assignments=[ModuleAssignment.from_row(row) for row in _by_code(rows) if row.module_id not in hidden],
        affected=[Change.of(change) for change in ran.changes if change.module not in hidden],
        errors=ran.errors,
        revision=ran.revision,
    )


async def _read_back(info: Info, outcome: Outcome) -> Sequence[AssignmentRow]:
    codes = set(outcome.shows["modules"])
    loaded = await info.context.loaders.assignments.load(UUID(outcome.shows["organization_id"]))
    return [row for row in loaded if row.module_id in codes]


def _by_code(rows: Sequence[AssignmentRow]) -> Sequence[AssignmentRow]:
    """As lists of assignments are: the same request again is answered in the same order."""
    return sorted(rows, key=lambda row: row.module_id)
