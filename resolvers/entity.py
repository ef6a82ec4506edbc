"""Query._entities: where a gateway enters with a key. Answers in place, item by item: one bad key spoils no other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graph.context import Info
from graph.guard import require
from graph.masking import ApiError
from graph.types.industry import Industry
from graph.types.module import Module
from graph.types.organization import Company, Organization

NAMED_MAX = 100


@dataclass(frozen=True)
class Entity:
    """A type that other subgraphs may refer to, its key, and the lookup whose policy row it obeys."""

    type: Any
    key: str
    policy: str


ENTITIES: Mapping[str, Entity] = {
    "Company": Entity(type=Company, key="id", policy="Query.company"),
    "Industry": Entity(type=Industry, key="code", policy="Query.industry"),
    "Module": Entity(type=Module, key="code", policy="Query.module"),
    "Organization": Entity(type=Organization, key="id", policy="Query.organization"),
}


def resolve_entity(info: Info, representation: object) -> Any:
    """What loads the entity, or the error that stands in its place."""
    try:
        entity, key = _read(representation)
        require(info.context.actor, entity.policy)
    except ApiError as error:
        return error
    # what else a gateway sends along, for @requires of other subgraphs, is not ours
    return entity.type.resolve_reference(info=info, **{entity.key: key})


def _read(representation: object) -> tuple[Entity, str]:
    name = representation.get("__typename") if isinstance(representation, Mapping) else None
    entity = ENTITIES.get(name) if isinstance(name, str) else None
    if entity is None or not isinstance(representation, Mapping):
        shown = str(name)[:NAMED_MAX]
        raise ApiError("BAD_USER_INPUT", f"__typename {shown} is no entity here; there are {', '.join(ENTITIES)}")
    key = representation.get(entity.key)
    if not isinstance(key, str) or "\0" in key:
        raise ApiError("BAD_USER_INPUT", f"a representation of {name} needs its key: {entity.key}, a string")
    return entity, key
