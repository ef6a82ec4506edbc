"""Query fields about events: unpack, call, wrap."""

from uuid import UUID

import strawberry

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
            return _connection([], has_next=False, has_previous=after is not None)
        async with info.context.reader() as reader:
            if target is None:
                found = await queries.list_all_events(
                    reader, since=cursor.since, after_id=UUID(int=(1 << 128) - 1), size=size + 1, wanted=wanted
                )
            else:
                found = await queries.list_organization_events(
                    reader, target, after=cursor.rev, size=size + 1, wanted=wanted
                )
        shown = [event for each in found[:size] if (event := visible_to(actor, each)) is not None]
        nodes = [ModuleEvent.of(event) for event in shown]
        return _connection(nodes, has_next=len(found) > size, has_previous=after is not None)


def _connection(nodes: list[ModuleEvent], *, has_next: bool, has_previous: bool) -> Connection[ModuleEvent]:
    edges = [Edge(node=node, cursor=node.cursor) for node in nodes]
    info = PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection[ModuleEvent](edges=edges, page_info=info)
