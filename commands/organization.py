"""Organizations and the companies inside them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text

from commands.assigning import Assigning, Tenant, Wanted, assigned_facts, prepare, stamp
from commands.checks import checked_name
from commands.recording import TenantTransaction
from commands.request import Change, Outcome, Request, TenantRequest
from commands.templating import apply_template
from commands.transaction import Transaction, platform_command, tenant_command, tenant_session_command
from events.facts import Fact, company_state, organization_state
from events.types import EventType
from models.ids import new_id
from models.organization import CompanyRow, OrganizationRow
from rules.errors import EntitlementMissing, InvalidInput, Refusal
from rules.plans import LOWEST_PLAN, PLANS, is_plan

NEW_STREAM = text("INSERT INTO org_revision(organization_id, rev) VALUES (:id, 0)")
NEW_COMPANY = "INSERT INTO companies(organization_id, id, name, revision, created_at) VALUES ($1, $2, $3, $4, $5)"


@dataclass(frozen=True, kw_only=True)
class SignUpOrganization(Request):
    name: str
    industry_code: str | None = None
    plan: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateOrganization(TenantRequest):
    name: str | None = None
    plan: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreateCompany(TenantRequest):
    name: str


@platform_command
async def sign_up_organization(tx: Transaction, request: SignUpOrganization) -> Outcome:
    """A new tenant with every CORE module and, when it says its industry, that template. A failure leaves nothing."""
    name, plan = checked_name(request.name), _checked_plan(request.plan or LOWEST_PLAN)
    now = datetime.now(UTC)
    organization = OrganizationRow(
        organization_id=new_id(), name=name, plan=plan, revision=1, created_at=now, updated_at=now
    )
    tx.session.add(organization)
    await tx.session.flush()
    await tx.session.execute(NEW_STREAM, {"id": organization.organization_id})
    core = await _assign_core(tx, organization)
    applied = None
    if request.industry_code is not None:
        assigned = {row.module_id: row for row in core.rows}
        applied = await apply_template(tx, organization, request.industry_code, assigned=assigned)
    count = 1 + len(core.rows) + (applied is not None)
    revisions = await tx.advance(organization.organization_id, count)
    tx.record(_organization_fact(EventType.ORGANIZATION_CREATED, organization, revisions[0]))
    stamp(core.rows, revisions[1 : 1 + len(core.rows)])
    tx.record(*assigned_facts(core.rows, core.catalog))
    changes: list[Change] = list(core.changes)
    if applied is not None:
        tx.record(applied.fact(revisions[-1]))
        changes += applied.changes
        tx.save(*applied.written)
    tx.save(*core.rows)
    shows = {"organization_id": str(organization.organization_id)}
    return Outcome(revision=revisions[-1], affected=tuple(changes), shows=shows)


async def _assign_core(tx: Transaction, organization: OrganizationRow) -> Assigning:
    catalog = (await tx.known_registry()).catalog
    core = [code for code, module in catalog.items() if module.tier == "CORE" and module.is_active]
    wanted = [Wanted(code, cause="CORE") for code in core]
    tenant = Tenant(organization.organization_id, organization.plan)
    return await prepare(tx, tenant, wanted, assigned={}, activate=True, at=("input",))


@tenant_session_command
async def update_organization(tx: Transaction, request: UpdateOrganization) -> Outcome:
    """Rename, or change the plan; the plan is what is paid for, so only the platform's administrators change it."""
    organization = await tx.lock_organization(request.organization_id)
    await tx.check_expected(request, touched=organization.revision, stream=organization.organization_id)
    name = organization.name if request.name is None else checked_name(request.name)
    plan = organization.plan if request.plan is None else _checked_plan(request.plan)
    if plan != organization.plan and not tx.actor.is_platform_admin:
        message = "the plan is changed by the platform's administrators"
        raise Refusal(EntitlementMissing(message=message, path=("input", "plan"), required_plan=plan))
    shows = {"organization_id": str(organization.organization_id)}
    if (name, plan) == (organization.name, organization.plan):
        return Outcome(revision=await tx.current_revision(organization.organization_id), shows=shows)
    (revision,) = await tx.advance(organization.organization_id)
    organization.name, organization.plan = name, plan
    organization.revision, organization.updated_at = revision, datetime.now(UTC)
    tx.record(_organization_fact(EventType.ORGANIZATION_UPDATED, organization, revision))
    return Outcome(revision=revision, shows=shows)


@tenant_command
async def create_company(tx: TenantTransaction, request: CreateCompany) -> Outcome:
    name = checked_name(request.name)
    (revision,) = await tx.advance(tx.organization_id)
    company = CompanyRow(
        organization_id=tx.organization_id,
        id=new_id(),
        name=name,
        revision=revision,
        created_at=datetime.now(UTC),
    )
    await tx.fetch(NEW_COMPANY, company.organization_id, company.id, name, revision, company.created_at)
    tx.record(
        Fact(
            type=EventType.COMPANY_CREATED,
            organization_id=tx.organization_id,
            revision=revision,
            payload={"company": company_state(company), "company_id": str(company.id)},
            company_id=company.id,
        )
    )
    return Outcome(revision=revision, shows={"company_id": str(company.id)})


def _organization_fact(kind: EventType, row: OrganizationRow, revision: int) -> Fact:
    payload = {"organization": organization_state(row)}
    return Fact(type=kind, organization_id=row.organization_id, revision=revision, payload=payload)


def _checked_plan(plan: str) -> str:
    if not is_plan(plan):
        message = f"no plan {plan!r}; there are {', '.join(PLANS)}"
        raise Refusal(InvalidInput(message=message, path=("input", "plan")))
    return plan
