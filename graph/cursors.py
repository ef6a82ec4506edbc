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

    @property
    def text(self) -> str:
        """As `ModuleEvent.cursor` writes it."""
        return f"v1:{self.rev}:{(self.since - EPOCH) // timedelta(microseconds=1)}:{self.stream.hex}"


START = EventCursor()


def read_cursor(after: str | None, *, name: str = "after") -> EventCursor:
    """The cursor of an event (`ModuleEvent.cursor`), or the short form v1:REV. Raises a BAD_USER_INPUT error.

    `name`: what the caller calls it.
    """
    if after is None:
        return START
    version, *parts = after.split(":")
    if version != "v1" or len(parts) not in (REV_ONLY, WHOLE):
        raise _not_a_cursor(name)
    rev = _number(parts[0], maximum=REV_MAX, name=name)
    if len(parts) == REV_ONLY:
        return EventCursor(rev=rev)
    moment = EPOCH + timedelta(microseconds=_number(parts[1], maximum=MICROSECONDS_MAX, name=name))
    try:
        return EventCursor(rev=rev, since=moment, stream=UUID(parts[2]))
    except ValueError:
        raise _not_a_cursor(name) from None


def _number(text: str, *, maximum: int, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= maximum):
        raise _not_a_cursor(name)
    return int(text)


def _not_a_cursor(name: str) -> ApiError:
    return ApiError("BAD_USER_INPUT", f"{name} is not the cursor of an event")
