"""Giving modules to an organization and taking them away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from commands.assigning import (
    Wanted,
    activate_rows,
    activated_facts,
    activation,
    activation_problems,
    assigned_facts,
    installed_requirements,
    list_assigned,
    prepare,
)
from commands.request import Cascade, Change, Outcome, TenantRequest
from commands.templating import apply_template
from commands.transaction import Transaction, tenant_command
from events.facts import assignment_fact
from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import JsonObject
from models.organization import OrganizationRow
from queries.module import load_catalog, load_modules_by_codes
from rules.dependency_resolution import Catalog, plan_unassignment
from rules.errors import (
    AlreadyExists,
    CoreModuleProtected,
    DependencyProblem,
    IllegalTransition,
    InvalidInput,
    NotFound,
    Refusal,
    refuse_if_any,
)
from rules.json_values import canonical_json, check_json

MODULE = ("input", "module")


@dataclass(frozen=True, kw_only=True)
class AssignModule(TenantRequest):
    module: str
    version: str | None = None
    config: JsonObject | None = None
    activate: bool = True


@dataclass(frozen=True, kw_only=True)
class UnassignModule(TenantRequest):
    module: str
    cascade: Cascade = "AUTO"


@dataclass(frozen=True, kw_only=True)
class ApplyIndustryTemplate(TenantRequest):
    industry_code: str


def no_module(code: str, *path: str) -> NotFound:
    """The same words for an unknown module and for one that the caller may not see."""
    return NotFound(message=f"no module {code!r}", path=path or ("input", "module"))


@tenant_command
async def assign_module(tx: Transaction, request: AssignModule) -> Outcome:
    """Give a module, and what it requires, to an organization. Given already: a success that changes nothing."""
    _check_config(request.config)
    organization = await tx.lock_organization(request.organization_id)
    module = (await load_modules_by_codes(tx, [request.module])).get(request.module)
    if module is None:
        raise Refusal(no_module(request.module))
    assigned = await list_assigned(tx, organization)
    known = assigned.get(request.module)
    touched = organization.revision if known is None else known.revision
    await tx.check_expected(request, touched=touched, stream=organization.organization_id)
    if not module.is_active:
        message = f"module {request.module!r} is switched off for the whole platform"
        raise Refusal(IllegalTransition(message=message, path=("input", "module")))
    if known is not None:
        _refuse_update(request, known)
        return await _assign_again(tx, organization, known, assigned=assigned, activate=request.activate)
    config_path = ("input", "config")
    wanted = Wanted(request.module, request.version, request.config or {}, config_path=config_path)
    assigning = await prepare(tx, organization, [wanted], assigned=assigned, activate=request.activate, at=MODULE)
    revisions = await tx.advance(organization.organization_id, len(assigning.written))
    assigning.number(revisions)
    tx.session.add_all(assigning.rows)
    tx.record(*activated_facts(assigning.woken, assigning.catalog))
    tx.record(*assigned_facts(assigning.rows, assigning.catalog))
    return _outcome(organization, revisions[-1], assigning.written, assigning.changes)


def _refuse_update(request: AssignModule, row: TenantModuleRow) -> None:
    if request.version not in (None, row.version):
        message = f"version {row.version} is assigned; another version is an update, not an assignment"
        raise Refusal(AlreadyExists(message=message, path=("input", "version")))
    if request.config is not None and canonical_json(request.config) != canonical_json(row.configuration):
        message = "the module is assigned already; change its configuration with setOrganizationConfig"
        raise Refusal(AlreadyExists(message=message, path=("input", "config")))


async def _assign_again(
    tx: Transaction,
    organization: OrganizationRow,
    row: TenantModuleRow,
    *,
    assigned: Mapping[str, TenantModuleRow],
    activate: bool,
) -> Outcome:
    """Only what a repeated assignment may change: asked for by name now, or switched on now with what it requires."""
    activates = activate and row.state == "INSTALLED"
    if row.is_requested and not activates:
        return _outcome(organization, await tx.current_revision(row.organization_id), [row], [])
    catalog = await load_catalog(tx)
    rows = [*installed_requirements(catalog, assigned, [row]), row] if activates else [row]
    if activates:
        refuse_if_any(await activation_problems(tx, organization, rows, at=MODULE))
        activate_rows(rows)
    revisions = await tx.advance(row.organization_id, len(rows))
    for each, revision in zip(rows, revisions, strict=True):
        each.revision, each.updated_at = revision, datetime.now(UTC)
    row.is_requested = True
    tx.record(*activated_facts(rows, catalog))
    change = Change(action="UPDATE", module=row.module_id, cause="REQUESTED", organization_id=row.organization_id)
    if activates:
        change = activation(row, "REQUESTED")
    changes = [*(activation(each, "DEPENDENCY_OF") for each in rows[:-1]), change]
    return _outcome(organization, revisions[-1], rows, changes)


@tenant_command
async def unassign_module(tx: Transaction, request: UnassignModule) -> Outcome:
    """Take a module away, after everything of the organization's that requires it."""
    organization = await tx.lock_organization(request.organization_id)
    visible = await load_modules_by_codes(tx, [request.module])
    assigned = await list_assigned(tx, organization)
    row = assigned.get(request.module)
    if row is None or request.module not in visible:
        raise Refusal(no_module(request.module))
    await tx.check_expected(request, touched=row.revision, stream=organization.organization_id)
    catalog = await load_catalog(tx)
    codes = plan_unassignment(catalog, {code: each.version for code, each in assigned.items()}, request.module)
    refuse_unassignment(catalog, [assigned[code] for code in codes], request.cascade)
    rows = [assigned[code] for code in codes]
    revisions = await tx.advance(organization.organization_id, len(rows))
    changes = await remove(tx, rows, revisions, catalog, target=request.module)
    return _outcome(organization, revisions[-1], [], changes)


def refuse_unassignment(catalog: Catalog, rows: Sequence[TenantModuleRow], cascade: Cascade) -> None:
    """The last row is the one asked for, those before it are its dependents."""
    core = [row.module_id for row in rows if catalog[row.module_id].tier == "CORE"]
    if core:
        message = f"{', '.join(core)}: a CORE module is always there and can't be taken away"
        raise Refusal(CoreModuleProtected(message=message, path=("input", "module")))
    if cascade == "AUTO":
        return
    target, dependents = rows[-1], [row.module_id for row in rows[:-1]]
    if dependents:
        message = f"{', '.join(dependents)} need {target.module_id}; take them away first, or use cascade AUTO"
        chain = (target.module_id, *dependents)
        raise Refusal(DependencyProblem(message=message, path=("input", "module"), chain=chain))
    if target.is_required:
        message = f"{target.module_id} is required by the industry {target.industry_code}; use cascade AUTO"
        raise Refusal(DependencyProblem(message=message, path=("input", "module"), chain=(target.module_id,)))


async def remove(
    tx: Transaction,
    rows: Sequence[TenantModuleRow],
    revisions: Sequence[int],
    catalog: Catalog,
    *,
    target: str,
) -> list[Change]:
    changes: list[Change] = []
    for row, revision in zip(rows, revisions, strict=True):
        await tx.session.delete(row)
        tier = catalog[row.module_id].tier
        tx.record(assignment_fact(EventType.UNASSIGNED, row, tier=tier, revision=revision, is_assigned=False))
        cause = "REQUESTED" if row.module_id == target else "DEPENDENT_OF"
        changes.append(
            Change(action="UNASSIGN", module=row.module_id, cause=cause, organization_id=row.organization_id)
        )
    return changes


@tenant_command
async def apply_industry_template(tx: Transaction, request: ApplyIndustryTemplate) -> Outcome:
    """Give an organization its industry's modules: all or none. What a tenant has edited stays as it is."""
    organization = await tx.lock_organization(request.organization_id)
    applied = await apply_template(tx, organization, request.industry_code)
    if not applied.is_change:
        revision = await tx.current_revision(organization.organization_id)
        return _outcome(organization, revision, applied.rows, [])
    (revision,) = await tx.advance(organization.organization_id)
    tx.record(applied.fact(revision))
    return _outcome(organization, revision, applied.rows, applied.changes)


def _check_config(config: object) -> None:
    if config is None:
        return
    if not isinstance(config, dict):
        raise Refusal(InvalidInput(message="a configuration is a JSON object", path=("input", "config"), pointer=""))
    found = check_json(config)
    if found:
        problems = [InvalidInput(message=text, path=("input", "config"), pointer=at) for at, text in found]
        raise Refusal(*problems)


def _shows(organization_id: object, rows: Sequence[TenantModuleRow]) -> dict[str, object]:
    return {"organization_id": str(organization_id), "modules": [row.module_id for row in rows]}


def _outcome(
    organization: OrganizationRow,
    revision: int,
    rows: Sequence[TenantModuleRow],
    changes: Sequence[Change],
) -> Outcome:
    return Outcome(
        revision=revision,
        affected=tuple(changes),
        shows=_shows(organization.organization_id, rows),
        preview=list(rows),
    )
