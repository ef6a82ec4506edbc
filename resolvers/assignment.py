"""Mutation fields about assignments: unpack, call, wrap."""

from uuid import UUID

import strawberry

from commands import assignment as commands
from commands.bulk.ask import bulk_assign_modules
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.types.assignment import ModuleAssignment
from graph.types.inputs.assignment import (
    ApplyIndustryTemplateInput,
    AssignModuleInput,
    BulkAssignModulesInput,
    UnassignModuleInput,
)
from graph.types.payload import AssignmentsPayload, Change, OperationPayload
from queries.module import load_internal_codes
from resolvers.operation import operation_payload


@strawberry.type
class AssignmentMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")], description="Pulls in what the module requires. Again: a success."
    )
    async def assign_module(self, info: Info, input: AssignModuleInput) -> AssignmentsPayload:
        ran = await run_command(info, commands.assign_module, input.request)
        return await _payload(info, ran, is_dry=bool(input.dry_run))

    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="AUTO takes out what requires the module, REFUSE refuses when anything does.",
    )
    async def unassign_module(self, info: Info, input: UnassignModuleInput) -> AssignmentsPayload:
        ran = await run_command(info, commands.unassign_module, input.request)
        return await _payload(info, ran, is_dry=bool(input.dry_run))

    @strawberry.mutation(extensions=[Guard("Mutation")], description="All of the template, or nothing.")
    async def apply_industry_template(
        self,
        info: Info,
        input: ApplyIndustryTemplateInput,
    ) -> AssignmentsPayload:
        ran = await run_command(info, commands.apply_industry_template, input.request)
        return await _payload(info, ran, is_dry=bool(input.dry_run))

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


async def _payload(info: Info, ran: Ran, *, is_dry: bool) -> AssignmentsPayload:
    """What was written is read back; what a dry run would have written only it can show."""
    if ran.outcome is None:
        return AssignmentsPayload(errors=ran.errors, revision=None)
    rows = ran.outcome.preview if is_dry else None
    if rows is None:
        codes = set(ran.outcome.shows["modules"])
        loaded = await info.context.loaders.assignments.load(UUID(ran.outcome.shows["organization_id"]))
        rows = [row for row in loaded if row.module_id in codes]
    async with info.context.reader() as reader:
        told = {row.module_id for row in rows} | {change.module for change in ran.changes}
        hidden = await load_internal_codes(reader, told)
    return AssignmentsPayload(
        assignments=[ModuleAssignment.from_row(row) for row in rows if row.module_id not in hidden],
        affected=[Change.of(change) for change in ran.changes if change.module not in hidden],
        errors=ran.errors,
        revision=ran.revision,
    )
