"""The wire format: CloudEvents 1.0 in Kafka's binary mode. The value is the body as PostgreSQL prints it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from events.types import TOPIC_PREFIX, EventType

Headers = Sequence[tuple[str, bytes]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
REV_MAX = 2**63 - 1
SCHEMA_BASE = "https://modplane.dev/schemas/events"
BY_CLOUD_EVENT_TYPE = {kind.cloud_event_type: kind for kind in EventType}


@dataclass(frozen=True)
class StoredEvent:
    """A row of the event log, with its body as text."""

    id: UUID
    organization_id: UUID
    rev: int
    aggregatetype: str
    aggregateid: str
    type: str
    subject: str
    modules: Sequence[str]
    company_id: UUID | None
    body: str
    actor: str | None
    traceparent: str | None
    occurred_at: datetime

    @staticmethod
    def of(row: Any) -> "StoredEvent":
        """From a row that has these columns, `body` being payload::text."""
        return StoredEvent(**{name: getattr(row, name) for name in StoredEvent.__dataclass_fields__})


# The columns of a StoredEvent, for statements that read the log under the alias e.
COLUMNS = (
    "e.id, e.organization_id, e.rev, e.aggregatetype, e.aggregateid, e.type, e.subject, e.modules, e.company_id,"
    " e.payload::text AS body, e.actor, e.traceparent, e.occurred_at"
)


@dataclass(frozen=True)
class Message:
    """What goes to Kafka."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


def message_of(event: StoredEvent) -> Message:
    """The message, headers in the order in which Debezium's event router and its configuration here write them."""
    headers = {
        "id": str(event.id),
        "ce_id": str(event.id),
        "ce_specversion": "1.0",
        "ce_source": source_of(event.organization_id),
        "ce_type": event.type,
        "ce_subject": event.subject,
        "ce_time": time_text(event.occurred_at),
        "ce_dataschema": dataschema_of(event.type),
        "ce_organizationid": str(event.organization_id),
        "ce_rev": str(event.rev),
        "ce_partitionkey": event.aggregateid,
        "ce_actorid": event.actor,
        "ce_traceparent": event.traceparent,
        "content-type": "application/json",
    }
    return Message(
        topic=TOPIC_PREFIX + event.aggregatetype,
        key=event.aggregateid.encode(),
        value=event.body.encode(),
        headers=[(name, value.encode()) for name, value in headers.items() if value],
    )


def source_of(organization_id: UUID) -> str:
    return f"/organizations/{organization_id}"


def dataschema_of(cloud_event_type: str) -> str:
    return f"{SCHEMA_BASE}/{cloud_event_type}.json"


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds: the same instant is always the same text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Announcement:
    """What the headers alone say of an event: enough to know whose it is and where in the stream."""

    id: UUID
    organization_id: UUID
    rev: int
    type: str
    occurred_at: datetime


class MalformedEvent(Exception):
    """A record that is not one of our events."""


def announcement_of(headers: Headers) -> Announcement:
    """Read the headers of a record. Raises MalformedEvent for a record that anybody may have put on the topic."""
    found = dict(headers)
    try:
        announced = Announcement(
            id=UUID(found["ce_id"].decode()),
            organization_id=UUID(found["ce_organizationid"].decode()),
            rev=int(found["ce_rev"]),
            type=found["ce_type"].decode(),
            occurred_at=datetime.fromisoformat(found["ce_time"].decode()),
        )
        # also refuses a time without a zone, which can't be compared with the others
        if not (1 <= announced.rev <= REV_MAX and EPOCH <= announced.occurred_at <= LATEST):
            raise ValueError("ce_rev or ce_time is out of range")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MalformedEvent(f"not a Modplane event: {error!r}") from error
    return announced


@dataclass(frozen=True)
class Event:
    """An event as subscribers and queries get it, whether it came from the log or from Kafka."""

    id: UUID
    type: EventType
    organization_id: UUID
    rev: int
    module: str | None
    modules: tuple[str, ...]
    company_id: UUID | None
    actor: str
    occurred_at: datetime
    payload: dict[str, Any]

    @property
    def cursor(self) -> str:
        """Where to resume: in one organization's stream by rev, across organizations by time and stream."""
        moment = (self.occurred_at - EPOCH) // timedelta(microseconds=1)
        return f"v1:{self.rev}:{moment}:{self.organization_id.hex}"


def event_of_row(event: StoredEvent) -> Event:
    return _event_of(
        Announcement(
            id=event.id,
            organization_id=event.organization_id,
            rev=event.rev,
            type=event.type,
            occurred_at=event.occurred_at,
        ),
        orjson.loads(event.body),
    )


def event_of_record(headers: Headers, value: bytes | None) -> Event:
    """Raises MalformedEvent: foreign records, truncated bodies and versions of the future end here."""
    announced = announcement_of(headers)
    try:
        body = orjson.loads(value or b"")
        _check_body(body)
        return _event_of(announced, body)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MalformedEvent(f"event {announced.id} of type {announced.type[:100]!r}: {error!r}") from error


def _check_body(body: dict[str, Any]) -> None:
    """What readers rely on. Raises ValueError, or whatever a body of another shape does."""
    payload = body["payload"]
    assignments = [payload.get("assignment") or {}, *(payload.get("assignments") or [])]
    is_sound = (
        isinstance(payload, dict)
        and isinstance(body["module_id"], str | None)
        and isinstance(body["user_id"], str)
        and isinstance(payload.get("company_id"), str | None)
        and all(isinstance(code, str) for code in payload.get("modules") or [])
        and all(isinstance(assignment, dict) for assignment in assignments)
    )
    if not is_sound:
        raise ValueError("the body is not shaped as an event's")


def _event_of(announced: Announcement, body: dict[str, Any]) -> Event:
    payload, module = body["payload"], body["module_id"]
    company_id = payload.get("company_id")
    return Event(
        id=announced.id,
        type=BY_CLOUD_EVENT_TYPE[announced.type],
        organization_id=announced.organization_id,
        rev=announced.rev,
        module=module,
        modules=_modules_of(payload, module),
        company_id=UUID(company_id) if company_id else None,
        actor=body["user_id"],
        occurred_at=announced.occurred_at,
        payload=payload,
    )


def _modules_of(payload: dict[str, Any], module: str | None) -> tuple[str, ...]:
    """Every module that an event is about: the one it names, those it lists, or those of an industry's template."""
    if module:
        return (module,)
    industry = payload.get("industry")
    if isinstance(industry, dict):
        return tuple(item["module"] for item in industry["modules"])
    return tuple(payload.get("modules") or ())
