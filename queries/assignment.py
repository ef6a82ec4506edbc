"""Questions about who has which module. INTERNAL modules are left out for everybody but administrators."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, select, text

from models.assignment import TenantModuleRow
from models.base import JsonObject
from models.module import ModuleRow, ModuleVersionRow
from models.tenant_questions import Question
from models.tenant_reads import TenantReads
from queries.module import requirements_of
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader, among
from rules.errors import InvalidInput, Refusal


@dataclass(frozen=True, slots=True)
class Assigned:
    """A row of tenant_modules as it is shown: what it is made of, without the means to change it.

    The fields are the columns of the question `tenants_assignments`, in their order.
    """

    organization_id: UUID
    module_id: str
    version: str
    state: str
    is_required: bool
    is_requested: bool
    configuration: JsonObject
    enabled_features: list[str]
    disabled_features: list[str]
    revision: int
    assigned_at: datetime
    assigned_by: str


async def load_assignments_by_organizations(
    reader: Reader, organization_ids: Collection[UUID]
) -> dict[UUID, list[Assigned]]:
    """Each organization's modules, by code."""
    statement = (
        select(*(getattr(TenantModuleRow, each.name) for each in fields(Assigned)))
        # of a module that is deleted a row may be left until the worker has been there
        .join(ModuleRow, and_(ModuleRow.module_id == TenantModuleRow.module_id, ModuleRow.deleted_at.is_(None)))
        .where(among(TenantModuleRow.organization_id, list(organization_ids)))
        .order_by(TenantModuleRow.module_id)
    )
    if not reader.actor.is_platform_admin:
        statement = statement.where(ModuleRow.tier != "INTERNAL")
    found: dict[UUID, list[Assigned]] = {each: [] for each in organization_ids}
    for row in await reader.session.execute(statement):
        found[row.organization_id].append(Assigned(*row))
    return found


OF_TENANTS = Question("tenants_assignments", ("uuid",))


async def load_tenants_assignments(
    reads: TenantReads, tenant: UUID, organization_ids: Collection[UUID]
) -> dict[UUID, list[Assigned]]:
    """The same, as one tenant and together with others' questions: it sees no other than its own."""
    if tenant not in organization_ids:
        return {}
    rows = (await reads.questions.ask(OF_TENANTS, [(tenant,)])).get((tenant,), ())
    return {tenant: [Assigned(*row[1:]) for row in rows]}


ASSIGNMENT_PAGES = text(
    "SELECT t.* FROM unnest(cast(:modules AS text[])) AS wanted(module_id)"
    " CROSS JOIN LATERAL (SELECT * FROM tenant_modules WHERE module_id = wanted.module_id"
    "  AND (cast(:after AS uuid) IS NULL OR organization_id > cast(:after AS uuid))"
    "  ORDER BY organization_id LIMIT :size) t ORDER BY t.module_id, t.organization_id"
)


async def load_assignment_pages_by_modules(
    reader: Reader, codes: Sequence[str], page: PageRequest
) -> dict[str, Page[TenantModuleRow]]:
    """Who uses each module, by organization."""
    try:
        after = None if page.after is None else UUID(page.after)
    except ValueError:
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",))) from None
    parameters = {"modules": list(codes), "after": after, "size": page.first + 1}
    statement = select(TenantModuleRow).from_statement(ASSIGNMENT_PAGES.columns(*TenantModuleRow.__table__.columns))
    rows: dict[str, list[TenantModuleRow]] = {code: [] for code in codes}
    for row in await reader.session.scalars(statement, parameters):
        rows[row.module_id].append(row)
    return {code: page_of(found, page, key=lambda row: row.organization_id) for code, found in rows.items()}


async def count_assignments_by_modules(reader: Reader, codes: Collection[str]) -> dict[str, int]:
    statement = (
        select(TenantModuleRow.module_id, func.count())
        .where(among(TenantModuleRow.module_id, list(codes)))
        .group_by(TenantModuleRow.module_id)
    )
    counted = dict((await reader.session.execute(statement)).all())
    return {code: counted.get(code, 0) for code in codes}


async def load_dependents_by_organizations(
    reader: Reader, organization_ids: Collection[UUID]
) -> dict[UUID, dict[str, list[str]]]:
    """Of each organization's modules, those that need each of them at the versions it has; by code."""
    is_assigned = and_(
        ModuleVersionRow.module_id == TenantModuleRow.module_id, ModuleVersionRow.number == TenantModuleRow.version
    )
    statement = (
        select(TenantModuleRow.organization_id, TenantModuleRow.module_id, ModuleVersionRow.requirements)
        .join(ModuleVersionRow, is_assigned)
        .where(among(TenantModuleRow.organization_id, list(organization_ids)))
        .order_by(TenantModuleRow.module_id)
    )
    found: dict[UUID, dict[str, list[str]]] = {organization_id: {} for organization_id in organization_ids}
    for organization_id, code, stored in await reader.session.execute(statement):
        for each in requirements_of(stored):
            if not each.is_optional:
                found[organization_id].setdefault(each.module, []).append(code)
    return found
