"""Dead letters, as the API shows them: which event, whose consumer, why. Never the record itself."""

from datetime import datetime
from enum import Enum

import strawberry

from models.dead_event import DeadEventRow

INT_MAX = 2**31 - 1


@strawberry.enum(description="PARKED: waits for an administrator. REPLAYED: applied, or sent again.")
class DeadEventStatus(Enum):
    PARKED = "PARKED"
    REPLAY_REQUESTED = "REPLAY_REQUESTED"
    REPLAYED = "REPLAYED"


@strawberry.type(description="What a consumer could not apply, or the relay could not send.")
class DeadEvent:
    event_id: strawberry.ID
    consumer: str = strawberry.field(description="Who gave it up; `relay` for what no broker takes.")
    organization_id: strawberry.ID | None = strawberry.field(description="Null for what is no event of ours.")
    revision: int | None
    topic: str | None
    partition: int | None
    offset: str | None = strawberry.field(description="A number of up to 64 bits.")
    error_class: str | None
    error_text: str | None = strawberry.field(description="Never shows what tenants have written.")
    attempts: int
    first_at: datetime
    last_at: datetime
    published_at: datetime | None = strawberry.field(description="When it was told of on the dead letter topic.")
    status: DeadEventStatus

    @staticmethod
    def from_row(row: DeadEventRow) -> "DeadEvent":
        return DeadEvent(
            event_id=strawberry.ID(str(row.event_id)),
            consumer=row.consumer,
            organization_id=None if row.organization_id is None else strawberry.ID(str(row.organization_id)),
            # a stranger's may be larger than an Int can say
            revision=None if row.rev is None or row.rev > INT_MAX else row.rev,
            topic=row.topic,
            partition=row.partition,
            offset=None if row.offset is None else str(row.offset),
            error_class=row.error_class,
            error_text=row.error_text,
            attempts=row.attempts,
            first_at=row.first_at,
            last_at=row.last_at,
            published_at=row.published_at,
            status=DeadEventStatus(row.status.upper()),
        )
