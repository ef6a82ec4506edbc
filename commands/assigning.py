"""Turning a plan into rows and facts: shared by every command that gives modules to an organization."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select

from commands.request import Change
from commands.transaction import Transaction
from events.facts import Fact, assignment_fact
from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import JsonObject
from models.module import ModuleVersionRow
from models.organization import OrganizationRow
from queries.effective_config import stored_sources
from queries.module import load_catalog, load_versions
from rules.config_merge import LeafSource, merge_config
from rules.config_schema import check_layer, check_merged
from rules.config_write import changed_sources
from rules.dependency_resolution import Catalog, Planned, plan_assignment
from rules.errors import EntitlementMissing, Problem, refuse_if_any
from rules.plans import includes


@dataclass(frozen=True)
class Wanted:
    """One module that is asked for, by a caller or by a template."""

    module: str
    version: str | None = None
    config: JsonObject = field(default_factory=dict)
    cause: str = "REQUESTED"
    industry_code: str | None = None
    industry_config: JsonObject = field(default_factory=dict)
    is_required: bool = False


@dataclass(frozen=True)
class Assigning:
    """Rows to add for one organization, dependencies first; not yet numbered."""

    rows: Sequence[TenantModuleRow]
    changes: Sequence[Change]
    catalog: Catalog


async def list_assigned(tx: Transaction, organization: OrganizationRow) -> dict[str, TenantModuleRow]:
    """The organization's modules, INTERNAL ones included: what a plan starts from."""
    statement = select(TenantModuleRow).where(TenantModuleRow.organization_id == organization.organization_id)
    return {row.module_id: row for row in await tx.session.scalars(statement)}


async def prepare(
    tx: Transaction,
    organization: OrganizationRow,
    wanted: Iterable[Wanted],
    *,
    assigned: Mapping[str, TenantModuleRow],
    activate: bool,
    catalog: Catalog | None = None,
) -> Assigning:
    """Plan, check plan and configuration, and build the rows. Raises Refusal with every problem found."""
    asked = {each.module: each for each in wanted}
    catalog = await load_catalog(tx) if catalog is None else catalog
    has = {code: row.version for code, row in assigned.items()}
    plan = plan_assignment(catalog, has, {code: each.version for code, each in asked.items()})
    versions = await load_versions(tx, {(step.module, step.version) for step in plan})
    problems: list[Problem] = []
    rows: list[TenantModuleRow] = []
    for step in plan:
        version, each = versions[step.module, step.version], asked.get(step.module, Wanted(step.module))
        problems += _entitlement(organization, version)
        problems += _config_problems(version, each, activate=activate)
        rows.append(_row(tx, organization, step, each, activate=activate))
    refuse_if_any(problems)
    return Assigning(rows=rows, changes=[_change(organization, step, asked) for step in plan], catalog=catalog)


def stamp(rows: Sequence[TenantModuleRow], revisions: Sequence[int]) -> None:
    """Give each row the rev that made it, and its configuration's leaves with it."""
    for row, revision in zip(rows, revisions, strict=True):
        row.revision = row.config_revision = revision
        for source in row.config_sources.values():
            source["revision"] = revision


def assigned_facts(rows: Sequence[TenantModuleRow], catalog: Catalog) -> list[Fact]:
    return [
        assignment_fact(
            EventType.ASSIGNED,
            row,
            tier=catalog[row.module_id].tier,
            revision=row.revision,
            is_assigned=True,
        )
        for row in rows
    ]


def _row(
    tx: Transaction, organization: OrganizationRow, step: Planned, each: Wanted, *, activate: bool
) -> TenantModuleRow:
    now = datetime.now(UTC)
    return TenantModuleRow(
        organization_id=organization.organization_id,
        module_id=step.module,
        version=step.version,
        state="ACTIVE" if activate else "INSTALLED",
        is_required=each.is_required,
        is_requested=step.cause == "REQUESTED",
        industry_code=each.industry_code,
        industry_config=each.industry_config,
        configuration=each.config,
        config_sources=initial_sources(tx, each.config, now),
        config_revision=0,
        enabled_features=[],
        disabled_features=[],
        revision=0,
        assigned_at=now,
        assigned_by=tx.actor.subject,
        updated_at=now,
    )


def initial_sources(tx: Transaction, config: JsonObject, now: datetime) -> JsonObject:
    """Provenance of a layer that is written for the first time; the revision is stamped with the row's."""
    source = LeafSource(revision=0, set_by=tx.actor.subject, set_at=now.isoformat())
    return stored_sources(changed_sources({}, config, {}, source))


def _change(organization: OrganizationRow, step: Planned, asked: Mapping[str, Wanted]) -> Change:
    cause = asked[step.module].cause if step.module in asked else step.cause
    return Change(action="ASSIGN", module=step.module, cause=cause, organization_id=organization.organization_id)


def _entitlement(organization: OrganizationRow, version: ModuleVersionRow) -> list[Problem]:
    required = version.required_plan
    if required is None or includes(organization.plan, required):
        return []
    message = f"module {version.module_id} needs the plan {required}; the organization has {organization.plan}"
    return [EntitlementMissing(message=message, path=("input", "module"), required_plan=required)]


def _config_problems(version: ModuleVersionRow, each: Wanted, *, activate: bool) -> list[Problem]:
    """A layer must fit alone; the whole must be complete before the module is switched on."""
    schema = version.config_schema
    if schema is None:
        return []
    problems: list[Problem] = []
    problems += check_layer(schema, each.industry_config, "INDUSTRY")
    problems += check_layer(schema, each.config, "ORGANIZATION")
    if activate and not problems:
        problems += check_merged(schema, merge_config(version.default_config, each.industry_config, each.config))
    return [problem.at("input", "config") for problem in problems]
