"""Asking for many modules for many organizations: an operation, which workers cut into chunks and carry out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ARRAY, Select, Uuid, cast, func, select

from commands.request import Outcome, Request
from commands.transaction import Transaction, platform_command
from models.base import PLATFORM_ID
from models.ids import new_id
from models.operation import OperationRow
from models.organization import OrganizationRow
from queries.module import load_modules_by_codes
from queries.organization import OrganizationFilter, conditions_of, count_organizations
from rules.errors import IllegalTransition, InvalidInput, NotFound, Problem, refuse_if_any

KIND = "BULK_ASSIGN_MODULES"
MODULES_MAX, IDS_MAX = 100, 1_000


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


def members(operation: OperationRow) -> Select[UUID]:
    """The ids of the organizations that were meant when the operation was asked for."""
    ids = operation.request["organization_ids"]
    if ids is not None:
        return select(func.unnest(cast([UUID(each) for each in ids], ARRAY(Uuid()))).label("organization_id"))
    wanted = OrganizationFilter(**operation.request["filter"])
    statement = select(OrganizationRow.organization_id).where(*conditions_of(wanted))
    # who signs up after that was not meant
    return statement.where(OrganizationRow.created_at <= operation.created_at)
