"""An organization's module, as the API shows it."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from graph.context import Info
from graph.plan.batch import batched
from graph.types.module import Module, load_module, load_modules
from graph.types.scalars import JSON
from models.assignment import TenantModuleRow
from models.tenant_module import TenantModule
from queries.assignment import Assigned

if TYPE_CHECKING:
    from graph.types.organization import Organization


AssignmentRow = TenantModuleRow | TenantModule | Assigned


@strawberry.enum
class AssignmentState(Enum):
    INSTALLED = "INSTALLED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    UPDATING = "UPDATING"
    FAILED = "FAILED"


STATES = {each.value: each for each in AssignmentState}  # an enum's own way costs three calls


@strawberry.type(description="An organization has a module, at a version, in a state.")
class ModuleAssignment:
    row: strawberry.Private[AssignmentRow]
    version: str
    state: AssignmentState
    is_required: bool = strawberry.field(description="Required by the industry's template.")
    config: JSON = strawberry.field(description="The organization's own layer, not merged.")
    enabled_features: list[str]
    disabled_features: list[str]
    revision: int
    assigned_at: datetime
    assigned_by: str

    @strawberry.field
    async def organization(self, info: Info) -> Annotated["Organization", strawberry.lazy("graph.types.organization")]:
        from graph.types.organization import load_organization  # noqa: PLC0415  # the two types show each other

        return await load_organization(info, self.row.organization_id)

    @strawberry.field
    async def module(self, info: Info) -> Module:
        return await load_module(info, self.row.module_id)

    @strawberry.field(description="Usable now: active here, and switched on for the platform.")
    async def is_available(self, info: Info) -> bool:
        module = await load_module(info, self.row.module_id)
        return module.is_active and self.state is AssignmentState.ACTIVE

    @strawberry.field(description="The modules that pulled it in; empty when it was asked for.")
    async def dependency_of(self, info: Info) -> list[Module]:
        if self.row.is_requested:
            return []
        loaders = info.context.loaders
        dependents = await loaders.assigned_dependents.load(self.row.organization_id) or {}
        codes = dependents.get(self.row.module_id, [])
        rows = await loaders.module.load_many(codes)
        return [Module.from_row(row) for row in rows if row is not None]

    @staticmethod
    def from_row(row: AssignmentRow) -> "ModuleAssignment":
        return ModuleAssignment(
            row=row,
            version=row.version,
            state=STATES[row.state],
            is_required=row.is_required,
            config=row.configuration,
            enabled_features=row.enabled_features,
            disabled_features=row.disabled_features,
            revision=row.revision,
            assigned_at=row.assigned_at,
            assigned_by=row.assigned_by,
        )


@batched(ModuleAssignment.module)
async def modules_of_assignments(assignments: list[ModuleAssignment], info: Info) -> list[Module]:
    return await load_modules(info, [assignment.row.module_id for assignment in assignments])


@batched(ModuleAssignment.is_available)
async def are_available(assignments: list[ModuleAssignment], info: Info) -> list[bool]:
    modules = await modules_of_assignments(assignments, info)
    return [
        module.is_active and assignment.state is AssignmentState.ACTIVE
        for assignment, module in zip(assignments, modules, strict=True)
    ]
