"""What people ask of a subgraph: to approve what it breaks, to put it into the graph, to take it out.

The graph itself is composed by a worker: these only say what is wanted, and are answered at once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select

from commands.checks import check_text
from commands.request import Outcome, Request
from commands.transaction import Transaction, registry_command
from events.facts import subgraph_fact
from models.base import PLATFORM_ID
from models.module import ModuleRow
from models.subgraph import SubgraphVersionRow
from queries.subgraph import load_subgraphs_by_ids, load_unsettled
from rules.errors import IllegalTransition, NotFound, Refusal, refuse_if_any
from rules.subgraph import SubgraphState, check_transition


@dataclass(frozen=True, kw_only=True)
class SubgraphRef(Request):
    id: UUID


@dataclass(frozen=True, kw_only=True)
class ApproveSubgraph(SubgraphRef):
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeactivateSubgraph(Request):
    module: str


@registry_command
async def approve_subgraph(tx: Transaction, request: ApproveSubgraph) -> Outcome:
    """Let it break what its check says that it breaks, and no more. Nothing left to approve: nothing changes."""
    row = await _existing(tx, request)
    if row.state == SubgraphState.CHECKED:
        return await _unchanged(tx, row)
    refuse_if_any(check_text(request.reason, field="reason"))
    refuse_if_any(check_transition(row.state, SubgraphState.CHECKED))
    row.approved_by, row.approval_reason = tx.actor.subject, request.reason
    return await _move(tx, row, SubgraphState.CHECKED)


@registry_command
async def activate_subgraph(tx: Transaction, request: SubgraphRef) -> Outcome:
    """Ask for it to be put into the graph, in the place of the module's other version."""
    row = await _existing(tx, request)
    if row.state in (SubgraphState.ACTIVE, SubgraphState.ACTIVATING):
        return await _unchanged(tx, row)
    refuse_if_any(check_transition(row.state, SubgraphState.ACTIVATING))
    return await _move(tx, row, SubgraphState.ACTIVATING)


@registry_command
async def deactivate_subgraph(tx: Transaction, request: DeactivateSubgraph) -> Outcome:
    """Ask for a module's types to be taken out of the graph. On its way out already: nothing changes.

    It breaks whoever asks for them, and so it is for those who approve what breaks.
    """
    if not tx.actor.may_keep_module(request.module) or not await _is_there(tx, request.module):
        raise Refusal(NotFound(message=f"no module {request.module[:100]!r}", path=("input", "module")))
    unsettled = await load_unsettled(tx, request.module)
    coming = [row for row in unsettled if row.state == SubgraphState.ACTIVATING]
    if coming:
        message = f"{request.module} {coming[0].version} is being activated; deactivate it when that has ended"
        raise Refusal(IllegalTransition(message=message, path=("input", "module")))
    if not unsettled:
        message = f"{request.module} has no subgraph in the graph"
        raise Refusal(IllegalTransition(message=message, path=("input", "module")))
    if not tx.actor.is_platform_admin:
        message = f"without {request.module} clients would break; the platform's administrators take it out"
        raise Refusal(IllegalTransition(message=message, path=("input", "module")))
    (row,) = unsettled
    await tx.check_expected(request, touched=row.revision, stream=PLATFORM_ID)
    if row.state == SubgraphState.RETIRING:
        return await _unchanged(tx, row)
    return await _move(tx, row, SubgraphState.RETIRING)


async def _existing(tx: Transaction, request: SubgraphRef) -> SubgraphVersionRow:
    """The subgraph of a module that is there; another module's is refused like an unknown one."""
    row = (await load_subgraphs_by_ids(tx, [request.id])).get(request.id)
    if row is None or not await _is_there(tx, row.module_id):
        raise Refusal(NotFound(message=f"no subgraph {request.id}", path=("input", "id")))
    await tx.check_expected(request, touched=row.revision, stream=PLATFORM_ID)
    return row


async def _is_there(tx: Transaction, module: str) -> bool:
    statement = select(ModuleRow.module_id).where(ModuleRow.module_id == module, ModuleRow.deleted_at.is_(None))
    return await tx.session.scalar(statement) is not None


async def _unchanged(tx: Transaction, row: SubgraphVersionRow) -> Outcome:
    return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows={"subgraph": str(row.id)})


async def _move(tx: Transaction, row: SubgraphVersionRow, state: SubgraphState) -> Outcome:
    (revision,) = await tx.advance(PLATFORM_ID)
    row.state, row.asked_by, row.attempts, row.lease_id, row.lease_until = state, tx.actor.subject, 0, None, None
    row.revision, row.updated_at = revision, datetime.now(UTC)
    tx.record(subgraph_fact(row))
    return Outcome(revision=revision, shows={"subgraph": str(row.id)})
