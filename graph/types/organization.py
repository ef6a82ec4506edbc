"""Organizations and companies, as the API shows them."""

from collections.abc import Awaitable
from uuid import UUID

import strawberry

from graph.context import Info
from graph.masking import ApiError
from graph.plan.batch import batched
from graph.types.assignment import AssignmentState, ModuleAssignment
from graph.types.connection import After, Connection, First, page_request
from graph.types.effective_config import (
    EffectiveConfig,
    find_effective_config,
    list_effective_configs,
    load_effective_configs,
)
from graph.types.ids import parse_id
from graph.types.industry import Industry, shown_industry
from models.industry import IndustryRow
from queries.effective_config import ConfigKey
from queries.organization import CompanyRecord, OrganizationRecord


@strawberry.federation.type(keys=["id"], description="A company inside an organization: tier 3.")
class Company:
    row: strawberry.Private[CompanyRecord]
    id: strawberry.ID
    name: str

    @strawberry.field
    async def organization(self, info: Info) -> "Organization":
        return await load_organization(info, self.row.organization_id)

    @strawberry.field(description="Null when the organization has not got the module.")
    async def effective_config(self, info: Info, module: str) -> EffectiveConfig | None:
        return await find_effective_config(info, self._key(module))

    @strawberry.field
    async def effective_configs(self, info: Info) -> list[EffectiveConfig]:
        return await list_effective_configs(info, self._key(None))

    def _key(self, module: str | None) -> ConfigKey:
        return ConfigKey(organization_id=self.row.organization_id, module=module, company_id=self.row.id)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID, **_: object) -> "Company | None":
        company_id = parse_id(id)
        row = None if company_id is None else await info.context.loaders.company.load(company_id)
        return None if row is None else Company.from_row(row)

    @staticmethod
    def from_row(row: CompanyRecord) -> "Company":
        return Company(row=row, id=strawberry.ID(str(row.id)), name=row.name)


@strawberry.federation.type(keys=["id"], description="A tenant: tier 2.")
class Organization:
    record: strawberry.Private[OrganizationRecord]
    id: strawberry.ID = strawberry.field(description="UUIDv7")
    name: str
    plan: str = strawberry.field(description="free, standard, premium or enterprise")
    revision: int = strawberry.field(description="The organization's rev: of its last event.")

    @strawberry.field
    async def industry(self, info: Info) -> Industry | None:
        code = self.record.industry_code
        row = None if code is None else await info.context.loaders.industry.load(code)
        return None if row is None else Industry.from_row(row)

    @strawberry.field(description="By code.")
    async def modules(self, info: Info, states: list[AssignmentState] | None = None) -> list[ModuleAssignment]:
        rows = await info.context.loaders.assignments.load(self.record.organization_id)
        wanted = None if states is None else {state.value for state in states}
        return [ModuleAssignment.from_row(row) for row in rows if wanted is None or row.state in wanted]

    @strawberry.field
    async def module(self, info: Info, code: str) -> ModuleAssignment | None:
        rows = await info.context.loaders.assignments.load(self.record.organization_id)
        return next((ModuleAssignment.from_row(row) for row in rows if row.module_id == code), None)

    @strawberry.field(description="In the order they were created.")
    async def companies(self, info: Info, first: First = None, after: After = None) -> Connection[Company]:
        request = page_request(first, after)
        page = await info.context.loaders.companies.load((self.record.organization_id, request))
        return Connection[Company].of(page, request, Company.from_row)

    @strawberry.field(description="Null when the organization has not got the module, or there is no such company.")
    async def effective_config(
        self, info: Info, module: str, company_id: strawberry.ID | None = None
    ) -> EffectiveConfig | None:
        if company_id is not None and parse_id(company_id) is None:
            return None
        return await find_effective_config(info, self._key(module, company_id))

    @strawberry.field(description="Of every module it has.")
    async def effective_configs(self, info: Info, company_id: strawberry.ID | None = None) -> list[EffectiveConfig]:
        if company_id is not None and parse_id(company_id) is None:
            return []
        return await list_effective_configs(info, self._key(None, company_id))

    def _key(self, module: str | None, company_id: strawberry.ID | None) -> ConfigKey:
        return ConfigKey(organization_id=self.record.organization_id, module=module, company_id=parse_id(company_id))

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID, **_: object) -> "Organization | None":
        return await find_organization(info, parse_id(id))

    @staticmethod
    def of(record: OrganizationRecord) -> "Organization":
        return Organization(
            record=record,
            id=strawberry.ID(str(record.organization_id)),
            name=record.name,
            plan=record.plan,
            revision=record.revision,
        )


async def find_organization(info: Info, organization_id: UUID | None) -> Organization | None:
    """None when there is none, and when it is another tenant's: the two can't be told apart."""
    if organization_id is None or not info.context.actor.may_see_organization(organization_id):
        return None
    record = await info.context.loaders.organization.load(organization_id)
    return None if record is None else Organization.of(record)


async def load_organization(info: Info, organization_id: UUID) -> Organization:
    """An organization that must be there: what refers to it is visible, so it is too."""
    found = await find_organization(info, organization_id)
    if found is None:
        raise ApiError("NOT_FOUND", f"organization {organization_id} is gone")
    return found


@batched(Company.effective_config)
async def company_configs(companies: list[Company], info: Info, module: str) -> list[EffectiveConfig | None]:
    keys = [company._key(module) for company in companies]
    return [next(iter(configs), None) for configs in await load_effective_configs(info, keys)]


@batched(Company.effective_configs)
async def all_company_configs(companies: list[Company], info: Info) -> list[list[EffectiveConfig]]:
    return await load_effective_configs(info, [company._key(None) for company in companies])


@batched(Organization.industry)
def industries(
    organizations: list[Organization], info: Info
) -> list[Industry | None] | Awaitable[list[Industry | None]]:
    codes = [organization.record.industry_code for organization in organizations]
    wanted = list(dict.fromkeys(code for code in codes if code is not None))
    rows = info.context.loaders.industry.at_once(wanted)
    return _industries_later(info, codes, wanted) if rows is None else _industries(info, codes, wanted, rows)


async def _industries_later(info: Info, codes: list[str | None], wanted: list[str]) -> list[Industry | None]:
    return _industries(info, codes, wanted, await info.context.loaders.industry.load_many(wanted))


def _industries(
    info: Info, codes: list[str | None], wanted: list[str], rows: list[IndustryRow | None]
) -> list[Industry | None]:
    registry = info.context.registry_at_hand()
    found = {
        code: shown_industry(registry, code, row) for code, row in zip(wanted, rows, strict=True) if row is not None
    }
    return [None if code is None else found.get(code) for code in codes]


@batched(Organization.modules)
async def assignments(
    organizations: list[Organization], info: Info, states: list[AssignmentState] | None = None
) -> list[list[ModuleAssignment]]:
    ids = [organization.record.organization_id for organization in organizations]
    wanted = None if states is None else {state.value for state in states}
    return [
        [ModuleAssignment.from_row(row) for row in rows if wanted is None or row.state in wanted]
        for rows in await info.context.loaders.assignments.load_many(ids)
    ]


@batched(Organization.companies)
async def company_pages(
    organizations: list[Organization], info: Info, first: First = None, after: After = None
) -> list[Connection[Company]]:
    request = page_request(first, after)
    keys = [(organization.record.organization_id, request) for organization in organizations]
    pages = await info.context.loaders.companies.load_many(keys)
    return [Connection[Company].of(page, request, Company.from_row) for page in pages]


@batched(Organization.effective_config)
async def organization_configs(
    organizations: list[Organization], info: Info, module: str, company_id: strawberry.ID | None = None
) -> list[EffectiveConfig | None]:
    if company_id is not None and parse_id(company_id) is None:
        return [None for _ in organizations]
    keys = [organization._key(module, company_id) for organization in organizations]
    return [next(iter(configs), None) for configs in await load_effective_configs(info, keys)]


@batched(Organization.effective_configs)
async def all_organization_configs(
    organizations: list[Organization], info: Info, company_id: strawberry.ID | None = None
) -> list[list[EffectiveConfig]]:
    if company_id is not None and parse_id(company_id) is None:
        return [[] for _ in organizations]
    return await load_effective_configs(info, [organization._key(None, company_id) for organization in organizations])
