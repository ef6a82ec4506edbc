"""Following events: the log first, then the live tail, and the log again whenever the tail has missed something."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from events.envelope import Event
from events.live import QUEUE_MAX
from graph.context import Info
from graph.cursors import EventCursor
from graph.masking import ApiError
from queries import event as queries
from queries.event import BATCH, OVERLAP, EventFilter, Place

EVERYTHING = EventFilter()
SEEN_MAX = 10_000


async def current_revision(info: Info, organization_id: UUID) -> int:
    """The last rev of a stream; 0 when it has none that the caller may see."""
    async with info.context.reader() as reader:
        return (await queries.load_revisions(reader, [organization_id])).get(organization_id, 0)


async def follow(info: Info, organization_id: UUID, cursor: EventCursor | None) -> AsyncIterator[Event]:
    """One organization's stream: strictly by rev, whatever the tail brings late, twice or not at all."""
    with info.context.services.live.tap(organization_id) as tap:
        last = await _starting_rev(info, organization_id, cursor)
        tap.delivered = last
        while True:
            # the tap was opened before: what is not in the log yet will come through it
            async for event in _log_after(info, organization_id, last):
                yield event
                tap.delivered = last = event.rev
            while (found := await tap.take()) is not None:
                if found.rev <= last:
                    continue
                if found.rev != last + 1:
                    break  # a gap: the log has what the tail has not
                yield found
                tap.delivered = last = found.rev


async def _starting_rev(info: Info, organization_id: UUID, cursor: EventCursor | None) -> int:
    async with info.context.reader() as reader:
        current = (await queries.load_revisions(reader, [organization_id])).get(organization_id, 0)
        if cursor is None:
            return current
        oldest = await queries.find_oldest_revision(reader, organization_id)
    if cursor.rev > current:
        # a cursor of the future, or of another stream: there is nothing that could follow it
        raise resume_gap(f"after is beyond revision {current}", minimum=oldest, current=current)
    if cursor.rev < current and (oldest is None or cursor.rev + 1 < oldest):
        raise resume_gap("after is older than what is kept; load the state anew", minimum=oldest, current=current)
    return cursor.rev


def resume_gap(message: str, *, minimum: int | None, current: int) -> ApiError:
    extensions = {"minRevision": minimum, "currentRevision": current}
    return ApiError("RESUME_GAP", message, extensions=extensions)


async def _log_after(info: Info, organization_id: UUID, rev: int) -> AsyncIterator[Event]:
    """Page by page; no connection is held while the subscriber takes its time."""
    while True:
        async with info.context.reader() as reader:
            page = await queries.list_organization_events(
                reader, organization_id, after=rev, size=BATCH, wanted=EVERYTHING
            )
        for event in page:
            yield event
            rev = event.rev
        if len(page) < BATCH:
            return


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
    start = datetime.now(UTC)
    not_before = start if cursor is None else cursor.since - OVERLAP
    seen = _Seen(not_before=not_before, latest=not_before)
    with info.context.services.live.tap(None) as tap:
        is_caught_up = cursor is None
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
        async with info.context.reader() as reader:
            page = await queries.list_all_events(reader, after=place, size=BATCH, wanted=EVERYTHING)
        for event in page:
            yield event
            place = Place(since=event.occurred_at, stream=event.organization_id, rev=event.rev)
        if len(page) < BATCH:
            return
