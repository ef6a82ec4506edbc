"""Deleting a module: a tombstone, refused while anybody uses or needs it unless the caller says AUTO."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, select

from commands.fanout import Fanout, FanoutKind, fan_out
from commands.module.change import ModuleRef, dependents_first, existing_module, load_rows, refuse_core
from commands.request import Change, Outcome
from commands.transaction import Transaction, registry_command
from events.facts import industry_fact, module_fact
from events.types import EventType
from models.base import PLATFORM_ID
from models.industry import IndustryModuleRow, IndustryRow
from models.module import ModuleRow
from queries.assignment import count_assignments_by_modules
from queries.industry import load_industry_modules
from queries.module import load_requirements_in_use
from queries.subgraph import load_unsettled
from rules.errors import DependencyProblem, Refusal


@registry_command
async def delete_module(tx: Transaction, request: ModuleRef) -> Outcome:
    """With AUTO it is taken from every organization, with what needs it; its dependents are switched off."""
    row = await existing_module(tx, request)
    codes = dependents_first(await load_requirements_in_use(tx), row.module_id)
    dependents = await load_rows(tx, codes)
    refuse_core([*dependents, row])
    await _refuse_in_graph(tx, row)
    doomed = [*dependents, row]  # dependents first, also inside each organization
    if request.cascade == "REFUSE":
        await _refuse_in_use(tx, row, dependents)
    causes = {each.module_id: "REQUESTED" if each is row else "DEPENDENT_OF" for each in doomed}
    industries = await _industries_with(tx, row)
    revisions = await tx.advance(PLATFORM_ID, len(doomed) + len(industries))
    changes = _tombstone(tx, doomed, revisions[: len(doomed)], target=row)
    await _take_from_templates(tx, row, industries, revisions[len(doomed) :])
    await tx.session.flush()
    taken = await fan_out(tx, Fanout(kind=FanoutKind.REMOVED, action="UNASSIGN", modules=causes))
    return Outcome(revision=revisions[-1], affected=(*taken, *changes), shows={})


async def _industries_with(tx: Transaction, row: ModuleRow) -> list[IndustryRow]:
    statement = select(IndustryRow).join(IndustryModuleRow, IndustryModuleRow.template_id == IndustryRow.id)
    statement = statement.where(IndustryModuleRow.module_id == row.module_id, IndustryRow.deleted_at.is_(None))
    return list(await tx.session.scalars(statement.order_by(IndustryRow.industry_code)))


async def _take_from_templates(
    tx: Transaction, row: ModuleRow, industries: Sequence[IndustryRow], revisions: Sequence[int]
) -> None:
    """An industry that loses a module has changed: it says so itself."""
    await tx.session.execute(delete(IndustryModuleRow).where(IndustryModuleRow.module_id == row.module_id))
    left = await load_industry_modules(tx, [industry.industry_code for industry in industries])
    for industry, revision in zip(industries, revisions, strict=True):
        industry.revision, industry.updated_at = revision, datetime.now(UTC)
        tx.record(industry_fact(EventType.INDUSTRY_UPDATED, industry, left[industry.industry_code]))


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


async def _refuse_in_graph(tx: Transaction, row: ModuleRow) -> None:
    """With AUTO as well: without it the graph may not compose, which only a worker can find out."""
    if await load_unsettled(tx, row.module_id):
        message = f"{row.module_id} has types in the graph; take them out with deactivateSubgraph first"
        raise Refusal(DependencyProblem(message=message, path=("input", "code"), chain=(row.module_id,)))


async def _refuse_in_use(tx: Transaction, row: ModuleRow, dependents: Sequence[ModuleRow]) -> None:
    users = await count_assignments_by_modules(tx, [row.module_id])
    templates = len(await _industries_with(tx, row))
    codes = tuple(each.module_id for each in dependents)
    reasons = []
    if users[row.module_id]:
        reasons.append(f"{users[row.module_id]} organizations have it")
    if templates:
        reasons.append(f"{templates} industries list it")
    if codes:
        reasons.append(f"{', '.join(codes)} need it")
    if reasons:
        message = f"{row.module_id} is in use: {' and '.join(reasons)}; use cascade AUTO to take it away everywhere"
        chain = (row.module_id, *codes)
        raise Refusal(DependencyProblem(message=message, path=("input", "code"), chain=chain))
