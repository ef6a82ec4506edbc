"""Following events: the log first, then the live tail, and the log again whenever the tail has missed something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from events.envelope import Event
from events.live import QUEUE_MAX, Tap
from graph.context import Info, StreamPosition
from graph.cursors import EventCursor, read_cursor
from graph.masking import ApiError
from queries import event as queries
from queries.event import BATCH, OVERLAP, EventFilter, Place
from queries.reader import Reader

EVERYTHING = EventFilter()
SEEN_MAX = 10_000


def starting_cursor(info: Info, after: str | None) -> EventCursor | None:
    """Where to begin: what the transport says comes before the argument. Raises BAD_USER_INPUT, naming the culprit."""
    resume = info.context.position.resume
    if resume is not None:
        return read_cursor(resume, name="Last-Event-ID")
    return None if after is None else read_cursor(after)


async def current_revision(info: Info, organization_id: UUID) -> int:
    """The last rev of a stream; 0 when it has none that the caller may see."""
    async with _log_reader(info) as reader:
        return (await queries.load_revisions(reader, [organization_id])).get(organization_id, 0)


async def follow(info: Info, organization_id: UUID, cursor: EventCursor | None) -> AsyncIterator[Event]:
    """One organization's stream: strictly by rev, whatever the tail brings late, twice or not at all.

    Tells `info.context.position` where it is. An event counts as reached when the next one is asked for.
    """
    position = info.context.position
    with info.context.services.live.tap(organization_id) as tap:
        current: int | None
        last, current = await _starting_rev(info, organization_id, cursor)
        position.current_revision = partial(current_revision, info, organization_id)
        while True:
            tap.delivered = last
            position.reach(last)
            # the tap was opened before: what is not in the log yet will come through it
            async for event in _log_after(info, organization_id, last, current=current):
                position.offered = event.rev
                yield event
                tap.delivered = last = event.rev
                position.reach(last)
            current = None
            while (found := await _next(tap, position)) is not None:
                if found.rev <= last:
                    continue
                if found.rev != last + 1:
                    break  # a gap: the log has what the tail has not
                position.offered = found.rev
                yield found
                tap.delivered = last = found.rev
                position.reach(last)


async def _next(tap: Tap, position: StreamPosition) -> Event | None:
    if tap.is_idle:
        position.at_head()
    return await tap.take()


@asynccontextmanager
async def _log_reader(info: Info) -> AsyncIterator[Reader]:
    """A reader, in its turn: streams that catch up leave the pool to others."""
    async with info.context.services.live.catching_up, info.context.reader() as reader:
        yield reader


async def _starting_rev(info: Info, organization_id: UUID, cursor: EventCursor | None) -> tuple[int, int]:
    """Where to begin, and where the stream is now."""
    async with _log_reader(info) as reader:
        current = (await queries.load_revisions(reader, [organization_id])).get(organization_id, 0)
        if cursor is None or cursor.rev == current:
            return current, current
        oldest = await queries.find_oldest_revision(reader, organization_id)
    if cursor.rev > current:
        # a cursor of the future, or of another stream: there is nothing that could follow it
        raise resume_gap(f"after is beyond revision {current}", minimum=oldest, current=current)
    if cursor.rev < current and (oldest is None or cursor.rev + 1 < oldest):
        raise resume_gap("after is older than what is kept; load the state anew", minimum=oldest, current=current)
    return cursor.rev, current


def resume_gap(message: str, *, minimum: int | None, current: int) -> ApiError:
    extensions = {"minRevision": minimum, "currentRevision": current}
    return ApiError("RESUME_GAP", message, extensions=extensions)


async def _log_after(
    info: Info, organization_id: UUID, rev: int, *, current: int | None = None
) -> AsyncIterator[Event]:
    """Page by page; no connection is held while the subscriber takes its time. `current`: where the log is known to
    have been, so that it need not be asked."""
    has_more = True
    while has_more and rev != current:
        async with _log_reader(info) as reader:
            page, has_more = await queries.list_following_events(reader, organization_id, after=rev)
        for event in page:
            yield event
            rev = event.rev


@dataclass
class _Seen:
    """What a stream over all organizations has passed on: each event once, and where each organization is."""

    not_before: datetime
    latest: datetime
    ids: dict[UUID, None] = field(default_factory=dict)
    revs: dict[UUID, int] = field(default_factory=dict)

    def is_new(self, event: Event) -> bool:
        if event.id in self.ids or event.occurred_at < self.not_before:
            return False
        self.ids[event.id] = None
        self.revs[event.organization_id] = max(event.rev, self.revs.get(event.organization_id, 0))
        self.latest = max(self.latest, event.occurred_at)
        for bounded in (self.ids, self.revs):
            while len(bounded) > SEEN_MAX:
                del bounded[next(iter(bounded))]
        return True

    def known_rev(self, event: Event) -> int:
        """Up to where the event's stream is known. Of one that turns up first, its last few may still be on their way:
        topics bring them in any order, the log in the right one."""
        return self.revs.get(event.organization_id, max(0, event.rev - QUEUE_MAX))


async def follow_all(info: Info, cursor: EventCursor | None) -> AsyncIterator[Event]:
    """Every stream: by time where it is read from the log, as it comes from the tail."""
    begin = cursor or EventCursor(since=datetime.now(UTC))
    position, latest = info.context.position, begin.since
    position.cursor = begin.text
    async for event in _all_events(info, begin, is_caught_up=cursor is None):
        if event.occurred_at >= latest:
            # told before it is taken: who resumes from here reads the OVERLAP again anyway
            latest, position.cursor = event.occurred_at, event.cursor
        yield event


async def _all_events(info: Info, begin: EventCursor, *, is_caught_up: bool) -> AsyncIterator[Event]:
    not_before = begin.since if is_caught_up else begin.since - OVERLAP
    seen = _Seen(not_before=not_before, latest=not_before)
    with info.context.services.live.tap(None) as tap:
        while True:
            if not is_caught_up:
                async for event in _all_since(info, seen.latest - OVERLAP):
                    if seen.is_new(event):
                        yield event
            while (found := await tap.take()) is not None:
                known = seen.known_rev(found)
                if found.rev > known + 1:
                    async for event in _log_after(info, found.organization_id, known):
                        if seen.is_new(event):
                            yield event
                if seen.is_new(found):
                    yield found
            is_caught_up = False


async def _all_since(info: Info, since: datetime) -> AsyncIterator[Event]:
    place = Place(since)
    while True:
        async with _log_reader(info) as reader:
            page = await queries.list_all_events(reader, after=place, size=BATCH, wanted=EVERYTHING)
        for event in page:
            yield event
            place = Place(since=event.occurred_at, stream=event.organization_id, rev=event.rev)
        if len(page) < BATCH:
            return
