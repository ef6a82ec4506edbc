"""The input of the field that replays a dead letter, and the request that it becomes."""

import strawberry

from commands.dead_event import ReplayDeadEvent, no_dead_event
from graph.types.ids import parse_id
from rules.errors import Refusal


@strawberry.input
class ReplayDeadEventInput:
    event_id: strawberry.ID
    consumer: str
    idempotency_key: str | None = None

    def request(self) -> ReplayDeadEvent:
        event_id = parse_id(self.event_id)
        if event_id is None:
            raise Refusal(no_dead_event(str(self.event_id)))
        return ReplayDeadEvent(event_id=event_id, consumer=self.consumer, idempotency_key=self.idempotency_key)
