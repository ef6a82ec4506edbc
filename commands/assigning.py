"""Turning a plan into rows and facts: shared by every command that gives modules to an organization."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from commands.recording import Recording, TenantTransaction
from commands.request import Change
from events.facts import Fact, assignment_fact
from events.types import EventType
from models.base import JsonObject
from models.company_module import OF_MODULE
from models.module import ModuleRow, ModuleVersionRow
from models.tenant_module import Held, TenantModule
from queries.registry import Registry
from rules.config_merge import LeafSource, leaves_of, merge_config
from rules.config_schema import check_layer, check_merged
from rules.dependency_graph import needed_first, transitive_dependencies
from rules.dependency_resolution import Catalog, Planned, assigned_releases, plan_assignment
from rules.errors import ConfigInvalid, EntitlementMissing, Problem, Refusal, refuse_if_any
from rules.json_values import JsonValue
from rules.plans import includes

# What an organization has, by module; whole rows say it as well.
Assigned = Mapping[str, Held] | Mapping[str, TenantModule]


class Tenant(NamedTuple):
    """Whom modules are given to, and what is paid for."""

    organization_id: UUID
    plan: str


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

    rows: Sequence[TenantModule]  # to add
    woken: Sequence[TenantModule]  # were only installed, and are active now because the new ones require them
    changes: Sequence[Change]
    catalog: Catalog

    @property
    def written(self) -> Sequence[TenantModule]:
        return [*self.woken, *self.rows]

    def number(self, revisions: Sequence[int]) -> None:
        """Give each written row the rev that wrote it."""
        count = len(self.woken)
        for row, revision in zip(self.woken, revisions[:count], strict=True):
            row.revision = revision
        stamp(self.rows, revisions[count:])


async def visible_module(tx: TenantTransaction, code: str) -> ModuleRow | None:
    """A module that is not public can be seen by who has it, one that is INTERNAL by administrators alone."""
    registry = await tx.known_registry()
    found = registry.modules_for(tx.actor).get(code)
    if found is None and code in tx.assigned:
        found = registry.modules.get(code)
        return None if found is None or found.tier == "INTERNAL" else found
    return found


async def prepare(
    tx: Recording,
    tenant: Tenant,
    wanted: Iterable[Wanted],
    *,
    assigned: Assigned,
    activate: bool,
    at: tuple[str, ...],
) -> Assigning:
    """Plan, check plan and configuration, and build the rows. Raises Refusal with every problem found.

    `at`: the argument that asks for the modules.
    """
    asked = {each.module: each for each in wanted}
    registry = await tx.known_registry()
    plan = _planned(registry.catalog, assigned, asked.values(), at=at)
    problems: list[Problem] = []
    rows: list[TenantModule] = []
    for step in plan:
        version = registry.versions[step.module, step.version]
        each = asked.get(step.module) or Wanted(step.module)
        problems += _entitlement(tenant, version, at=at)
        problems += _config_problems(version, each, activate=activate, at=at)
        rows.append(_row(tx, tenant, step, each, activate=activate))
    woken = await installed_requirements(tx, tenant, assigned, rows) if activate else []
    problems += activation_problems(registry, tenant, woken, at=at)
    refuse_if_any(problems)
    activate_rows(woken)
    changes = [activation(row, "DEPENDENCY_OF") for row in woken]
    changes += [_change(tenant, step, asked) for step in plan]
    return Assigning(rows=rows, woken=woken, changes=changes, catalog=registry.catalog)


async def installed_requirements(
    tx: Recording, tenant: Tenant, assigned: Assigned, rows: Iterable[TenantModule]
) -> list[TenantModule]:
    """What the rows require and the organization has, but not switched on; needed ones first."""
    installed = {code for code, row in assigned.items() if row.state == "INSTALLED"}
    if not installed:
        return []
    written = {row.module_id: row.version for row in rows}
    numbers = {code: row.version for code, row in assigned.items()} | written
    catalog = (await tx.known_registry()).catalog
    edges = {release.module: [r.module for r in release.required] for release in assigned_releases(catalog, numbers)}
    required = {code for module in written for code in transitive_dependencies(edges, module)} - written.keys()
    there = [code for code in needed_first(edges, required) if code in installed]
    loaded = await tx.load_rows(tenant.organization_id, there)
    return [loaded[code] for code in there]


def activation_problems(
    registry: Registry, tenant: Tenant, rows: Sequence[TenantModule], *, at: tuple[str, ...]
) -> list[Problem]:
    """What keeps installed modules from being switched on: the plan of today, a configuration that is not complete."""
    problems: list[Problem] = []
    for row in rows:
        version = registry.versions[row.module_id, row.version]
        problems += _entitlement(tenant, version, at=at)
        if version.config_schema is not None:
            merged = merge_config(version.default_config, row.industry_config, row.configuration)
            found = check_merged(version.config_schema, merged, version=version.content_hash)
            problems += _named(version, found, at=at)
    return problems


def activate_rows(rows: Iterable[TenantModule]) -> None:
    for row in rows:
        row.state, row.updated_at = "ACTIVE", datetime.now(UTC)


def activation(row: TenantModule, cause: str) -> Change:
    return Change(action="ACTIVATE", module=row.module_id, cause=cause, organization_id=row.organization_id)


async def company_problems(
    tx: Recording, row: TenantModule, version: ModuleVersionRow, merged: Mapping[str, JsonValue]
) -> list[ConfigInvalid]:
    """A change below the companies may break what one of them has put on top of it: say which company."""
    problems: list[ConfigInvalid] = []
    if version.config_schema is None:
        return problems
    for company_id, configuration in await tx.fetch(OF_MODULE, row.organization_id, row.module_id):
        whole = merge_config(merged, configuration)
        for found in check_merged(version.config_schema, whole, version=version.content_hash):
            message = f"with what company {company_id} sets: {found.message}"
            problems.append(replace(found, message=message, company_id=str(company_id), layer="COMPANY"))
    return problems[:100]


def stamp(rows: Sequence[TenantModule], revisions: Sequence[int]) -> None:
    """Give each row the rev that made it, and its configuration's leaves with it."""
    for row, revision in zip(rows, revisions, strict=True):
        row.revision = row.config_revision = revision
        for source in row.config_sources.values():
            source["revision"] = revision
        stamp_industry(row, revision)


def stamp_industry(row: TenantModule, revision: int) -> None:
    if row.industry_source:
        row.industry_source = {**row.industry_source, "revision": revision}


def activated_facts(rows: Sequence[TenantModule], catalog: Catalog) -> list[Fact]:
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


def assigned_facts(rows: Sequence[TenantModule], catalog: Catalog) -> list[Fact]:
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


def _row(tx: Recording, tenant: Tenant, step: Planned, each: Wanted, *, activate: bool) -> TenantModule:
    now = datetime.now(UTC)
    return TenantModule(
        organization_id=tenant.organization_id,
        module_id=step.module,
        version=step.version,
        state="ACTIVE" if activate else "INSTALLED",
        is_required=each.is_required,
        is_requested=step.cause == "REQUESTED",
        industry_code=each.industry_code,
        industry_config=each.industry_config,
        industry_source=industry_source(tx, each.industry_code, now),
        configuration=each.config,
        config_sources=_initial_sources(tx, each.config, now),
        config_revision=0,
        enabled_features=[],
        disabled_features=[],
        revision=0,
        assigned_at=now,
        assigned_by=tx.actor.subject,
        updated_at=now,
    )


def industry_source(tx: Recording, industry_code: str | None, now: datetime) -> JsonObject:
    """Provenance of the template's layer; the revision is stamped with the row's."""
    if industry_code is None:
        return {}
    source = LeafSource(revision=0, set_by=tx.actor.subject, set_at=now.isoformat(), reason=f"industry:{industry_code}")
    return asdict(source)


def _initial_sources(tx: Recording, config: JsonObject, now: datetime) -> JsonObject:
    """Provenance of a layer that is written for the first time; the revision is stamped with the row's."""
    source = asdict(LeafSource(revision=0, set_by=tx.actor.subject, set_at=now.isoformat())) if config else {}
    return {pointer: {**source} for pointer in leaves_of(config)}


def _change(tenant: Tenant, step: Planned, asked: Mapping[str, Wanted]) -> Change:
    cause = asked[step.module].cause if step.module in asked else step.cause
    return Change(action="ASSIGN", module=step.module, cause=cause, organization_id=tenant.organization_id)


def _planned(
    catalog: Catalog, assigned: Assigned, wanted: Iterable[Wanted], *, at: tuple[str, ...]
) -> Sequence[Planned]:
    has = {code: row.version for code, row in assigned.items()}
    try:
        return plan_assignment(catalog, has, {each.module: each.version for each in wanted})
    except Refusal as refusal:
        raise Refusal(*(problem if problem.path else problem.at(*at) for problem in refusal.problems)) from None


def _entitlement(tenant: Tenant, version: ModuleVersionRow, *, at: tuple[str, ...]) -> list[Problem]:
    required = version.required_plan
    if required is None or includes(tenant.plan, required):
        return []
    message = f"module {version.module_id} needs the plan {required}; the organization has {tenant.plan}"
    return [EntitlementMissing(message=message, path=at, required_plan=required)]


def _config_problems(
    version: ModuleVersionRow, each: Wanted, *, activate: bool, at: tuple[str, ...]
) -> Sequence[Problem]:
    """A layer must fit alone; the whole must be complete before the module is switched on."""
    schema = version.config_schema
    if schema is None:
        return []
    known = version.content_hash
    problems = check_layer(schema, each.industry_config, "INDUSTRY", version=known)
    problems += check_layer(schema, each.config, "ORGANIZATION", version=known)
    if activate and not problems:
        merged = merge_config(version.default_config, each.industry_config, each.config)
        problems += check_merged(schema, merged, version=known)
    if each.config_path:
        return [problem.at(*each.config_path) for problem in problems]
    return _named(version, problems, at=at)


def _named(version: ModuleVersionRow, problems: Iterable[ConfigInvalid], *, at: tuple[str, ...]) -> list[ConfigInvalid]:
    """Problems of a configuration that no argument gave: the message has to say whose it is."""
    return [replace(problem, message=f"{version.module_id}: {problem.message}", path=at) for problem in problems]
