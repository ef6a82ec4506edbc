"""Serving an earlier graph again: the pointer is moved, and the states with it. Nothing is composed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select

from commands.request import Outcome, Request
from commands.subgraph.publish import move_head
from commands.transaction import Transaction, registry_command
from events.facts import subgraph_fact
from models.base import PLATFORM_ID
from models.module import ModuleRow
from models.subgraph import SubgraphVersionRow
from models.supergraph import SupergraphRow
from queries.reader import among
from queries.subgraph import load_in_graph, load_subgraphs_by_ids
from queries.supergraph import find_head, load_supergraphs
from rules.errors import IllegalTransition, NotFound, Refusal
from rules.subgraph import SubgraphState


@dataclass(frozen=True, kw_only=True)
class RollbackSupergraph(Request):
    version: int


@registry_command
async def rollback_supergraph(tx: Transaction, request: RollbackSupergraph) -> Outcome:
    """Serve this artifact; the versions of modules that it was made of become the active ones."""
    artifact = (await load_supergraphs(tx, [request.version])).get(request.version)
    if artifact is None:
        raise Refusal(NotFound(message=f"no supergraph {request.version}", path=("input", "version")))
    shows = {"supergraph": artifact.version}
    ids = {UUID(each["subgraph_id"]) for each in artifact.inputs if each["subgraph_id"] is not None}
    current = await load_in_graph(tx)
    is_head = await find_head(tx) == artifact.version
    if is_head and {row.id for row in current} == ids:
        return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows=shows)
    wanted = list((await load_subgraphs_by_ids(tx, ids)).values())
    await _refuse_deleted(tx, artifact, wanted)
    leaving = [row for row in current if row.id not in ids]
    coming = [row for row in wanted if row.state != SubgraphState.ACTIVE]
    revisions = await tx.advance(PLATFORM_ID, len(leaving) + len(coming) + (not is_head))
    changes = [(row, SubgraphState.RETIRED) for row in leaving] + [(row, SubgraphState.ACTIVE) for row in coming]
    for (row, state), revision in zip(changes, revisions, strict=False):
        _move(row, state, revision=revision, asked_by=tx.actor.subject)
        await tx.session.flush()  # one after the other: only one version of a module may be in the graph
        tx.record(subgraph_fact(row))
    if not is_head:
        await move_head(tx, artifact, revision=revisions[-1], moved_by=tx.actor.subject)
    return Outcome(revision=revisions[-1], shows=shows)


def _move(row: SubgraphVersionRow, state: SubgraphState, *, revision: int, asked_by: str) -> None:
    row.state, row.asked_by, row.revision, row.updated_at = state, asked_by, revision, datetime.now(UTC)
    row.lease_id, row.lease_until, row.attempts = None, None, 0


async def _refuse_deleted(tx: Transaction, artifact: SupergraphRow, wanted: Sequence[SubgraphVersionRow]) -> None:
    codes = [row.module_id for row in wanted]
    deleted = select(ModuleRow.module_id).where(among(ModuleRow.module_id, codes), ModuleRow.deleted_at.is_not(None))
    gone = sorted(await tx.session.scalars(deleted))
    if gone:
        message = f"supergraph {artifact.version} has types of {', '.join(gone)}, which has been deleted"
        raise Refusal(IllegalTransition(message=message, path=("input", "version")))
