"""The inputs of fields about assignments, and the requests that they become."""

import strawberry

from commands.assignment import ApplyIndustryTemplate, AssignModule, UnassignModule
from commands.bulk.ask import BulkAssignModules
from graph.types.ids import require_id
from graph.types.inputs.organization import OrganizationFilter
from graph.types.inputs.shared import Cascade, organization_of
from graph.types.scalars import JSON


@strawberry.input
class AssignModuleInput:
    organization_id: strawberry.ID
    module: str
    version: str | None = None
    config: JSON | None = None
    activate: bool | None = True
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> AssignModule:
        return AssignModule(
            organization_id=organization_of(self.organization_id),
            module=self.module,
            version=self.version,
            config=self.config,
            activate=self.activate is not False,
            dry_run=bool(self.dry_run),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UnassignModuleInput:
    organization_id: strawberry.ID
    module: str
    cascade: Cascade | None = Cascade.AUTO
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UnassignModule:
        return UnassignModule(
            organization_id=organization_of(self.organization_id),
            module=self.module,
            cascade=(self.cascade or Cascade.AUTO).value,
            dry_run=bool(self.dry_run),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class ApplyIndustryTemplateInput:
    organization_id: strawberry.ID
    industry_code: str
    dry_run: bool | None = False
    idempotency_key: str | None = None

    def request(self) -> ApplyIndustryTemplate:
        return ApplyIndustryTemplate(
            organization_id=organization_of(self.organization_id),
            industry_code=self.industry_code,
            dry_run=bool(self.dry_run),
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(description="For organizationIds, or for all that organizationFilter finds.")
class BulkAssignModulesInput:
    organization_ids: list[strawberry.ID] | None = None
    organization_filter: OrganizationFilter | None = None
    modules: list[str]
    idempotency_key: str | None = None

    def request(self) -> BulkAssignModules:
        ids = self.organization_ids
        return BulkAssignModules(
            organization_ids=None
            if ids is None
            else [require_id(each, thing="organization", field="organizationIds") for each in ids],
            organization_filter=None if self.organization_filter is None else self.organization_filter.wanted(),
            modules=self.modules,
            idempotency_key=self.idempotency_key,
        )
