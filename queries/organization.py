"""Questions about organizations and companies. A tenant reads its own; a caller bound to a company reads that one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select, text

from models.assignment import TenantModuleRow
from models.event import OrgRevisionRow
from models.organization import CompanyRow, OrganizationRow
from models.tenant_questions import Question
from models.tenant_reads import TenantReads
from queries.module import contains
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader, among
from rules.errors import InvalidInput, Refusal


@dataclass(frozen=True)
class OrganizationFilter:
    search: str | None = None
    industry_code: str | None = None
    module_code: str | None = None
    plan: str | None = None


class OrganizationRecord(NamedTuple):
    """What is shown of an organization, and its rev, read in one snapshot."""

    organization_id: UUID
    name: str
    industry_code: str | None
    plan: str
    revision: int


class CompanyRecord(NamedTuple):
    """What is shown of a company."""

    organization_id: UUID
    id: UUID
    name: str


async def load_organizations_by_ids(reader: Reader, ids: Collection[UUID]) -> dict[UUID, OrganizationRecord]:
    statement = _with_revision().where(among(OrganizationRow.organization_id, list(ids)))
    found = await reader.session.execute(statement)
    return {row.organization_id: OrganizationRecord(*row) for row in found}


OF_TENANTS = Question("tenants_organizations", ("uuid",))


async def load_tenants_organizations(
    reads: TenantReads, tenant: UUID, ids: Collection[UUID]
) -> dict[UUID, OrganizationRecord]:
    """The same, as one tenant and together with others' questions: it sees no other than its own."""
    if tenant not in ids:
        return {}
    rows = (await reads.questions.ask(OF_TENANTS, [(tenant,)])).get((tenant,), ())
    return {row["organization_id"]: OrganizationRecord(*row[1:]) for row in rows}


def _with_revision() -> Select[UUID, str, str | None, str, int]:
    row = OrganizationRow
    columns = select(row.organization_id, row.name, row.industry_code, row.plan, OrgRevisionRow.rev)
    return columns.join(OrgRevisionRow, OrgRevisionRow.organization_id == row.organization_id)


async def list_organizations(reader: Reader, wanted: OrganizationFilter, page: PageRequest) -> Page[OrganizationRecord]:
    """Organizations in the order they signed up."""
    statement = _with_revision().where(*conditions_of(wanted))
    if page.after is not None:
        statement = statement.where(OrganizationRow.organization_id > _uuid(page.after))
    statement = statement.order_by(OrganizationRow.organization_id).limit(page.first + 1)
    records = [OrganizationRecord(*row) for row in await reader.session.execute(statement)]
    return page_of(records, page, key=lambda record: record.organization_id)


async def count_organizations(reader: Reader, wanted: OrganizationFilter) -> int:
    statement = select(func.count()).select_from(OrganizationRow).where(*conditions_of(wanted))
    return await reader.session.scalar(statement) or 0


def conditions_of(wanted: OrganizationFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.search:
        conditions.append(contains(OrganizationRow.name.expression, wanted.search))
    if wanted.industry_code is not None:
        conditions.append(OrganizationRow.industry_code == wanted.industry_code)
    if wanted.plan is not None:
        conditions.append(OrganizationRow.plan == wanted.plan)
    if wanted.module_code is not None:
        conditions.append(
            exists().where(
                TenantModuleRow.organization_id == OrganizationRow.organization_id,
                TenantModuleRow.module_id == wanted.module_code,
            )
        )
    return conditions


async def load_companies_by_ids(reader: Reader, ids: Collection[UUID]) -> dict[UUID, CompanyRecord]:
    columns = select(CompanyRow.organization_id, CompanyRow.id, CompanyRow.name)
    statement = columns.where(among(CompanyRow.id, list(ids)))
    if reader.actor.company_id is not None:
        statement = statement.where(CompanyRow.id == reader.actor.company_id)
    return {row.id: CompanyRecord(*row) for row in await reader.session.execute(statement)}


# One index range per organization, whatever the number of organizations: N pages in one statement.
COMPANY_PAGES = text(
    "SELECT c.organization_id, c.id, c.name FROM unnest(cast(:organizations AS uuid[])) AS wanted(organization_id)"
    " CROSS JOIN LATERAL (SELECT * FROM companies WHERE organization_id = wanted.organization_id"
    "  AND (cast(:after AS uuid) IS NULL OR id > cast(:after AS uuid))"
    "  AND (cast(:only AS uuid) IS NULL OR id = cast(:only AS uuid)) ORDER BY id LIMIT :size) c"
    " ORDER BY c.organization_id, c.id"
)


async def load_company_pages(
    reader: Reader, organization_ids: Sequence[UUID], page: PageRequest
) -> dict[UUID, Page[CompanyRecord]]:
    parameters = {
        "organizations": list(organization_ids),
        "after": None if page.after is None else _uuid(page.after),
        "only": reader.actor.company_id,
        "size": page.first + 1,
    }
    rows: dict[UUID, list[CompanyRecord]] = {organization_id: [] for organization_id in organization_ids}
    for row in await reader.session.execute(COMPANY_PAGES, parameters):
        rows[row.organization_id].append(CompanyRecord(*row))
    return {organization_id: page_of(found, page, key=lambda row: row.id) for organization_id, found in rows.items()}


COMPANIES_OF_TENANTS = Question("tenants_companies", ("uuid", "uuid", "uuid", "int"))


async def load_tenants_company_pages(
    reads: TenantReads, tenant: UUID, keys: Collection[tuple[UUID, PageRequest]], *, only: UUID | None
) -> dict[tuple[UUID, PageRequest], Page[CompanyRecord] | Refusal]:
    """The same, as one tenant and together with others' questions. A refusal is of one page's cursor."""
    found: dict[tuple[UUID, PageRequest], Page[CompanyRecord] | Refusal] = {}
    asked = {}
    for organization_id, page in keys:
        try:
            after = None if page.after is None else _uuid(page.after)
        except Refusal as refusal:
            found[organization_id, page] = refusal
        else:
            asked[organization_id, page] = (tenant, after, only, page.first + 1)
    own = [arguments for (organization_id, _), arguments in asked.items() if organization_id == tenant]
    rows = await reads.questions.ask(COMPANIES_OF_TENANTS, own) if own else {}
    for (organization_id, page), arguments in asked.items():
        read = [CompanyRecord(*row[1:]) for row in rows.get(arguments, ())] if organization_id == tenant else []
        found[organization_id, page] = page_of(read, page, key=lambda row: row.id)
    return found


async def find_company_organization(reader: Reader, company_id: UUID) -> UUID | None:
    """The organization that a company is in, as far as the caller may see it."""
    company = (await load_companies_by_ids(reader, [company_id])).get(company_id)
    return None if company is None else company.organization_id


def _uuid(key: str) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",))) from None
