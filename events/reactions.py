"""What follows from a fact, in this house: one table, REACTIONS.

A handler is a pure function from an event to the changes that follow from it; events/inbox.py writes those of a whole
batch in the transaction that remembers the events. Besides, every event raises its organization's revision floor in
Redis after that transaction, whatever its kind. Never holds how events come in, or statements.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from events.envelope import Event
from events.projection import Adoption
from events.types import EventType
from rules.version_range import is_version

Handler = Callable[[Event], Iterator[Adoption]]


class UnreadablePayload(Exception):
    """A payload that is not as its event's schema has it. Its text names members and never shows values."""


def handle_module_assigned(event: Event) -> Iterator[Adoption]:
    yield _adoption(event, event.payload.get("assignment"), is_assigned=True)


def handle_module_unassigned(event: Event) -> Iterator[Adoption]:
    yield _adoption(event, event.payload.get("assignment"), is_assigned=False)


def handle_module_state_changed(event: Event) -> Iterator[Adoption]:
    yield _adoption(event, event.payload.get("assignment"), is_assigned=_member(event.payload, "is_assigned", bool))


def handle_config_updated(event: Event) -> Iterator[Adoption]:
    """It carries the whole assignment: what a late event would have said is said by this one already."""
    yield _adoption(event, event.payload.get("assignment"), is_assigned=True)


def handle_bulk_assigned(event: Event) -> Iterator[Adoption]:
    return _adoptions(event)


def handle_industry_applied(event: Event) -> Iterator[Adoption]:
    return _adoptions(event)


def handle_module_registered(_: Event) -> Iterator[Adoption]:
    """Nobody has a module for its being registered: its adoption begins with the first assignment."""
    return iter(())


# The kinds with nothing here change what no read model holds. A module's deletion reaches each organization that has
# it as an event of its own.
REACTIONS: Mapping[EventType, tuple[Handler, ...]] = {
    EventType.ASSIGNED: (handle_module_assigned,),
    EventType.UNASSIGNED: (handle_module_unassigned,),
    EventType.STATE_CHANGED: (handle_module_state_changed,),
    EventType.CONFIG_UPDATED: (handle_config_updated,),
    EventType.BULK_ASSIGNED: (handle_bulk_assigned,),
    EventType.INDUSTRY_APPLIED: (handle_industry_applied,),
    EventType.REGISTERED: (handle_module_registered,),
    EventType.UPDATED: (),
    EventType.ACTIVATED: (),
    EventType.DEACTIVATED: (),
    EventType.DELETED: (),
    EventType.INDUSTRY_CREATED: (),
    EventType.INDUSTRY_UPDATED: (),
    EventType.INDUSTRY_DELETED: (),
    EventType.ORGANIZATION_CREATED: (),
    EventType.ORGANIZATION_UPDATED: (),
    EventType.COMPANY_CREATED: (),
    EventType.SUBGRAPH_CHANGED: (),
    EventType.SUPERGRAPH_PUBLISHED: (),
}


def changes_of(event: Event) -> list[Adoption]:
    """Everything that follows from an event. Raises UnreadablePayload, or whatever a handler does."""
    return [change for handler in REACTIONS[event.type] for change in handler(event)]


def _adoptions(event: Event) -> Iterator[Adoption]:
    for assignment in _member(event.payload, "assignments", list):
        yield _adoption(event, assignment, is_assigned=True)


def _adoption(event: Event, assignment: Any, *, is_assigned: bool) -> Adoption:
    if not isinstance(assignment, dict):
        raise UnreadablePayload("there is no assignment")
    version = _member(assignment, "version", str)
    if not is_version(version):
        raise UnreadablePayload("version is no SemVer")
    return Adoption(
        organization_id=event.organization_id,
        module=_member(assignment, "module", str),
        rev=event.rev,
        is_assigned=is_assigned,
        version=version,
        state=_member(assignment, "state", str),
    )


def _member(document: dict[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if not isinstance(value, kind):
        raise UnreadablePayload(f"{name} is missing or no {kind.__name__}")
    return value
