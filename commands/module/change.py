"""Changing what the registry says of a module, switching it on and off for everybody, and deleting it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from commands.checks import LIST_MAX, check_text, checked_name
from commands.fanout import Fanout, FanoutKind, fan_out
from commands.request import Cascade, Change, Outcome, Request
from commands.transaction import Transaction, registry_command
from events.facts import module_fact
from events.types import EventType
from models.base import PLATFORM_ID
from models.module import ModuleRow
from queries.module import load_modules_by_codes, load_requirements_in_use
from rules.dependency_graph import Edges, needed_first, transitive_dependencies, transitive_dependents
from rules.errors import CoreModuleProtected, DependencyProblem, InvalidInput, NotFound, Problem, Refusal, refuse_if_any
from rules.json_values import check_json


@dataclass(frozen=True, kw_only=True)
class UpdateModule(Request):
    code: str
    name: str | None = None
    description: str | None = None
    category: str | None = None
    tags: Sequence[str] | None = None
    metadata: Any = None
    visibility: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModuleRef(Request):
    code: str
    cascade: Cascade = "REFUSE"


@registry_command
async def update_module(tx: Transaction, request: UpdateModule) -> Outcome:
    """Change what is said of a module; what it is (its versions) never changes."""
    row = await existing_module(tx, request)
    refuse_if_any(_update_problems(request))
    (revision,) = await tx.advance(PLATFORM_ID)
    row.module_name = row.module_name if request.name is None else checked_name(request.name)
    row.category = row.category if request.category is None else checked_name(request.category, field="category")
    row.description = row.description if request.description is None else request.description
    row.tags = row.tags if request.tags is None else list(request.tags)
    row.module_metadata = row.module_metadata if request.metadata is None else request.metadata
    row.visibility = row.visibility if request.visibility is None else request.visibility
    row.revision, row.updated_at = revision, datetime.now(UTC)
    tx.record(module_fact(EventType.UPDATED, row))
    change = Change(action="UPDATE", module=row.module_id, cause="REQUESTED")
    return Outcome(revision=revision, affected=(change,), shows={"module": row.module_id})


@registry_command
async def activate_module(tx: Transaction, request: ModuleRef) -> Outcome:
    """Switch a module on for everybody; with AUTO what it requires as well."""
    row = await existing_module(tx, request)
    edges = await load_requirements_in_use(tx)
    needed = await load_rows(tx, needed_first(edges, transitive_dependencies(edges, row.module_id)))
    off = [each for each in needed if not each.is_active]
    if off and request.cascade == "REFUSE":
        raise Refusal(_dependency(row, off, "needs {others}, which is off; use cascade AUTO"))
    return await _switch(tx, [*off, row], target=row, is_active=True)


@registry_command
async def deactivate_module(tx: Transaction, request: ModuleRef) -> Outcome:
    """Switch a module off for everybody; with AUTO what requires it as well, first."""
    row = await existing_module(tx, request)
    edges = await load_requirements_in_use(tx)
    dependents = await load_rows(tx, dependents_first(edges, row.module_id))
    on = [each for each in dependents if each.is_active]
    refuse_core([*on, row])
    if on and request.cascade == "REFUSE":
        raise Refusal(_dependency(row, on, "is needed by {others}; use cascade AUTO to switch them off too"))
    return await _switch(tx, [*on, row], target=row, is_active=False)


async def _switch(tx: Transaction, rows: Sequence[ModuleRow], *, target: ModuleRow, is_active: bool) -> Outcome:
    """One event per module in the platform's stream, and one in the stream of each organization that has it."""
    shows = {"module": target.module_id}
    changed = [row for row in rows if row.is_active != is_active]
    if not changed:
        return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows=shows)
    action, kind = ("ACTIVATE", EventType.ACTIVATED) if is_active else ("DEACTIVATE", EventType.DEACTIVATED)
    follows = "DEPENDENCY_OF" if is_active else "DEPENDENT_OF"
    causes = {row.module_id: "REQUESTED" if row is target else follows for row in changed}
    revisions = await tx.advance(PLATFORM_ID, len(changed))
    now = datetime.now(UTC)
    for module, revision in zip(changed, revisions, strict=True):
        module.is_active, module.revision, module.updated_at = is_active, revision, now
        tx.record(module_fact(kind, module))
    await tx.session.flush()
    changes = [Change(action=action, module=code, cause=cause) for code, cause in causes.items()]
    changes += await fan_out(tx, Fanout(kind=FanoutKind.SWITCHED, action=action, modules=causes))
    return Outcome(revision=revisions[-1], affected=tuple(changes), shows=shows)


async def existing_module(tx: Transaction, request: UpdateModule | ModuleRef) -> ModuleRow:
    row = (await load_modules_by_codes(tx, [request.code])).get(request.code)
    if row is None:
        raise Refusal(NotFound(message=f"no module {request.code!r}", path=("input", "code")))
    await tx.check_expected(request, touched=row.revision, stream=PLATFORM_ID)
    return row


def dependents_first(edges: Edges, code: str) -> list[str]:
    """Everything that requires a module, those that nobody else requires first."""
    return [*reversed(needed_first(edges, transitive_dependents(edges, code)))]


async def load_rows(tx: Transaction, codes: Sequence[str]) -> list[ModuleRow]:
    found = await load_modules_by_codes(tx, codes)
    return [found[code] for code in codes if code in found]


def refuse_core(rows: Sequence[ModuleRow]) -> None:
    core = [row.module_id for row in rows if row.tier == "CORE"]
    if core:
        message = f"{', '.join(core)}: a CORE module is always there"
        raise Refusal(CoreModuleProtected(message=message, path=("input", "code")))


def _dependency(row: ModuleRow, others: Sequence[ModuleRow], text: str) -> DependencyProblem:
    codes = tuple(each.module_id for each in others)
    message = f"{row.module_id} {text.format(others=', '.join(codes))}"
    return DependencyProblem(message=message, path=("input", "code"), chain=(row.module_id, *codes))


def _update_problems(request: UpdateModule) -> list[Problem]:
    problems = check_text(request.description, field="description")
    tags = request.tags or ()
    if len(tags) > LIST_MAX or any(not tag or len(tag) > 64 or "\0" in tag for tag in tags):
        message = f"at most {LIST_MAX} tags of 1 to 64 characters"
        problems.append(InvalidInput(message=message, path=("input", "tags")))
    if request.metadata is not None:
        at = ("input", "metadata")
        if not isinstance(request.metadata, dict):
            problems.append(InvalidInput(message="metadata is a JSON object", path=at, pointer=""))
        problems += [InvalidInput(message=text, path=at, pointer=where) for where, text in check_json(request.metadata)]
    return problems
