"""Effective configuration: how the layers of a module's configuration become one, and where each value came from.

Never holds: reading the layers, or what a module's schema allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rules.json_values import JsonValue, PointerNotFoundError, escape_pointer_token, pointer_tokens, resolve_pointer

LayerName = Literal["MODULE", "INDUSTRY", "ORGANIZATION", "COMPANY"]


@dataclass(frozen=True)
class LeafSource:
    """Who gave a value. What is not known is None: a module's defaults were set by nobody."""

    revision: int | None = None
    set_by: str | None = None
    set_at: str | None = None  # RFC 3339
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a module's configuration. `default_source` stands for every leaf that `sources` leaves out."""

    name: LayerName
    values: Mapping[str, JsonValue]
    sources: Mapping[str, LeafSource] = field(default_factory=dict)
    default_source: LeafSource = field(default_factory=LeafSource)


@dataclass(frozen=True)
class Shadowed:
    """What a lower layer says where a higher one has the last word."""

    layer: LayerName
    value: JsonValue


@dataclass(frozen=True, kw_only=True)
class Leaf:
    pointer: str
    value: JsonValue
    layer: LayerName
    source: LeafSource
    shadowed: tuple[Shadowed, ...] = ()  # the nearest lower layer first


def merge_config(*layers: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The layers as one, later ones over earlier ones: objects merge deeply, everything else (lists, null) replaces.

    The result shares nothing with the layers. An empty object over an object takes nothing away.
    """
    merged: dict[str, JsonValue] = {}
    for layer in layers:
        waiting: list[tuple[dict[str, JsonValue], Mapping[str, JsonValue]]] = [(merged, layer)]
        while waiting:
            target, source = waiting.pop()
            for key, value in source.items():
                if isinstance(value, dict):
                    below = target.get(key)
                    if not isinstance(below, dict):
                        below = target[key] = {}
                    waiting.append((below, value))
                else:
                    target[key] = copied(value)
    return merged


def overlaid(below: dict[str, JsonValue], above: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What `merge_config` makes of two layers, for who only reads it: the result shares containers with both.

    It costs what is above and not what is below, which is most often much more.
    """
    if not above:
        return below
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = overlaid(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def copied(value: JsonValue) -> JsonValue:
    """A copy that shares no container with the value."""
    if isinstance(value, dict):
        return {key: copied(child) for key, child in value.items()}
    if isinstance(value, list):
        return [copied(child) for child in value]
    return value


def leaves_of(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Values by pointer. A leaf is anything but an object with members; the root itself is never one."""
    leaves: dict[str, JsonValue] = {}
    waiting: list[tuple[str, Mapping[str, JsonValue]]] = [("", values)]
    while waiting:
        pointer, found = waiting.pop()
        for key, value in found.items():
            below = f"{pointer}/{escape_pointer_token(key)}"
            if isinstance(value, dict) and value:
                waiting.append((below, value))
            else:
                leaves[below] = value
    return leaves


def explain_config(layers: Sequence[Layer], pointer_prefix: str | None = None) -> list[Leaf]:
    """The leaves of the merged layers (lowest first), sorted by pointer; with a prefix, those at or below it.

    A prefix that is no JSON Pointer raises InvalidPointerError; one that leads nowhere, or into a list, gives none.
    """
    prefix = pointer_prefix or ""
    pointer_tokens(prefix)
    merged = leaves_of(merge_config(*(layer.values for layer in layers)))
    highest_first = [(layer, dict(layer.values)) for layer in reversed(layers)]
    return [
        _explained(pointer, merged[pointer], highest_first)
        for pointer in sorted(merged)
        if pointer == prefix or pointer.startswith(f"{prefix}/")
    ]


def _explained(pointer: str, value: JsonValue, highest_first: Sequence[tuple[Layer, dict[str, JsonValue]]]) -> Leaf:
    """The highest layer that has the pointer gave the value: had it an object with members there, it were no leaf."""
    supplied: list[tuple[Layer, JsonValue]] = []
    for layer, values in highest_first:
        try:
            supplied.append((layer, resolve_pointer(values, pointer)))
        except PointerNotFoundError:
            continue
    highest = supplied[0][0]
    return Leaf(
        pointer=pointer,
        value=value,
        layer=highest.name,
        source=highest.sources.get(pointer, highest.default_source),
        shadowed=tuple(Shadowed(layer.name, shadowed) for layer, shadowed in supplied[1:]),
    )
