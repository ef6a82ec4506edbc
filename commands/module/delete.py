"""Deleting a module: a tombstone, refused while anybody uses or needs it unless the caller says AUTO."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import delete, select

from commands.module.change import (
    AFFECTED_MAX,
    ModuleRef,
    dependents_first,
    existing_module,
    load_rows,
    locked_assignments,
    refuse_core,
)
from commands.request import Change, Outcome
from commands.transaction import Transaction, registry_command
from events.facts import assignment_fact, module_fact
from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import PLATFORM_ID
from models.industry import IndustryModuleRow
from models.module import ModuleRow
from queries.module import load_requirements_in_use
from rules.errors import DependencyProblem, Refusal


@registry_command
async def delete_module(tx: Transaction, request: ModuleRef) -> Outcome:
    """With AUTO it is taken from every organization, with what needs it; its dependents are switched off."""
    row = await existing_module(tx, request)
    codes = dependents_first(await load_requirements_in_use(tx), row.module_id)
    dependents = await load_rows(tx, codes)
    refuse_core([*dependents, row])
    doomed = [*dependents, row]  # dependents first, also inside each organization
    order = {each.module_id: index for index, each in enumerate(doomed)}
    assignments = await locked_assignments(tx, list(order))
    if request.cascade == "REFUSE":
        in_templates = select(IndustryModuleRow.template_id).where(IndustryModuleRow.module_id == row.module_id)
        templates = len((await tx.session.scalars(in_templates)).all())
        _refuse_in_use(row, dependents, assignments, templates=templates)
    assignments.sort(key=lambda each: (each.organization_id, order[each.module_id]))
    counts: dict[UUID, int] = {PLATFORM_ID: len(doomed)}
    for assignment in assignments:
        counts[assignment.organization_id] = counts.get(assignment.organization_id, 0) + 1
    revisions = await tx.advance_many(counts)
    changes = _unassign(tx, assignments, revisions, {each.module_id: each for each in doomed}, target=row)
    for assignment in assignments:
        await tx.session.delete(assignment)
    await tx.session.execute(delete(IndustryModuleRow).where(IndustryModuleRow.module_id == row.module_id))
    changes += _tombstone(tx, doomed, revisions[PLATFORM_ID], target=row)
    revision = revisions[PLATFORM_ID][-1]
    return Outcome(revision=revision, affected=tuple(changes[-AFFECTED_MAX:]), shows={})


def _unassign(
    tx: Transaction,
    assignments: Sequence[TenantModuleRow],
    revisions: dict[UUID, list[int]],
    modules: dict[str, ModuleRow],
    *,
    target: ModuleRow,
) -> list[Change]:
    taken = {organization_id: iter(numbers) for organization_id, numbers in revisions.items()}
    changes: list[Change] = []
    for row in assignments:
        fact = assignment_fact(
            EventType.UNASSIGNED,
            row,
            tier=modules[row.module_id].tier,
            revision=next(taken[row.organization_id]),
            is_assigned=False,
        )
        tx.record(fact)
        cause = "REQUESTED" if row.module_id == target.module_id else "DEPENDENT_OF"
        changes.append(
            Change(action="UNASSIGN", module=row.module_id, cause=cause, organization_id=row.organization_id)
        )
    return changes


def _tombstone(
    tx: Transaction, doomed: Sequence[ModuleRow], revisions: Sequence[int], *, target: ModuleRow
) -> list[Change]:
    changes: list[Change] = []
    now = datetime.now(UTC)
    for row, revision in zip(doomed, revisions, strict=True):
        row.is_active, row.revision, row.updated_at = False, revision, now
        if row is target:
            row.deleted_at = now
            tx.record(module_fact(EventType.DELETED, row))
            changes.append(Change(action="DELETE", module=row.module_id, cause="REQUESTED"))
        else:
            tx.record(module_fact(EventType.DEACTIVATED, row))
            changes.append(Change(action="DEACTIVATE", module=row.module_id, cause="DEPENDENT_OF"))
    return changes


def _refuse_in_use(
    row: ModuleRow,
    dependents: Sequence[ModuleRow],
    assignments: Sequence[TenantModuleRow],
    *,
    templates: int,
) -> None:
    users = len({each.organization_id for each in assignments if each.module_id == row.module_id})
    codes = tuple(each.module_id for each in dependents)
    reasons = []
    if users:
        reasons.append(f"{users} organizations have it")
    if templates:
        reasons.append(f"{templates} industries list it")
    if codes:
        reasons.append(f"{', '.join(codes)} need it")
    if reasons:
        message = f"{row.module_id} is in use: {' and '.join(reasons)}; use cascade AUTO to take it away everywhere"
        chain = (row.module_id, *codes)
        raise Refusal(DependencyProblem(message=message, path=("input", "code"), chain=chain))
