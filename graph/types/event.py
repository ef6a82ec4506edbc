"""Events, as the API shows them."""

from datetime import datetime
from enum import Enum

import strawberry

from events.envelope import Event
from events.types import EventType
from graph.context import Info
from graph.types.module import Module
from graph.types.organization import Organization, find_organization
from graph.types.scalars import JSON
from models.base import PLATFORM_ID


@strawberry.enum(description="What happened; the Kafka topic is tenant.module.<name in lower case>.")
class ModuleEventType(Enum):
    ASSIGNED = EventType.ASSIGNED.name
    UNASSIGNED = EventType.UNASSIGNED.name
    BULK_ASSIGNED = EventType.BULK_ASSIGNED.name
    INDUSTRY_APPLIED = EventType.INDUSTRY_APPLIED.name
    CONFIG_UPDATED = EventType.CONFIG_UPDATED.name
    STATE_CHANGED = EventType.STATE_CHANGED.name
    REGISTERED = EventType.REGISTERED.name
    UPDATED = EventType.UPDATED.name
    ACTIVATED = EventType.ACTIVATED.name
    DEACTIVATED = EventType.DEACTIVATED.name
    DELETED = EventType.DELETED.name
    INDUSTRY_CREATED = EventType.INDUSTRY_CREATED.name
    INDUSTRY_UPDATED = EventType.INDUSTRY_UPDATED.name
    INDUSTRY_DELETED = EventType.INDUSTRY_DELETED.name
    ORGANIZATION_CREATED = EventType.ORGANIZATION_CREATED.name
    ORGANIZATION_UPDATED = EventType.ORGANIZATION_UPDATED.name
    COMPANY_CREATED = EventType.COMPANY_CREATED.name
    SUBGRAPH_CHANGED = EventType.SUBGRAPH_CHANGED.name
    SUPERGRAPH_PUBLISHED = EventType.SUPERGRAPH_PUBLISHED.name


@strawberry.type(description="A fact: immutable, numbered without gaps in its organization's stream.")
class ModuleEvent:
    event: strawberry.Private[Event]
    id: strawberry.ID = strawberry.field(description="The CloudEvents id.")
    type: ModuleEventType
    organization_id: strawberry.ID | None = strawberry.field(description="Null on the platform stream.")
    module_code: str | None
    company_id: strawberry.ID | None
    revision: int
    cursor: str = strawberry.field(description="Pass it as `after` to resume.")
    actor: str
    occurred_at: datetime
    payload: JSON = strawberry.field(description="The full state after the fact.")

    @strawberry.field
    async def organization(self, info: Info) -> Organization | None:
        return await find_organization(info, self.event.organization_id)

    @strawberry.field
    async def module(self, info: Info) -> Module | None:
        row = None if self.event.module is None else await info.context.loaders.module.load(self.event.module)
        return None if row is None else Module.from_row(row)

    @staticmethod
    def of(event: Event) -> "ModuleEvent":
        is_platform = event.organization_id == PLATFORM_ID
        return ModuleEvent(
            event=event,
            id=strawberry.ID(str(event.id)),
            type=ModuleEventType(event.type.name),
            organization_id=None if is_platform else strawberry.ID(str(event.organization_id)),
            module_code=event.module,
            company_id=None if event.company_id is None else strawberry.ID(str(event.company_id)),
            revision=event.rev,
            cursor=event.cursor,
            actor=event.actor,
            occurred_at=event.occurred_at,
            payload=event.payload,
        )


def event_types(wanted: list[ModuleEventType] | None) -> frozenset[EventType] | None:
    return None if wanted is None else frozenset(EventType[each.value] for each in wanted)
