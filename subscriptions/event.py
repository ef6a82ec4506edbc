"""moduleEvents: check, listen, load, yield. In order, once, resumable from the log."""

from collections.abc import AsyncIterator
from uuid import UUID

import strawberry

from events.visibility import visible_to
from graph.context import Info
from graph.guard import require
from graph.masking import ApiError
from graph.types.event import ModuleEvent, ModuleEventType, event_types
from graph.types.ids import parse_id
from queries.event import EventFilter
from subscriptions import streams


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
        cursor = streams.starting_cursor(info, after)
        target = actor.organization_id if organization_id is None else parse_id(organization_id)
        if organization_id is not None and (target is None or not await _is_there(info, target)):
            raise ApiError("NOT_FOUND", f"no organization {str(organization_id)[:100]}")
        wanted = EventFilter(types=event_types(types), module=module_code)
        events = streams.follow_all(info, cursor) if target is None else streams.follow(info, target, cursor)
        async for event in events:
            shown = visible_to(actor, event)
            if shown is not None and wanted.takes(shown):
                info.context.refresh()
                yield ModuleEvent.of(shown)


async def _is_there(info: Info, organization_id: UUID) -> bool:
    if not info.context.actor.may_see_organization(organization_id):
        return False
    return await info.context.loaders.organization.load(organization_id) is not None
