"""Operations in chunks, which any number of workers share: cutting, carrying out, and what comes of a chunk that fails.

A chunk is one transaction: its rows, its events, its status and the operation's counters. What makes it fail may be one
of its organizations, so a chunk that keeps failing is halved until that one is alone, and then given up as an error.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, Select, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import defer

from commands.operation.claim import finish
from commands.operation.lease import Chunk
from commands.transaction import Scope, Transaction, Writer
from events.failpoints import reach
from models.base import PLATFORM_ID, JsonObject
from models.operation import OperationChunkRow, OperationRow
from rules.errors import Locked, Problem

ERRORS_MAX = 1_000
# A chunk locks its organizations until it commits, and a tenant's own mutation waits for that, 2 s at most.
# Larger ones save little: bench/bulk.py. A request may say another `chunk_size`.
CHUNK_SIZE = 500
WHOLE_FAILURES_MAX, SINGLE_FAILURES_MAX = 2, 5

# A chunk that waits for one busy organization holds up those it has locked: let it rather fail soon and be tried again.
IMPATIENT = text("SET LOCAL lock_timeout = '500ms'")
PATIENT = text("SET LOCAL lock_timeout = '2s'")
# A lease that never runs out: no worker claims the operation again, one that knows no chunks included.
FOR_EVER = text("SELECT cast('infinity' AS timestamptz)")
DONE = text(
    "UPDATE operation_chunks SET status = 'DONE', lease_id = NULL, lease_until = NULL, failed = :failed,"
    "  finished_at = now() WHERE lease_id = :lease_id AND status = 'RUNNING'"
)
HALVE = text(
    "WITH kept AS (UPDATE operation_chunks SET members = :first, attempts = :attempts, status = 'PENDING',"
    "   lease_id = NULL, lease_until = NULL WHERE lease_id = :lease_id AND status = 'RUNNING'"
    "   RETURNING organization_id, operation_id)"
    " INSERT INTO operation_chunks(organization_id, operation_id, number, members, attempts)"
    " SELECT organization_id, operation_id, (SELECT max(c.number) + 1 FROM operation_chunks c"
    "   WHERE (c.organization_id, c.operation_id) = (kept.organization_id, kept.operation_id)), :second, :attempts"
    " FROM kept"
)

Refused = Mapping[UUID, Sequence[Problem]]
"""Those organizations of a chunk for which it was not done, and why."""


@dataclass(frozen=True)
class Chunked:
    """A kind of operation: whom it is for, and what is done for some of them at a time."""

    members: Callable[[OperationRow], Select[UUID]]
    work: Callable[[Transaction, JsonObject, Sequence[UUID]], Awaitable[Refused]]


class Dropped(Exception):
    """A chunk's work must not count: its lease was lost, or its operation is over."""


async def cut(writer: Writer, operation_id: UUID, kind: Chunked) -> None:
    """Cut a claimed operation into chunks, in one statement; `total` is exact from here on."""
    async with writer.transaction(Scope(PLATFORM_ID)) as tx:
        operation = await tx.session.get(OperationRow, (PLATFORM_ID, operation_id), with_for_update=True)
        lease = await tx.session.scalar(FOR_EVER)
        if operation is None or operation.status != "RUNNING" or operation.lease_until == lease:
            return
        sizes = await tx.session.scalars(_cutting(operation, kind))
        operation.total = operation.done + sum(sizes)
        operation.lease_until = lease
        if operation.done == operation.total:
            finish(operation)


def _cutting(operation: OperationRow, kind: Chunked) -> Any:
    meant = kind.members(operation).subquery()
    place = func.row_number().over(order_by=meant.c.organization_id) - 1
    numbered = select(
        meant.c.organization_id, (place // operation.request.get("chunk_size", CHUNK_SIZE)).label("number")
    )
    if operation.position is not None:  # as far as a worker has come that knew no chunks
        numbered = numbered.where(meant.c.organization_id > operation.position)
    each = numbered.subquery()
    ids = func.array_agg(aggregate_order_by(each.c.organization_id, each.c.organization_id))
    rows = select(literal(PLATFORM_ID), literal(operation.id), each.c.number, ids).group_by(each.c.number)
    into = insert(OperationChunkRow).from_select(["organization_id", "operation_id", "number", "members"], rows)
    return into.returning(func.cardinality(OperationChunkRow.members))


async def carry_out(writer: Writer, chunk: Chunk, kind: Chunked) -> None:
    """The chunk in one transaction. Raises Dropped, or whatever went wrong: then nothing of it has happened."""
    async with writer.transaction(Scope(PLATFORM_ID)) as tx:
        await tx.session.execute(IMPATIENT)
        refused = await kind.work(tx, chunk.request, chunk.members)
        await tx.session.flush()
        await tx.session.execute(PATIENT)
        reach("worker.in_chunk")
        await _complete(tx, chunk, refused)


def is_hopeless(chunk: Chunk) -> bool:
    """Whether to try it as it is once more, or to narrow it down."""
    failures = chunk.attempts - 1
    return failures >= (SINGLE_FAILURES_MAX if len(chunk.members) == 1 else WHOLE_FAILURES_MAX)


async def narrow_down(writer: Writer, chunk: Chunk) -> None:
    """Halve a chunk that keeps failing; give a single organization up as an error."""
    async with writer.transaction(Scope(PLATFORM_ID)) as tx:
        if len(chunk.members) == 1:
            message = f"given up after {chunk.attempts - 1} attempts, the worker's log says why; ask for it again"
            problem = Locked(message=message, path=("input", "organizationIds"))
            await _complete(tx, chunk, {chunk.members[0]: [problem]})
            return
        await _lock(tx, chunk)
        middle = len(chunk.members) // 2
        first, second = list(chunk.members[:middle]), list(chunk.members[middle:])
        # one of them is innocent: both have one failure less than what would halve them at once
        parameters = {"first": first, "second": second, "attempts": WHOLE_FAILURES_MAX - 1, "lease_id": chunk.lease_id}
        await tx.session.execute(HALVE, parameters)


async def _complete(tx: Transaction, chunk: Chunk, refused: Refused) -> None:
    operation = await _lock(tx, chunk)
    parameters = {"lease_id": chunk.lease_id, "failed": len(refused)}
    marked = cast("CursorResult[Any]", await tx.session.execute(DONE, parameters))
    if marked.rowcount != 1:
        raise Dropped("its lease was lost")
    operation.done += len(chunk.members)
    operation.failed += len(refused)
    if refused:
        errors = [_error(problem, each) for each, problems in refused.items() for problem in problems][:ERRORS_MAX]
        joined = OperationRow.errors.op("||")(literal(errors, JSONB()))
        bounded: Any = func.jsonb_path_query_array(joined, text(f"'$[0 to {ERRORS_MAX - 1}]'"))
        operation.errors = bounded
    if operation.done == operation.total:
        finish(operation)


async def _lock(tx: Transaction, chunk: Chunk) -> OperationRow:
    """The operation, locked after all else but its chunks; without its errors, which are large."""
    statement = select(OperationRow).where(
        OperationRow.organization_id == PLATFORM_ID, OperationRow.id == chunk.operation_id
    )
    statement = statement.options(defer(OperationRow.errors)).with_for_update()
    operation = (await tx.session.scalars(statement)).one()
    if operation.status != "RUNNING":
        raise Dropped(f"its operation is {operation.status}")
    return operation


def _error(problem: Problem, organization_id: UUID) -> dict[str, Any]:
    return {
        "type": type(problem).__name__,
        "code": problem.code,
        "message": f"organization {organization_id}: {problem.message}",
        "path": list(problem.path),
        "pointer": problem.pointer,
        "organization_id": str(organization_id),
    }
