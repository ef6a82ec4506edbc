"""What a change of an event's schema may not do within a version: consumers of today must read events of tomorrow."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def breaking_changes(old: Schema, new: Schema, at: str = "") -> Iterator[str]:
    """Members removed or no longer certain, types and values changed. Added optional members are fine."""
    for keyword in ("type", "const", "format", "pattern", "anyOf"):
        if old.get(keyword) != new.get(keyword):
            yield f"{at}: {keyword} was {old.get(keyword)!r} and is {new.get(keyword)!r}"
    for value in new.get("enum", []):
        if value not in old.get("enum", []):
            yield f"{at}: {value!r} is a new value, which consumers do not know"
    for name in old.get("required", []):
        if name not in new.get("required", []):
            yield f"{at}/{name}: was certain, and is no longer"
    for name, schema in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{at}/{name}: was removed"
        else:
            yield from breaking_changes(schema, new["properties"][name], f"{at}/{name}")
    if "items" in old:
        yield from breaking_changes(old["items"], new.get("items", {}), f"{at}/*")
