"""Questions about dead letters. Only platform administrators may ask: the table is behind no tenant's wall."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_

from models.dead_event import DeadEventRow
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader
from rules.errors import InvalidInput, Refusal


@dataclass(frozen=True)
class DeadEventFilter:
    status: str | None = None
    consumer: str | None = None


async def find_dead_event(reader: Reader, event_id: UUID, consumer: str) -> DeadEventRow | None:
    row: DeadEventRow | None = await reader.session.get(DeadEventRow, (consumer, event_id))
    return row


async def list_dead_events(reader: Reader, wanted: DeadEventFilter, page: PageRequest) -> Page[DeadEventRow]:
    """Dead letters, the latest to appear first."""
    place = tuple_(DeadEventRow.first_at, DeadEventRow.event_id, DeadEventRow.consumer)
    statement = select(DeadEventRow).where(*_conditions(wanted))
    if page.after is not None:
        statement = statement.where(place < _place(page.after))
    newest_first = (DeadEventRow.first_at.desc(), DeadEventRow.event_id.desc(), DeadEventRow.consumer.desc())
    statement = statement.order_by(*newest_first).limit(page.first + 1)
    rows = list(await reader.session.scalars(statement))
    return page_of(rows, page, key=lambda row: f"{row.first_at.isoformat()} {row.event_id} {row.consumer}")


async def count_dead_events(reader: Reader, wanted: DeadEventFilter) -> int:
    statement = select(func.count()).select_from(DeadEventRow).where(*_conditions(wanted))
    return await reader.session.scalar(statement) or 0


def _conditions(wanted: DeadEventFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.status is not None:
        conditions.append(DeadEventRow.status == wanted.status)
    if wanted.consumer is not None:
        conditions.append(DeadEventRow.consumer == wanted.consumer)
    return conditions


def _place(cursor: str) -> tuple[datetime, UUID, str]:
    parts = cursor.split(" ", 2)
    try:
        first_at, event_id, consumer = datetime.fromisoformat(parts[0]), UUID(parts[1]), parts[2]
        if first_at.tzinfo is None:
            raise ValueError("no zone")
    except (ValueError, IndexError):
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",))) from None
    return first_at, event_id, consumer
