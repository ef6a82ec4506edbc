"""Which events a caller sees, and what of them. Checked for every event, not only when a stream opens."""

from dataclasses import replace
from typing import Any

from auth.actor import Actor
from events.envelope import Event


def visible_to(actor: Actor, event: Event) -> Event | None:
    """The event as this caller may see it: without INTERNAL modules, and without other companies' affairs."""
    if actor.is_platform_admin:
        return event
    if event.organization_id != actor.organization_id:
        return None
    if actor.company_id is not None and event.company_id not in (None, actor.company_id):
        return None
    assignments = event.payload.get("assignments")
    if assignments is None:
        return None if _is_internal(event.payload.get("assignment")) else event
    shown = [assignment for assignment in assignments if not _is_internal(assignment)]
    if len(shown) == len(assignments):
        return event
    modules = tuple(assignment["module"] for assignment in shown)
    return replace(event, modules=modules, payload={**event.payload, "assignments": shown, "modules": list(modules)})


def _is_internal(assignment: dict[str, Any] | None) -> bool:
    return assignment is not None and assignment.get("tier") == "INTERNAL"
