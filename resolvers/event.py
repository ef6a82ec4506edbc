"""Query fields about events: unpack, call, wrap."""

from collections.abc import Sequence

import strawberry

from events.envelope import Event
from events.visibility import visible_to
from graph.context import Info
from graph.cursors import read_cursor
from graph.guard import Guard
from graph.types.connection import After, Connection, Edge, First, PageInfo, page_request
from graph.types.event import ModuleEvent, ModuleEventType, event_types
from graph.types.ids import parse_id
from queries import event as queries


@strawberry.type
class EventQueries:
    @strawberry.field(
        extensions=[Guard("Query")],
        description="The log, oldest first. organizationId null: your own; for administrators every stream.",
    )
    async def events(
        self,
        info: Info,
        organization_id: strawberry.ID | None = None,
        types: list[ModuleEventType] | None = None,
        module_code: str | None = None,
        first: First = 50,
        after: After = None,
    ) -> Connection[ModuleEvent]:
        actor = info.context.actor
        size = page_request(first, None).first
        wanted = queries.EventFilter(types=event_types(types), module=module_code)
        cursor = read_cursor(after)
        target = actor.organization_id if organization_id is None else parse_id(organization_id)
        if organization_id is not None and (target is None or not actor.may_see_organization(target)):
            return _connection([], [], size=size, after=after)
        async with info.context.reader() as reader:
            if target is None:
                place = queries.Place(since=cursor.since, stream=cursor.stream, rev=cursor.rev)
                found = await queries.list_all_events(reader, after=place, size=size + 1, wanted=wanted)
            else:
                found = await queries.list_organization_events(
                    reader, target, after=cursor.rev, size=size + 1, wanted=wanted
                )
        shown = [event for each in found[:size] if (event := visible_to(actor, each)) and wanted.takes(event)]
        return _connection(found, shown, size=size, after=after)


def _connection(
    found: Sequence[Event], shown: Sequence[Event], *, size: int, after: str | None
) -> Connection[ModuleEvent]:
    """The page ends where reading ended, shown or not: what a caller may not see must not stop it."""
    nodes = [ModuleEvent.of(event) for event in shown]
    read = found[:size]
    info = PageInfo(
        has_next_page=len(found) > size,
        has_previous_page=after is not None,
        start_cursor=nodes[0].cursor if nodes else None,
        end_cursor=read[-1].cursor if read else None,
    )
    return Connection[ModuleEvent](edges=[Edge(node=node, cursor=node.cursor) for node in nodes], page_info=info)
