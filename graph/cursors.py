"""Cursors of events: the rev to go on after, and the time of it for streams of many organizations."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from graph.masking import ApiError
from queries.event import EPOCH

MICROSECONDS_MAX = 4_102_444_800_000_000  # the year 2100
REV_MAX = 2**63 - 1


@dataclass(frozen=True)
class EventCursor:
    rev: int
    since: datetime


START = EventCursor(rev=0, since=EPOCH)


def read_cursor(after: str | None) -> EventCursor:
    """The cursor of an event (`ModuleEvent.cursor`), or the short form v1:REV. Raises a BAD_USER_INPUT error."""
    if after is None:
        return START
    version, *numbers = after.split(":")
    is_whole = version == "v1" and 1 <= len(numbers) <= 2
    if not is_whole or not all(each.isascii() and each.isdigit() and len(each) < 20 for each in numbers):
        raise ApiError("BAD_USER_INPUT", "after is not the cursor of an event")
    rev, moment = int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 0
    if rev > REV_MAX or moment > MICROSECONDS_MAX:
        raise ApiError("BAD_USER_INPUT", "after is not the cursor of an event")
    return EventCursor(rev=rev, since=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment))
