"""Many modules for many organizations: an operation that a worker carries out, one organization per step.

The operation's position moves in the same transaction, so that a worker that dies repeats nothing and skips nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from commands.assigning import Assigning, Wanted, list_assigned, prepare
from commands.request import Outcome, Request
from commands.transaction import Transaction, platform_command
from events.facts import Fact, assignment_state
from events.types import EventType
from models.base import PLATFORM_ID
from models.ids import new_id
from models.operation import OperationRow
from models.organization import OrganizationRow
from queries.module import load_modules_by_codes
from queries.organization import OrganizationFilter, conditions_of, count_organizations
from rules.errors import IllegalTransition, InvalidInput, NotFound, Problem, Refusal, refuse_if_any

KIND = "BULK_ASSIGN_MODULES"
MODULES_MAX, IDS_MAX, ERRORS_MAX = 100, 1_000, 1_000


@dataclass(frozen=True, kw_only=True)
class BulkAssignModules(Request):
    modules: Sequence[str]
    organization_ids: Sequence[UUID] | None = None
    organization_filter: OrganizationFilter | None = None


@platform_command
async def bulk_assign_modules(tx: Transaction, request: BulkAssignModules) -> Outcome:
    """Ask for the work; it is done by a worker and followed by its operation."""
    refuse_if_any(await _problems(tx, request))
    ids = None if request.organization_ids is None else sorted(set(request.organization_ids))
    wanted = request.organization_filter or OrganizationFilter()
    total = len(ids) if ids is not None else await count_organizations(tx, wanted)
    operation = OperationRow(
        organization_id=PLATFORM_ID,
        id=new_id(),
        kind=KIND,
        status="PENDING",
        request={
            "modules": sorted(set(request.modules)),
            "organization_ids": None if ids is None else [str(each) for each in ids],
            "filter": asdict(wanted),
        },
        requested_by=tx.actor.subject,
        done=0,
        failed=0,
        total=total,
        errors=[],
        created_at=datetime.now(UTC),
    )
    tx.session.add(operation)
    revision = await tx.current_revision(PLATFORM_ID)
    return Outcome(revision=revision, shows={"operation": str(operation.id)})


async def _problems(tx: Transaction, request: BulkAssignModules) -> list[Problem]:
    problems: list[Problem] = []
    if (request.organization_ids is None) == (request.organization_filter is None):
        message = "give either organizationIds or organizationFilter; an empty filter means every organization"
        problems.append(InvalidInput(message=message, path=("input", "organizationIds")))
    if len(request.organization_ids or ()) > IDS_MAX:
        message = f"at most {IDS_MAX} ids; take organizationFilter for more"
        problems.append(InvalidInput(message=message, path=("input", "organizationIds")))
    if not 1 <= len(request.modules) <= MODULES_MAX:
        message = f"name 1 to {MODULES_MAX} modules"
        return [*problems, InvalidInput(message=message, path=("input", "modules"))]
    known = await load_modules_by_codes(tx, request.modules)
    for index, code in enumerate(request.modules):
        at = ("input", "modules", str(index))
        if code not in known:
            problems.append(NotFound(message=f"no module {code!r}", path=at))
        elif not known[code].is_active:
            message = f"module {code!r} is switched off for the whole platform"
            problems.append(IllegalTransition(message=message, path=at))
    return problems


async def step(tx: Transaction, operation: OperationRow) -> bool:
    """The next organization of an operation; whether there was one."""
    next_id = await _next_organization(tx, operation)
    if next_id is None:
        return False
    problems = await _assign_all(tx, next_id, operation.request["modules"])
    operation.done, operation.position = operation.done + 1, next_id
    if problems:
        operation.failed += 1
        shown = [_error(problem, next_id) for problem in problems]
        operation.errors = [*operation.errors, *shown][:ERRORS_MAX]
    return True


async def _next_organization(tx: Transaction, operation: OperationRow) -> UUID | None:
    if operation.request["organization_ids"] is not None:
        ids = [UUID(each) for each in operation.request["organization_ids"]]
        return next((each for each in ids if operation.position is None or each > operation.position), None)
    wanted = OrganizationFilter(**operation.request["filter"])
    statement = select(OrganizationRow.organization_id).where(*conditions_of(wanted))
    # who signs up while it runs has a later id, and was not meant
    statement = statement.where(OrganizationRow.created_at <= operation.created_at)
    if operation.position is not None:
        statement = statement.where(OrganizationRow.organization_id > operation.position)
    found: UUID | None = await tx.session.scalar(statement.order_by(OrganizationRow.organization_id).limit(1))
    return found


async def _assign_all(tx: Transaction, organization_id: UUID, modules: Sequence[str]) -> Sequence[Problem]:
    """One organization's modules, all or none, and one event for them; its problems when it is refused."""
    try:
        organization = await tx.lock_organization(organization_id)
        assigned = await list_assigned(tx, organization)
        wanted = [Wanted(code) for code in modules if code not in assigned]
        if not wanted:
            return ()
        at = ("input", "modules")
        assigning = await prepare(tx, organization, wanted, assigned=assigned, activate=True, at=at)
    except Refusal as refusal:
        return refusal.problems
    (revision,) = await tx.advance(organization_id)
    assigning.number([revision] * len(assigning.written))
    tx.session.add_all(assigning.rows)
    tx.record(_bulk_fact(organization_id, revision, assigning))
    return ()


def _bulk_fact(organization_id: UUID, revision: int, assigning: Assigning) -> Fact:
    codes = [row.module_id for row in assigning.written]
    return Fact(
        type=EventType.BULK_ASSIGNED,
        organization_id=organization_id,
        revision=revision,
        payload={
            "assignments": [assignment_state(row, assigning.catalog[row.module_id].tier) for row in assigning.written],
            "modules": codes,
        },
        modules=tuple(codes),
    )


def _error(problem: Problem, organization_id: UUID) -> dict[str, Any]:
    return {
        "type": type(problem).__name__,
        "code": problem.code,
        "message": f"organization {organization_id}: {problem.message}",
        "path": list(problem.path),
        "pointer": problem.pointer,
        "organization_id": str(organization_id),
    }
