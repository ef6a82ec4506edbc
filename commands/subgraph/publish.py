"""What a composition leads to, in one transaction: the artifact, the head, the states, the events. Or to nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, text

from commands.transaction import Scope, Transaction, Writer
from events.facts import subgraph_fact, supergraph_fact
from events.failpoints import reach
from models.base import PLATFORM_ID, JsonObject
from models.subgraph import SubgraphVersionRow
from models.supergraph import SupergraphHeadRow, SupergraphRow
from queries.supergraph import Graph, Standing, load_graph, load_standing, next_version
from rules.subgraph import SubgraphState, state_after_failure

ARTIFACTS_MAX = 100  # and the one that is served, which may be an older one
DROP_OLD = text("SELECT drop_old_supergraphs(:kept)")


@dataclass(frozen=True)
class Publication:
    """A composed graph. `inputs`: name, subgraph_id, version, url and sha256 of each subgraph in it.

    `built_on` is what it was composed from; when the graph is another by now, it is composed again.
    """

    built_on: Standing
    sdl: str
    public_sdl: str
    contracts: Mapping[str, str | None]
    composer: str
    inputs: Sequence[JsonObject]
    platform_sdl: str


@dataclass(frozen=True)
class Settled:
    """What becomes of the subgraph that was asked about. Without `changes` or `stamped_sdl` it keeps what it has."""

    subgraph: SubgraphVersionRow  # as it was when the work began
    state: SubgraphState
    findings: Sequence[JsonObject]
    changes: Sequence[JsonObject] | None = None
    stamped_sdl: str | None = None


async def publish(writer: Writer, publication: Publication, settled: Settled | None) -> bool:
    """False when the graph, or what was asked for, is not what it was composed for: nothing was written."""
    async with writer.transaction(Scope(stream=PLATFORM_ID, changes_registry=True)) as tx:
        if await load_standing(tx) != publication.built_on:
            return False
        rows: list[SubgraphVersionRow] = []
        if settled is not None:
            subject = await _unchanged_since(tx, settled.subgraph)
            if subject is None:
                return False
            rows = await _settle(tx, subject, settled)
        graph = await load_graph(tx)
        is_news = _differs(graph, publication)
        revisions = await tx.advance(PLATFORM_ID, len(rows) + is_news) if rows or is_news else []
        for row, revision in zip(rows, revisions, strict=False):
            row.revision, row.updated_at = revision, datetime.now(UTC)
            tx.record(subgraph_fact(row))
        if is_news:
            asked_by = tx.actor.subject if settled is None else settled.subgraph.asked_by
            await _write(tx, publication, revision=revisions[-1], asked_by=asked_by)
        await tx.session.flush()
        reach("composing.publishing")
    return True


async def refuse_publication(writer: Writer, settled: Settled) -> bool:
    """The graph stays as it is; what was asked of the subgraph is answered by findings. False: it was changed since."""
    async with writer.transaction(Scope(stream=PLATFORM_ID, changes_registry=True)) as tx:
        row = await _unchanged_since(tx, settled.subgraph)
        if row is None:
            return False
        (revision,) = await tx.advance(PLATFORM_ID)
        _apply(row, settled)
        row.revision, row.updated_at = revision, datetime.now(UTC)
        tx.record(subgraph_fact(row))
        await tx.session.flush()
        reach("composing.refusing")
    return True


def refused_state(row: SubgraphVersionRow) -> SubgraphState:
    """Where a subgraph goes when what was asked for could not be done."""
    if row.state == SubgraphState.RETIRING:
        return SubgraphState.ACTIVE
    return state_after_failure(was_active=row.activated_at is not None)


async def _unchanged_since(tx: Transaction, seen: SubgraphVersionRow) -> SubgraphVersionRow | None:
    statement = select(SubgraphVersionRow).where(
        SubgraphVersionRow.id == seen.id, SubgraphVersionRow.revision == seen.revision
    )
    row: SubgraphVersionRow | None = await tx.session.scalar(statement.with_for_update())
    return row


async def _settle(tx: Transaction, subject: SubgraphVersionRow, settled: Settled) -> list[SubgraphVersionRow]:
    """The rows that change: the module's former version first, for only one may be in the graph."""
    statement = select(SubgraphVersionRow).where(
        SubgraphVersionRow.module_id == subject.module_id,
        SubgraphVersionRow.id != subject.id,
        SubgraphVersionRow.state.in_((SubgraphState.ACTIVE, SubgraphState.RETIRING)),
    )
    former = list(await tx.session.scalars(statement.with_for_update()))
    for row in former:
        row.state = SubgraphState.RETIRED
    await tx.session.flush()
    _apply(subject, settled)
    if settled.state == SubgraphState.ACTIVE and subject.activated_at is None:
        subject.activated_at = datetime.now(UTC)
    return [*former, subject]


def _apply(row: SubgraphVersionRow, settled: Settled) -> None:
    row.state, row.findings = settled.state, list(settled.findings)
    row.lease_id, row.lease_until, row.attempts = None, None, 0
    if settled.changes is not None:
        row.changes = list(settled.changes)
    if settled.stamped_sdl is not None:
        row.stamped_sdl = settled.stamped_sdl
    if settled.state == SubgraphState.NEEDS_APPROVAL:
        row.approved_by, row.approval_reason = None, None  # that was said of other changes


def _differs(graph: Graph, publication: Publication) -> bool:
    """Gateways drop their clients' streams on every artifact: the same one is not published again."""
    head = graph.head
    if head is None:
        return True
    return (head.sdl, head.contracts) != (publication.sdl, dict(publication.contracts))


async def _write(tx: Transaction, publication: Publication, *, revision: int, asked_by: str) -> None:
    now = datetime.now(UTC)
    # before the head is moved: what has been served until now stays for whoever is about to read it
    await tx.session.execute(DROP_OLD, {"kept": ARTIFACTS_MAX - 1})
    artifact = SupergraphRow(
        version=await next_version(tx),
        sdl=publication.sdl,
        public_sdl=publication.public_sdl,
        sha256=hashlib.sha256(publication.sdl.encode()).digest(),
        contracts=dict(publication.contracts),
        composer=publication.composer,
        inputs=list(publication.inputs),
        platform_sdl=publication.platform_sdl,
        revision=revision,
        created_by=asked_by,
        created_at=now,
    )
    tx.session.add(artifact)
    await tx.session.flush()
    await move_head(tx, artifact, revision=revision, moved_by=asked_by)


async def move_head(tx: Transaction, artifact: SupergraphRow, *, revision: int, moved_by: str) -> None:
    """Serve another artifact, and say so."""
    head = SupergraphHeadRow(
        is_only=True, version=artifact.version, revision=revision, moved_by=moved_by, moved_at=datetime.now(UTC)
    )
    await tx.session.merge(head)
    tx.record(supergraph_fact(artifact, revision=revision, moved_by=moved_by))
