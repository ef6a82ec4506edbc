"""Questions about organizations and companies. A tenant reads its own; a caller bound to a company reads that one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select, text

from models.assignment import TenantModuleRow
from models.event import OrgRevisionRow
from models.organization import CompanyRow, OrganizationRow
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


@dataclass(frozen=True)
class OrganizationRecord:
    """A row and the organization's rev, read in one snapshot."""

    row: OrganizationRow
    revision: int


async def load_organizations_by_ids(reader: Reader, ids: Collection[UUID]) -> dict[UUID, OrganizationRecord]:
    statement = _with_revision().where(among(OrganizationRow.organization_id, list(ids)))
    found = await reader.session.execute(statement)
    return {row.organization_id: OrganizationRecord(row=row, revision=revision) for row, revision in found}


def _with_revision() -> Select[OrganizationRow, int]:
    return select(OrganizationRow, OrgRevisionRow.rev).join(
        OrgRevisionRow, OrgRevisionRow.organization_id == OrganizationRow.organization_id
    )


async def list_organizations(reader: Reader, wanted: OrganizationFilter, page: PageRequest) -> Page[OrganizationRecord]:
    """Organizations in the order they signed up."""
    statement = _with_revision().where(*conditions_of(wanted))
    if page.after is not None:
        statement = statement.where(OrganizationRow.organization_id > _uuid(page.after))
    statement = statement.order_by(OrganizationRow.organization_id).limit(page.first + 1)
    records = [OrganizationRecord(row=row, revision=rev) for row, rev in await reader.session.execute(statement)]
    return page_of(records, page, key=lambda record: record.row.organization_id)


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


async def load_companies_by_ids(reader: Reader, ids: Collection[UUID]) -> dict[UUID, CompanyRow]:
    statement = select(CompanyRow).where(among(CompanyRow.id, list(ids)))
    if reader.actor.company_id is not None:
        statement = statement.where(CompanyRow.id == reader.actor.company_id)
    return {row.id: row for row in await reader.session.scalars(statement)}


# One index range per organization, whatever the number of organizations: N pages in one statement.
COMPANY_PAGES = text(
    "SELECT c.* FROM unnest(cast(:organizations AS uuid[])) AS wanted(organization_id)"
    " CROSS JOIN LATERAL (SELECT * FROM companies WHERE organization_id = wanted.organization_id"
    "  AND (cast(:after AS uuid) IS NULL OR id > cast(:after AS uuid))"
    "  AND (cast(:only AS uuid) IS NULL OR id = cast(:only AS uuid)) ORDER BY id LIMIT :size) c"
    " ORDER BY c.organization_id, c.id"
)


async def load_company_pages(
    reader: Reader, organization_ids: Sequence[UUID], page: PageRequest
) -> dict[UUID, Page[CompanyRow]]:
    parameters = {
        "organizations": list(organization_ids),
        "after": None if page.after is None else _uuid(page.after),
        "only": reader.actor.company_id,
        "size": page.first + 1,
    }
    statement = select(CompanyRow).from_statement(COMPANY_PAGES.columns(*CompanyRow.__table__.columns))
    rows: dict[UUID, list[CompanyRow]] = {organization_id: [] for organization_id in organization_ids}
    for row in await reader.session.scalars(statement, parameters):
        rows[row.organization_id].append(row)
    return {organization_id: page_of(found, page, key=lambda row: row.id) for organization_id, found in rows.items()}


async def find_company_organization(reader: Reader, company_id: UUID) -> UUID | None:
    """The organization that a company is in, as far as the caller may see it."""
    company = (await load_companies_by_ids(reader, [company_id])).get(company_id)
    return None if company is None else company.organization_id


def _uuid(key: str) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",))) from None
