"""Giving modules to an organization and taking them away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from commands.assigning import (
    Tenant,
    Wanted,
    activate_rows,
    activated_facts,
    activation,
    activation_problems,
    assigned_facts,
    installed_requirements,
    prepare,
    visible_module,
)
from commands.recording import TenantTransaction
from commands.request import Cascade, Change, Outcome, TenantRequest
from commands.templating import apply_template
from commands.transaction import Transaction, tenant_command, tenant_session_command
from events.facts import assignment_fact
from events.types import EventType
from models.base import JsonObject
from models.tenant_module import DELETE, TenantModule
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
async def assign_module(tx: TenantTransaction, request: AssignModule) -> Outcome:
    """Give a module, and what it requires, to an organization. Given already: a success that changes nothing."""
    _check_config(request.config)
    module = await visible_module(tx, request.module)
    if module is None:
        raise Refusal(no_module(request.module))
    known = await tx.find_row(request.module)
    touched = tx.revision if known is None else known.revision
    await tx.check_expected(request, touched=touched, stream=tx.organization_id)
    if not module.is_active:
        message = f"module {request.module!r} is switched off for the whole platform"
        raise Refusal(IllegalTransition(message=message, path=("input", "module")))
    if known is not None:
        _refuse_update(request, known)
        return await _assign_again(tx, known, activate=request.activate)
    config_path = ("input", "config")
    wanted = Wanted(request.module, request.version, request.config or {}, config_path=config_path)
    assigning = await prepare(tx, _tenant(tx), [wanted], assigned=tx.assigned, activate=request.activate, at=MODULE)
    revisions = await tx.advance(tx.organization_id, len(assigning.written))
    assigning.number(revisions)
    tx.save(*assigning.written)
    tx.record(*activated_facts(assigning.woken, assigning.catalog))
    tx.record(*assigned_facts(assigning.rows, assigning.catalog))
    return _outcome(tx, revisions[-1], assigning.written, assigning.changes)


def _tenant(tx: TenantTransaction) -> Tenant:
    return Tenant(tx.organization_id, tx.plan)


def _refuse_update(request: AssignModule, row: TenantModule) -> None:
    if request.version not in (None, row.version):
        message = f"version {row.version} is assigned; another version is an update, not an assignment"
        raise Refusal(AlreadyExists(message=message, path=("input", "version")))
    if request.config is not None and canonical_json(request.config) != canonical_json(row.configuration):
        message = "the module is assigned already; change its configuration with setOrganizationConfig"
        raise Refusal(AlreadyExists(message=message, path=("input", "config")))


async def _assign_again(tx: TenantTransaction, row: TenantModule, *, activate: bool) -> Outcome:
    """Only what a repeated assignment may change: asked for by name now, or switched on now with what it requires."""
    activates = activate and row.state == "INSTALLED"
    if row.is_requested and not activates:
        return _outcome(tx, await tx.current_revision(row.organization_id), [row], [])
    registry, rows = await tx.known_registry(), [row]
    if activates:
        rows = [*await installed_requirements(tx, _tenant(tx), tx.assigned, [row]), row]
        refuse_if_any(activation_problems(registry, _tenant(tx), rows, at=MODULE))
        activate_rows(rows)
    revisions = await tx.advance(row.organization_id, len(rows))
    for each, revision in zip(rows, revisions, strict=True):
        each.revision, each.updated_at = revision, datetime.now(UTC)
    row.is_requested = True
    tx.save(*rows)
    tx.record(*activated_facts(rows, registry.catalog))
    change = Change(action="UPDATE", module=row.module_id, cause="REQUESTED", organization_id=row.organization_id)
    if activates:
        change = activation(row, "REQUESTED")
    changes = [*(activation(each, "DEPENDENCY_OF") for each in rows[:-1]), change]
    return _outcome(tx, revisions[-1], rows, changes)


@tenant_command
async def unassign_module(tx: TenantTransaction, request: UnassignModule) -> Outcome:
    """Take a module away, after everything of the organization's that requires it."""
    row = await tx.find_row(request.module)
    if row is None or await visible_module(tx, request.module) is None:
        raise Refusal(no_module(request.module))
    await tx.check_expected(request, touched=row.revision, stream=tx.organization_id)
    catalog = (await tx.known_registry()).catalog
    codes = plan_unassignment(catalog, {code: each.version for code, each in tx.assigned.items()}, request.module)
    loaded = await tx.load_rows(tx.organization_id, codes)
    rows = [loaded[code] for code in codes]
    refuse_unassignment(catalog, rows, request.cascade)
    revisions = await tx.advance(tx.organization_id, len(rows))
    changes = _removed(tx, rows, revisions, catalog, target=request.module)
    await tx.fetch(DELETE, tx.organization_id, list(codes))
    return _outcome(tx, revisions[-1], [], changes)


def refuse_unassignment(catalog: Catalog, rows: Sequence[TenantModule], cascade: Cascade) -> None:
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


def _removed(
    tx: TenantTransaction, rows: Sequence[TenantModule], revisions: Sequence[int], catalog: Catalog, *, target: str
) -> list[Change]:
    changes: list[Change] = []
    for row, revision in zip(rows, revisions, strict=True):
        tier = catalog[row.module_id].tier
        tx.record(assignment_fact(EventType.UNASSIGNED, row, tier=tier, revision=revision, is_assigned=False))
        cause = "REQUESTED" if row.module_id == target else "DEPENDENT_OF"
        changes.append(
            Change(action="UNASSIGN", module=row.module_id, cause=cause, organization_id=row.organization_id)
        )
    return changes


@tenant_session_command
async def apply_industry_template(tx: Transaction, request: ApplyIndustryTemplate) -> Outcome:
    """Give an organization its industry's modules: all or none. What a tenant has edited stays as it is."""
    organization = await tx.lock_organization(request.organization_id)
    assigned = await tx.load_all_rows(organization.organization_id)
    applied = await apply_template(tx, organization, request.industry_code, assigned=assigned)
    if not applied.is_change:
        revision = await tx.current_revision(organization.organization_id)
        return _outcome(request, revision, applied.rows, [])
    (revision,) = await tx.advance(organization.organization_id)
    tx.record(applied.fact(revision))
    tx.save(*applied.written)
    return _outcome(request, revision, applied.rows, applied.changes)


def _check_config(config: object) -> None:
    if config is None:
        return
    if not isinstance(config, dict):
        raise Refusal(InvalidInput(message="a configuration is a JSON object", path=("input", "config"), pointer=""))
    found = check_json(config)
    if found:
        problems = [InvalidInput(message=text, path=("input", "config"), pointer=at) for at, text in found]
        raise Refusal(*problems)


def _outcome(
    of: TenantTransaction | TenantRequest, revision: int, rows: Sequence[TenantModule], changes: Sequence[Change]
) -> Outcome:
    return Outcome(
        revision=revision,
        affected=tuple(changes),
        shows={"organization_id": str(of.organization_id), "modules": [row.module_id for row in rows]},
        preview=list(rows),
    )
