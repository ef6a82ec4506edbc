"""What a change of the registry means for every organization: its own event, in its own stream.

Up to a thousand organizations in the registry's own transaction. Beyond that an operation: the registry has changed at
once, and a worker tells the organizations in batches, so that no transaction grows with the number of tenants.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import distinct, exists, func, insert, select

from commands.request import Change
from commands.transaction import Transaction
from events.facts import Fact, assignment_fact
from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import PLATFORM_ID
from models.ids import new_id
from models.module import ModuleRow
from models.operation import OperationRow
from models.organization import OrganizationRow
from queries.reader import among

KIND = "FAN_OUT"
AT_ONCE_MAX = 1_000
BATCH = 500


class FanoutKind(StrEnum):
    SWITCHED = "SWITCHED"  # on or off: those who have it are told
    REMOVED = "REMOVED"  # taken away from those who have it
    GIVEN = "GIVEN"  # given to those who have it not


@dataclass(frozen=True)
class Fanout:
    """`modules` to cause, in the order of their events within one organization; `action` is what is done to each."""

    kind: FanoutKind
    action: str
    modules: dict[str, str]


async def fan_out(tx: Transaction, fanout: Fanout) -> list[Change]:
    """Tell every organization concerned, now or by an operation; the steps, of the first thousand organizations."""
    ids = await _next_ids(tx, fanout, after=None, size=AT_ONCE_MAX + 1)
    if len(ids) <= AT_ONCE_MAX:
        return await _apply(tx, fanout, ids)
    tx.session.add(
        OperationRow(
            organization_id=PLATFORM_ID,
            id=new_id(),
            kind=KIND,
            status="PENDING",
            request=asdict(fanout),
            requested_by=tx.actor.subject,
            done=0,
            failed=0,
            total=await _count(tx, fanout),
            errors=[],
            created_at=datetime.now(UTC),
        )
    )
    return await _planned(tx, fanout, ids[:AT_ONCE_MAX])


async def step(tx: Transaction, operation: OperationRow) -> bool:
    """The next batch of an operation; whether there may be more."""
    stored: dict[str, Any] = operation.request
    fanout = Fanout(kind=FanoutKind(stored["kind"]), action=stored["action"], modules=stored["modules"])
    ids = await _next_ids(tx, fanout, after=operation.position, size=BATCH)
    if ids:
        await _apply(tx, fanout, ids)
        operation.done, operation.position = operation.done + len(ids), ids[-1]
    return len(ids) == BATCH


async def is_under_way(tx: Transaction, code: str) -> bool:
    """Whether a worker still has to tell organizations about a module."""
    statement = select(OperationRow.id).where(
        OperationRow.kind == KIND,
        OperationRow.status.in_(("PENDING", "RUNNING")),
        OperationRow.request["modules"].has_key(code),
    )
    return await tx.session.scalar(statement.limit(1)) is not None


async def _next_ids(tx: Transaction, fanout: Fanout, *, after: UUID | None, size: int) -> list[UUID]:
    if fanout.kind is FanoutKind.GIVEN:
        column = OrganizationRow.organization_id
        has_it = exists().where(
            TenantModuleRow.organization_id == OrganizationRow.organization_id,
            among(TenantModuleRow.module_id, list(fanout.modules)),
        )
        statement = select(column).where(~has_it)
    else:
        column = TenantModuleRow.organization_id
        statement = select(column).distinct().where(among(TenantModuleRow.module_id, list(fanout.modules)))
    if after is not None:
        statement = statement.where(column > after)
    return list(await tx.session.scalars(statement.order_by(column).limit(size)))


async def _count(tx: Transaction, fanout: Fanout) -> int:
    if fanout.kind is FanoutKind.GIVEN:
        return await tx.session.scalar(select(func.count()).select_from(OrganizationRow)) or 0
    wanted = among(TenantModuleRow.module_id, list(fanout.modules))
    return await tx.session.scalar(select(func.count(distinct(TenantModuleRow.organization_id))).where(wanted)) or 0


async def _planned(tx: Transaction, fanout: Fanout, ids: Sequence[UUID]) -> list[Change]:
    if fanout.kind is FanoutKind.GIVEN:
        return [_change(fanout, code, each) for each in ids for code in fanout.modules]
    return [_change(fanout, row.module_id, row.organization_id) for row in await _rows(tx, fanout, ids)]


async def _apply(tx: Transaction, fanout: Fanout, ids: Sequence[UUID]) -> list[Change]:
    """One batch: organizations locked in the order of ids, one revision for each event."""
    if not ids:
        return []
    await tx.lock_organizations(ids)
    modules = await _modules(tx, fanout)
    if fanout.kind is FanoutKind.GIVEN:
        rows = [_given(tx, module, each) for each in ids for module in modules.values()]
    else:
        rows = await _rows(tx, fanout, ids)
    counts: dict[UUID, int] = {}
    for row in rows:
        counts[row.organization_id] = counts.get(row.organization_id, 0) + 1
    taken = {each: iter(revisions) for each, revisions in (await tx.advance_many(counts)).items()}
    for row in rows:
        row.revision = next(taken[row.organization_id])
        tx.record(FACTS[fanout.kind](row, modules[row.module_id]))
    await _write(tx, fanout, rows)
    return [_change(fanout, row.module_id, row.organization_id) for row in rows]


async def _rows(tx: Transaction, fanout: Fanout, ids: Sequence[UUID]) -> list[TenantModuleRow]:
    statement = select(TenantModuleRow).where(
        among(TenantModuleRow.organization_id, ids), among(TenantModuleRow.module_id, list(fanout.modules))
    )
    order = {code: index for index, code in enumerate(fanout.modules)}
    rows = list(await tx.session.scalars(statement))
    return sorted(rows, key=lambda row: (row.organization_id, order[row.module_id]))


async def _modules(tx: Transaction, fanout: Fanout) -> dict[str, ModuleRow]:
    """As they are now: an event says the state after it, also when it was long in coming."""
    statement = select(ModuleRow).where(among(ModuleRow.module_id, list(fanout.modules)))
    return {row.module_id: row for row in await tx.session.scalars(statement)}


async def _write(tx: Transaction, fanout: Fanout, rows: Sequence[TenantModuleRow]) -> None:
    if fanout.kind is FanoutKind.REMOVED:
        for row in rows:
            await tx.session.delete(row)
    elif fanout.kind is FanoutKind.GIVEN and rows:
        columns = [column.key for column in TenantModuleRow.__table__.columns]
        for row in rows:
            row.config_revision = row.revision
        values = [{key: getattr(row, key) for key in columns} for row in rows]
        await tx.session.execute(insert(TenantModuleRow), values)


def _switched(row: TenantModuleRow, module: ModuleRow) -> Fact:
    return assignment_fact(
        EventType.STATE_CHANGED,
        row,
        tier=module.tier,
        revision=row.revision,
        is_assigned=True,
        is_available=module.is_active,
    )


def _removed(row: TenantModuleRow, module: ModuleRow) -> Fact:
    return assignment_fact(EventType.UNASSIGNED, row, tier=module.tier, revision=row.revision, is_assigned=False)


def _assigned(row: TenantModuleRow, module: ModuleRow) -> Fact:
    return assignment_fact(EventType.ASSIGNED, row, tier=module.tier, revision=row.revision, is_assigned=True)


FACTS: dict[FanoutKind, Callable[[TenantModuleRow, ModuleRow], Fact]] = {
    FanoutKind.SWITCHED: _switched,
    FanoutKind.REMOVED: _removed,
    FanoutKind.GIVEN: _assigned,
}


def _given(tx: Transaction, module: ModuleRow, organization_id: UUID) -> TenantModuleRow:
    now = datetime.now(UTC)
    return TenantModuleRow(
        organization_id=organization_id,
        module_id=module.module_id,
        version=module.version,
        state="ACTIVE",
        is_required=False,
        is_requested=True,
        industry_code=None,
        industry_config={},
        industry_source={},
        configuration={},
        config_sources={},
        config_revision=0,
        enabled_features=[],
        disabled_features=[],
        revision=0,
        assigned_at=now,
        assigned_by=tx.actor.subject,
        updated_at=now,
    )


def _change(fanout: Fanout, code: str, organization_id: UUID) -> Change:
    return Change(action=fanout.action, module=code, cause=fanout.modules[code], organization_id=organization_id)
