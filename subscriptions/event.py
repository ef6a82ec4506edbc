"""moduleEvents: check, listen, load, yield. In order, once, resumable from the log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import strawberry

from events.envelope import Event
from events.visibility import visible_to
from graph.context import Info
from graph.cursors import EventCursor, read_cursor
from graph.guard import require
from graph.masking import ApiError
from graph.types.event import ModuleEvent, ModuleEventType, event_types
from graph.types.ids import parse_id
from queries import event as queries
from queries.event import BATCH, OVERLAP, EventFilter, Place

EVERYTHING = EventFilter()
SEEN_MAX = 10_000


@strawberry.type
class EventSubscriptions:
    @strawberry.subscription(
        description="Events as they happen; with `after`, first those since. organizationId null: your own"
        " organization; for administrators every stream, where an event may come twice around the cursor."
    )
    async def module_events(
        self,
        info: Info,
        organization_id: strawberry.ID | None = None,
        module_code: str | None = None,
        types: list[ModuleEventType] | None = None,
        after: str | None = None,
    ) -> AsyncIterator[ModuleEvent]:
        actor = info.context.actor
        require(actor, "Subscription.moduleEvents")
        cursor = None if after is None else read_cursor(after)
        target = actor.organization_id if organization_id is None else parse_id(organization_id)
        if organization_id is not None and (target is None or not await _is_there(info, target)):
            raise ApiError("NOT_FOUND", f"no organization {str(organization_id)[:100]}")
        wanted = EventFilter(types=event_types(types), module=module_code)
        events = _follow_all(info, cursor) if target is None else _follow(info, target, cursor)
        async for event in events:
            shown = visible_to(actor, event)
            if shown is not None and wanted.takes(shown):
                info.context.refresh()
                yield ModuleEvent.of(shown)


async def _is_there(info: Info, organization_id: UUID) -> bool:
    if not info.context.actor.may_see_organization(organization_id):
        return False
    return await info.context.loaders.organization.load(organization_id) is not None


async def _follow(info: Info, organization_id: UUID, cursor: EventCursor | None) -> AsyncIterator[Event]:
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
        raise _resume_gap(f"after is beyond revision {current}", minimum=oldest, current=current)
    if cursor.rev < current and (oldest is None or cursor.rev + 1 < oldest):
        raise _resume_gap("after is older than what is kept; load the state anew", minimum=oldest, current=current)
    return cursor.rev


def _resume_gap(message: str, *, minimum: int | None, current: int) -> ApiError:
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

    def is_gap(self, event: Event) -> bool:
        known = self.revs.get(event.organization_id)
        return known is not None and event.rev > known + 1


async def _follow_all(info: Info, cursor: EventCursor | None) -> AsyncIterator[Event]:
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
                if seen.is_gap(found):
                    async for event in _log_after(info, found.organization_id, seen.revs[found.organization_id]):
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
