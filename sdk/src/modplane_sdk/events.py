"""The platform's events as a module takes them: `@subscribe`, and what a record of Kafka says.

CloudEvents 1.0 in binary mode. Never holds how records are fetched (consumer.py), or remembered (inbox.py).
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

TOPIC_PREFIX = "tenant.module."
VERSION = 1  # of the payloads, as this SDK and the handlers know them
REVISION_MAX = 2**63 - 1
Headers = Sequence[tuple[str, bytes]]


class MalformedEvent(Exception):
    """A record that is no event of the platform's."""


class AnotherVersion(Exception):
    """An event in a version that is not known here. It is published beside the known one, so it is passed over."""


@dataclass(frozen=True)
class Event:
    """A fact. `revision` orders the facts of one organization; `occurred_at` is for people.

    `payload` carries the whole state after it. Members may be added at any time: pass over what you do not know.
    """

    id: str
    topic: str
    type: str
    organization_id: str
    revision: int
    module: str | None
    actor: str
    occurred_at: datetime
    payload: dict[str, Any] = field(repr=False)

    @property
    def company_id(self) -> str | None:
        """Whose configuration it is about, or which company was created."""
        found = self.payload.get("company_id")
        return found if isinstance(found, str) else None

    @property
    def modules(self) -> frozenset[str]:
        """What it is about: one module, several (`bulk_assigned`, `industry_applied`) or none."""
        return frozenset((self.module,)) if self.module else frozenset(self.payload.get("modules") or ())

    def assignment_of(self, module: str) -> dict[str, Any] | None:
        """The module's assignment after it, whichever of the topics told of it. None: it has nothing to say of one."""
        return next((each for each in self._assignments() if each.get("module") == module), None)

    def _assignments(self) -> Iterator[dict[str, Any]]:
        if one := self.payload.get("assignment"):
            yield one
        yield from self.payload.get("assignments") or ()


# Given the transaction that the event is remembered in: asyncpg's connection, or whatever the inbox gives.
Handler = Callable[[Event, Any], Awaitable[None]]


@dataclass(frozen=True)
class Subscription:
    """`is_state`: events older than one that was applied already are passed over, for they carry the whole state."""

    name: str
    topics: frozenset[str]
    handler: Handler
    is_state: bool


class Subscriptions:
    """A module's handlers. One handler keeps one state: put all topics that change it on the same one."""

    def __init__(self) -> None:
        self.all: list[Subscription] = []

    def subscribe(self, *topics: str, is_state: bool = True) -> Callable[[Handler], Handler]:
        """For `is_state=False` each event comes, in any order: for what counts or notifies. Raises ValueError."""
        wrong = [topic for topic in topics if not topic.startswith(TOPIC_PREFIX)]
        if wrong or not topics:
            raise ValueError(f"topics are called {TOPIC_PREFIX}…, not {wrong}")

        def register(handler: Handler) -> Handler:
            name = handler.__qualname__
            if any(known.name == name for known in self.all):
                raise ValueError(f"there is a handler {name} already, and what was applied is remembered by this name")
            self.all.append(Subscription(name, frozenset(topics), handler, is_state))
            return handler

        return register

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(topic for each in self.all for topic in each.topics)

    def of(self, event: Event, module: str) -> list[Subscription]:
        """Those that are to have it. What is about other modules only is none of this module's business."""
        if event.modules and module not in event.modules:
            return []
        return [each for each in self.all if event.topic in each.topics]


def read_event(topic: str, headers: Headers, value: bytes | None) -> Event:
    """Raises AnotherVersion, or MalformedEvent: anybody may have put anything on a topic.

    Headers that are not the platform's may say what they like, in any encoding: mirrors and tracers add theirs.
    """
    told = dict(headers)
    try:
        _check_type(topic, type_ := told["ce_type"].decode())
        body = json.loads(value or b"")
        event = Event(
            id=str(UUID(told["ce_id"].decode())),
            topic=topic,
            type=type_,
            organization_id=str(UUID(told["ce_organizationid"].decode())),
            revision=int(told["ce_rev"]),
            module=body["module_id"],
            actor=body["user_id"],
            occurred_at=datetime.fromisoformat(told["ce_time"].decode()),
            payload=body["payload"],
        )
        is_sound = _is_sound(event)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedEvent(f"no event of the platform's: {error!r}") from error
    if not is_sound:
        raise MalformedEvent("its body is not shaped as an event's")
    return event


def _check_type(topic: str, type_: str) -> None:
    """Raises AnotherVersion, or ValueError for what is no event of this topic."""
    version = type_.removeprefix(f"{topic}.v")
    if version == type_ or not version.isdecimal():
        raise ValueError(f"ce_type {type_[:100]!r} on {topic}")
    if int(version) != VERSION:
        raise AnotherVersion(type_)


def _is_sound(event: Event) -> bool:
    """Whether what everybody reads of it is there: one wrong record must not end a consumer. May raise ValueError."""
    if not isinstance(event.payload, dict) or not isinstance(event.module, str | None):
        return False
    if (company := event.payload.get("company_id")) is not None:
        UUID(company)
    modules = event.payload.get("modules") or []
    return (
        1 <= event.revision <= REVISION_MAX
        and event.occurred_at.tzinfo is not None
        and isinstance(event.actor, str)
        and isinstance(modules, list)
        and all(isinstance(code, str) for code in modules)
    )
