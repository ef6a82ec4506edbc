"""An organization's module, as the API shows it."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from graph.context import Info
from graph.types.module import Module, load_module
from graph.types.scalars import JSON
from models.assignment import TenantModuleRow

if TYPE_CHECKING:
    from graph.types.organization import Organization


@strawberry.enum
class AssignmentState(Enum):
    INSTALLED = "INSTALLED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    UPDATING = "UPDATING"
    FAILED = "FAILED"


@strawberry.type(description="An organization has a module, at a version, in a state.")
class ModuleAssignment:
    row: strawberry.Private[TenantModuleRow]
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
    def from_row(row: TenantModuleRow) -> "ModuleAssignment":
        return ModuleAssignment(
            row=row,
            version=row.version,
            state=AssignmentState(row.state),
            is_required=row.is_required,
            config=row.configuration,
            enabled_features=row.enabled_features,
            disabled_features=row.disabled_features,
            revision=row.revision,
            assigned_at=row.assigned_at,
            assigned_by=row.assigned_by,
        )
