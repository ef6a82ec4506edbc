"""Turning a plan into rows and facts: shared by every command that gives modules to an organization."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from sqlalchemy import select

from commands.request import Change
from commands.transaction import Transaction
from events.facts import Fact, assignment_fact
from events.types import EventType
from models.assignment import CompanyModuleRow, TenantModuleRow
from models.base import JsonObject
from models.module import ModuleVersionRow
from models.organization import OrganizationRow
from queries.effective_config import stored_sources
from queries.module import load_catalog, load_versions
from rules.config_merge import LeafSource, merge_config
from rules.config_schema import check_layer, check_merged
from rules.config_write import changed_sources
from rules.dependency_graph import needed_first, transitive_dependencies
from rules.dependency_resolution import Catalog, Planned, assigned_releases, plan_assignment
from rules.errors import ConfigInvalid, EntitlementMissing, Problem, Refusal, refuse_if_any
from rules.json_values import JsonValue
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
    config_path: tuple[str, ...] = ()  # the argument that gave the configuration


@dataclass(frozen=True)
class Assigning:
    """What one organization gets, dependencies first; not yet numbered."""

    rows: Sequence[TenantModuleRow]  # to add
    woken: Sequence[TenantModuleRow]  # were only installed, and are active now because the new ones require them
    changes: Sequence[Change]
    catalog: Catalog

    @property
    def written(self) -> Sequence[TenantModuleRow]:
        return [*self.woken, *self.rows]

    def number(self, revisions: Sequence[int]) -> None:
        """Give each written row the rev that wrote it."""
        count = len(self.woken)
        for row, revision in zip(self.woken, revisions[:count], strict=True):
            row.revision = revision
        stamp(self.rows, revisions[count:])


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
    at: tuple[str, ...],
    catalog: Catalog | None = None,
    known: dict[tuple[str, str], ModuleVersionRow] | None = None,
) -> Assigning:
    """Plan, check plan and configuration, and build the rows. Raises Refusal with every problem found.

    `at`: the argument that asks for the modules. `known`: versions by (code, number) that were read before in this
    transaction; those read now are added.
    """
    asked = {each.module: each for each in wanted}
    catalog = await load_catalog(tx) if catalog is None else catalog
    plan = _planned(catalog, assigned, asked.values(), at=at)
    versions = {} if known is None else known
    if missing := {(step.module, step.version) for step in plan} - versions.keys():
        versions.update(await load_versions(tx, missing))
    problems: list[Problem] = []
    rows: list[TenantModuleRow] = []
    for step in plan:
        version, each = versions[step.module, step.version], asked.get(step.module, Wanted(step.module))
        problems += _entitlement(organization, version, at=at)
        problems += _config_problems(version, each, activate=activate, at=at)
        rows.append(_row(tx, organization, step, each, activate=activate))
    woken = installed_requirements(catalog, assigned, rows) if activate else []
    problems += await activation_problems(tx, organization, woken, at=at)
    refuse_if_any(problems)
    activate_rows(woken)
    changes = [activation(row, "DEPENDENCY_OF") for row in woken]
    changes += [_change(organization, step, asked) for step in plan]
    return Assigning(rows=rows, woken=woken, changes=changes, catalog=catalog)


def installed_requirements(
    catalog: Catalog, assigned: Mapping[str, TenantModuleRow], rows: Iterable[TenantModuleRow]
) -> list[TenantModuleRow]:
    """What the rows require and the organization has, but not switched on; needed ones first."""
    written = {row.module_id: row for row in rows}
    numbers = {code: row.version for code, row in {**assigned, **written}.items()}
    edges = {release.module: [r.module for r in release.required] for release in assigned_releases(catalog, numbers)}
    required = {code for module in written for code in transitive_dependencies(edges, module)} - written.keys()
    there = [assigned[code] for code in needed_first(edges, required) if code in assigned]
    return [row for row in there if row.state == "INSTALLED"]


async def activation_problems(
    tx: Transaction, organization: OrganizationRow, rows: Sequence[TenantModuleRow], *, at: tuple[str, ...]
) -> list[Problem]:
    """What keeps installed modules from being switched on: the plan of today, a configuration that is not complete."""
    versions = await load_versions(tx, {(row.module_id, row.version) for row in rows}) if rows else {}
    problems: list[Problem] = []
    for row in rows:
        version = versions[row.module_id, row.version]
        problems += _entitlement(organization, version, at=at)
        merged = merge_config(version.default_config, row.industry_config, row.configuration)
        found = [] if version.config_schema is None else check_merged(version.config_schema, merged)
        problems += _named(version, found, at=at)
    return problems


def activate_rows(rows: Iterable[TenantModuleRow]) -> None:
    for row in rows:
        row.state, row.updated_at = "ACTIVE", datetime.now(UTC)


def activation(row: TenantModuleRow, cause: str) -> Change:
    return Change(action="ACTIVATE", module=row.module_id, cause=cause, organization_id=row.organization_id)


async def company_problems(
    tx: Transaction, row: TenantModuleRow, schema: dict[str, JsonValue], merged: Mapping[str, JsonValue]
) -> list[ConfigInvalid]:
    """A change below the companies may break what one of them has put on top of it: say which company."""
    statement = select(CompanyModuleRow).where(
        CompanyModuleRow.organization_id == row.organization_id,
        CompanyModuleRow.module_id == row.module_id,
    )
    problems: list[ConfigInvalid] = []
    for company in await tx.session.scalars(statement):
        for found in check_merged(schema, merge_config(merged, company.configuration)):
            message = f"with what company {company.company_id} sets: {found.message}"
            problems.append(replace(found, message=message, company_id=str(company.company_id), layer="COMPANY"))
    return problems[:100]


def stamp(rows: Sequence[TenantModuleRow], revisions: Sequence[int]) -> None:
    """Give each row the rev that made it, and its configuration's leaves with it."""
    for row, revision in zip(rows, revisions, strict=True):
        row.revision = row.config_revision = revision
        for source in row.config_sources.values():
            source["revision"] = revision
        stamp_industry(row, revision)


def stamp_industry(row: TenantModuleRow, revision: int) -> None:
    if row.industry_source:
        row.industry_source = {**row.industry_source, "revision": revision}


def activated_facts(rows: Sequence[TenantModuleRow], catalog: Catalog) -> list[Fact]:
    return [
        assignment_fact(
            EventType.STATE_CHANGED,
            row,
            tier=catalog[row.module_id].tier,
            revision=row.revision,
            is_assigned=True,
        )
        for row in rows
    ]


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
        industry_source=industry_source(tx, each.industry_code, now),
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


def industry_source(tx: Transaction, industry_code: str | None, now: datetime) -> JsonObject:
    """Provenance of the template's layer; the revision is stamped with the row's."""
    if industry_code is None:
        return {}
    source = LeafSource(revision=0, set_by=tx.actor.subject, set_at=now.isoformat(), reason=f"industry:{industry_code}")
    return asdict(source)


def initial_sources(tx: Transaction, config: JsonObject, now: datetime) -> JsonObject:
    """Provenance of a layer that is written for the first time; the revision is stamped with the row's."""
    source = LeafSource(revision=0, set_by=tx.actor.subject, set_at=now.isoformat())
    return stored_sources(changed_sources({}, config, {}, source))


def _change(organization: OrganizationRow, step: Planned, asked: Mapping[str, Wanted]) -> Change:
    cause = asked[step.module].cause if step.module in asked else step.cause
    return Change(action="ASSIGN", module=step.module, cause=cause, organization_id=organization.organization_id)


def _planned(
    catalog: Catalog, assigned: Mapping[str, TenantModuleRow], wanted: Iterable[Wanted], *, at: tuple[str, ...]
) -> Sequence[Planned]:
    has = {code: row.version for code, row in assigned.items()}
    try:
        return plan_assignment(catalog, has, {each.module: each.version for each in wanted})
    except Refusal as refusal:
        raise Refusal(*(problem if problem.path else problem.at(*at) for problem in refusal.problems)) from None


def _entitlement(organization: OrganizationRow, version: ModuleVersionRow, *, at: tuple[str, ...]) -> list[Problem]:
    required = version.required_plan
    if required is None or includes(organization.plan, required):
        return []
    message = f"module {version.module_id} needs the plan {required}; the organization has {organization.plan}"
    return [EntitlementMissing(message=message, path=at, required_plan=required)]


def _config_problems(
    version: ModuleVersionRow, each: Wanted, *, activate: bool, at: tuple[str, ...]
) -> Sequence[Problem]:
    """A layer must fit alone; the whole must be complete before the module is switched on."""
    schema = version.config_schema
    if schema is None:
        return []
    problems = check_layer(schema, each.industry_config, "INDUSTRY")
    problems += check_layer(schema, each.config, "ORGANIZATION")
    if activate and not problems:
        problems += check_merged(schema, merge_config(version.default_config, each.industry_config, each.config))
    if each.config_path:
        return [problem.at(*each.config_path) for problem in problems]
    return _named(version, problems, at=at)


def _named(version: ModuleVersionRow, problems: Iterable[ConfigInvalid], *, at: tuple[str, ...]) -> list[ConfigInvalid]:
    """Problems of a configuration that no argument gave: the message has to say whose it is."""
    return [replace(problem, message=f"{version.module_id}: {problem.message}", path=at) for problem in problems]
