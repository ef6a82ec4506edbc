"""Cursors of events: the rev to go on after, and its time and stream for readers of every organization's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from events.envelope import EPOCH
from graph.masking import ApiError
from models.base import PLATFORM_ID

MICROSECONDS_MAX = 4_102_444_800_000_000  # the year 2100
REV_MAX = 2**63 - 1
REV_ONLY, WHOLE = 1, 3


@dataclass(frozen=True)
class EventCursor:
    rev: int = 0
    since: datetime = EPOCH
    stream: UUID = PLATFORM_ID


START = EventCursor()


def read_cursor(after: str | None) -> EventCursor:
    """The cursor of an event (`ModuleEvent.cursor`), or the short form v1:REV. Raises a BAD_USER_INPUT error."""
    if after is None:
        return START
    version, *parts = after.split(":")
    if version != "v1" or len(parts) not in (REV_ONLY, WHOLE):
        raise _not_a_cursor()
    rev = _number(parts[0], maximum=REV_MAX)
    if len(parts) == REV_ONLY:
        return EventCursor(rev=rev)
    moment = EPOCH + timedelta(microseconds=_number(parts[1], maximum=MICROSECONDS_MAX))
    try:
        return EventCursor(rev=rev, since=moment, stream=UUID(parts[2]))
    except ValueError:
        raise _not_a_cursor() from None


def _number(text: str, *, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= maximum):
        raise _not_a_cursor()
    return int(text)


def _not_a_cursor() -> ApiError:
    return ApiError("BAD_USER_INPUT", "after is not the cursor of an event")
