"""Asking for a dead letter to be tried again. Never applies it: that is the consumer's (events/replay.py)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select, text

from commands.request import Outcome, Request
from commands.transaction import Transaction, platform_command
from events.log import SLOT
from models.base import PLATFORM_ID
from models.dead_event import PARKED, REPLAY_REQUESTED, REPLAYED, DeadEventRow
from rules.errors import IllegalTransition, NotFound, Refusal

RELAY = "relay"

# nothing when the log no longer has the event
QUEUE_AGAIN = text(
    "INSERT INTO outbox(shard, organization_id, rev, occurred_at)"
    f" SELECT {SLOT}, organization_id, rev, occurred_at FROM event_log"
    " WHERE organization_id = :organization_id AND rev = :rev AND id = :id RETURNING seq"
)


@dataclass(frozen=True, kw_only=True)
class ReplayDeadEvent(Request):
    event_id: UUID
    consumer: str


@platform_command
async def replay_dead_event(tx: Transaction, request: ReplayDeadEvent) -> Outcome:
    """What the relay parked is queued to be sent again, all else is left for its consumer to apply.

    Asked for already, or replayed already, it is a success that changes nothing.
    """
    statement = select(DeadEventRow).where(
        DeadEventRow.event_id == request.event_id, DeadEventRow.consumer == request.consumer
    )
    row = await tx.session.scalar(statement.with_for_update())
    if row is None:
        raise Refusal(no_dead_event(str(request.event_id)))
    if row.status == PARKED:
        if row.consumer == RELAY:
            await _queue_again(tx, row)
        row.status = REPLAYED if row.consumer == RELAY else REPLAY_REQUESTED
        row.last_at = datetime.now(UTC)
    shows = {"event_id": str(row.event_id), "consumer": row.consumer}
    return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows=shows)


async def _queue_again(tx: Transaction, row: DeadEventRow) -> None:
    parameters = {"organization_id": row.organization_id, "rev": row.rev, "id": row.event_id}
    if await tx.session.scalar(QUEUE_AGAIN, parameters) is None:
        message = f"the event log no longer has event {row.event_id}"
        raise Refusal(IllegalTransition(message=message, path=("input", "eventId")))


def no_dead_event(event_id: str) -> NotFound:
    """The same words for a malformed id and for an unknown one."""
    return NotFound(message=f"no dead event {event_id[:100]}", path=("input", "eventId"))
