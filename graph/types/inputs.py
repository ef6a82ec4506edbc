"""The inputs of mutations, and the requests that they become."""

from enum import Enum
from typing import Any

import strawberry

from commands.assignment import ApplyIndustryTemplate, AssignModule, UnassignModule
from commands.bulk import BulkAssignModules
from commands.config import SetCompanyConfig, SetOrganizationConfig
from commands.industry import CreateIndustry, DeleteIndustry, TemplateItem, UpdateIndustry
from commands.module.change import ModuleRef, UpdateModule
from commands.module.register import RegisterModule
from commands.organization import CreateCompany, SignUpOrganization, UpdateOrganization
from graph.types.ids import require_id
from graph.types.module import ModuleTier, ModuleVisibility
from graph.types.scalars import JSON
from queries.module import ModuleFilter as ModulesWanted
from queries.organization import OrganizationFilter as OrganizationsWanted

# A null is as good as leaving it out: the contract's fields are nullable, with a default.


@strawberry.enum(description="What follows for the others: AUTO takes them along, REFUSE refuses.")
class Cascade(Enum):
    AUTO = "AUTO"
    REFUSE = "REFUSE"


@strawberry.enum(description="REPLACE the layer, or change it by RFC 7396 or RFC 6902.")
class ConfigWrite(Enum):
    REPLACE = "REPLACE"
    MERGE_PATCH = "MERGE_PATCH"
    JSON_PATCH = "JSON_PATCH"


def _name(value: Enum | None) -> str | None:
    return None if value is None else str(value.value)


@strawberry.input
class ModuleFilter:
    search: str | None = None
    category: str | None = None
    tag: str | None = None
    tier: ModuleTier | None = None
    is_active: bool | None = None

    def wanted(self) -> ModulesWanted:
        return ModulesWanted(
            search=self.search,
            category=self.category,
            tag=self.tag,
            tier=_name(self.tier),
            is_active=self.is_active,
        )


@strawberry.input
class OrganizationFilter:
    search: str | None = None
    industry_code: str | None = None
    module_code: str | None = None
    plan: str | None = None

    def wanted(self) -> OrganizationsWanted:
        return OrganizationsWanted(
            search=self.search,
            industry_code=self.industry_code,
            module_code=self.module_code,
            plan=self.plan,
        )


@strawberry.input
class RegisterModuleInput:
    manifest: JSON
    visibility: ModuleVisibility | None = None
    tier: ModuleTier | None = None
    idempotency_key: str | None = None

    def request(self) -> RegisterModule:
        return RegisterModule(
            manifest=self.manifest,
            visibility=_name(self.visibility),
            tier=_name(self.tier),
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UpdateModuleInput:
    code: str
    name: str | None = None
    description: str | None = None
    category: str | None = None
    tags: list[str] | None = None
    metadata: JSON | None = None
    visibility: ModuleVisibility | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UpdateModule:
        return UpdateModule(
            code=self.code,
            name=self.name,
            description=self.description,
            category=self.category,
            tags=self.tags,
            metadata=self.metadata,
            visibility=_name(self.visibility),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class ModuleRefInput:
    code: str
    cascade: Cascade | None = Cascade.REFUSE
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> ModuleRef:
        return ModuleRef(
            code=self.code,
            cascade=(self.cascade or Cascade.REFUSE).value,
            dry_run=bool(self.dry_run),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class IndustryModuleInput:
    module: str
    is_required: bool | None = False
    default_config: JSON | None = None
    display_order: int | None = None

    def item(self) -> TemplateItem:
        return TemplateItem(
            module=self.module,
            is_required=bool(self.is_required),
            default_config=self.default_config,
            display_order=self.display_order,
        )


@strawberry.input
class CreateIndustryInput:
    code: str
    name: str
    description: str | None = None
    modules: list[IndustryModuleInput]
    idempotency_key: str | None = None

    def request(self) -> CreateIndustry:
        return CreateIndustry(
            code=self.code,
            name=self.name,
            description=self.description or "",
            modules=[each.item() for each in self.modules],
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UpdateIndustryInput:
    code: str
    name: str | None = None
    description: str | None = None
    is_active: bool | None = None
    modules: list[IndustryModuleInput] | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UpdateIndustry:
        return UpdateIndustry(
            code=self.code,
            name=self.name,
            description=self.description,
            is_active=self.is_active,
            modules=None if self.modules is None else [each.item() for each in self.modules],
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class IndustryRefInput:
    code: str
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> DeleteIndustry:
        return DeleteIndustry(
            code=self.code,
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class SignUpOrganizationInput:
    name: str
    industry_code: str | None = None
    plan: str | None = None
    idempotency_key: str | None = None

    def request(self) -> SignUpOrganization:
        return SignUpOrganization(
            name=self.name,
            industry_code=self.industry_code,
            plan=self.plan,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UpdateOrganizationInput:
    organization_id: strawberry.ID
    name: str | None = None
    plan: str | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UpdateOrganization:
        return UpdateOrganization(
            organization_id=_organization(self.organization_id),
            name=self.name,
            plan=self.plan,
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class CreateCompanyInput:
    organization_id: strawberry.ID
    name: str
    idempotency_key: str | None = None

    def request(self) -> CreateCompany:
        return CreateCompany(
            organization_id=_organization(self.organization_id),
            name=self.name,
            idempotency_key=self.idempotency_key,
        )


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
        config: Any = self.config
        return AssignModule(
            organization_id=_organization(self.organization_id),
            module=self.module,
            version=self.version,
            config=config,
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
            organization_id=_organization(self.organization_id),
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
            organization_id=_organization(self.organization_id),
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


@strawberry.input
class SetOrganizationConfigInput:
    organization_id: strawberry.ID
    module: str
    write: ConfigWrite | None = ConfigWrite.MERGE_PATCH
    value: JSON
    reason: str | None = None
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> SetOrganizationConfig:
        return SetOrganizationConfig(
            organization_id=_organization(self.organization_id),
            module=self.module,
            write=(self.write or ConfigWrite.MERGE_PATCH).value,
            value=self.value,
            reason=self.reason,
            dry_run=bool(self.dry_run),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class SetCompanyConfigInput:
    company_id: strawberry.ID
    module: str
    write: ConfigWrite | None = ConfigWrite.MERGE_PATCH
    value: JSON
    reason: str | None = None
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None


def _organization(given: strawberry.ID) -> Any:
    return require_id(given, thing="organization", field="organizationId")


def company_request(given: SetCompanyConfigInput, organization_id: Any, company_id: Any) -> SetCompanyConfig:
    """The organization is the company's; it is looked up, never asked for."""
    return SetCompanyConfig(
        organization_id=organization_id,
        company_id=company_id,
        module=given.module,
        write=(given.write or ConfigWrite.MERGE_PATCH).value,
        value=given.value,
        reason=given.reason,
        dry_run=bool(given.dry_run),
        expected_revision=given.expected_revision,
        idempotency_key=given.idempotency_key,
    )
