"""What a JSON Schema validator finds, in words: where, and what is expected there.

Never holds: whose value it is.
"""

from itertools import islice

import orjson
from jsonschema_rs import Draft202012Validator, ValidationError

from rules.json_values import JsonValue, PointerNotFoundError, pointer_of, resolve_pointer

PROBLEMS_MAX = 100
MESSAGE_LENGTH_MAX = 500
NAMES_SHOWN_MAX = 20
UNKNOWN = "is not a property the schema knows"


def described_errors(
    validator: Draft202012Validator, value: dict[str, JsonValue], *, schema: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """(pointer, message) of what the validator of this schema finds, by pointer; a fault seen twice is said once."""
    errors = islice(validator.iter_errors(value), PROBLEMS_MAX)
    return sorted({problem for error in errors for problem in _described(error, schema, value)})[:PROBLEMS_MAX]


def _described(
    error: ValidationError, schema: dict[str, JsonValue], whole: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """(pointer, message) of one error in the whole."""
    kind = error.kind
    if kind.name in ("required", "additionalProperties", "unevaluatedProperties", "propertyNames", "falseSchema"):
        return _described_members(error, schema, whole)
    if kind.name in ("anyOf", "oneOf") and all(kind.value):
        return _described_alternatives(error, schema, whole)
    if kind.name == "enum":
        options = ", ".join(orjson.dumps(option).decode() for option in kind.value[:NAMES_SHOWN_MAX])
        return [(pointer_of(*error.instance_path), shortened(f"is not one of {options}"))]
    return [(pointer_of(*error.instance_path), shortened(f"is not valid: {error.message}"))]


def _described_members(
    error: ValidationError, schema: dict[str, JsonValue], whole: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """A missing or an unexpected property is pointed at itself, not at the object around it."""
    place, kind = error.instance_path, error.kind
    if kind.name == "required":
        return [(pointer_of(*place, kind.value), "is required")]
    if kind.name == "propertyNames":
        return [(pointer_of(*place, kind.value.instance), shortened(f"is not a valid name: {kind.value.message}"))]
    if kind.name != "falseSchema":
        known = _known_properties(error, schema)
        return [(pointer_of(*place, name), f"{UNKNOWN}{known}") for name in kind.value]
    if error.schema_path[-1:] == ["additionalProperties"]:
        # the library's shortcut for an object that may have no members: it names one value, and not where it is
        members = resolve_pointer(whole, pointer_of(*place))
        return [(pointer_of(*place, name), UNKNOWN) for name in (members if isinstance(members, dict) else ())]
    return [(pointer_of(*place), "must not be given")]


def _described_alternatives(
    error: ValidationError, schema: dict[str, JsonValue], whole: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """When only one alternative gets beyond this place, it is the one that was meant: say what is wrong inside it."""
    place = error.instance_path
    inside = [branch for branch in error.kind.value if all(len(fault.instance_path) > len(place) for fault in branch)]
    if len(inside) == 1:
        return [problem for fault in inside[0] for problem in _described(fault, schema, whole)]
    expected = dict.fromkeys(" and ".join(fault.message for fault in branch[:3]) for branch in error.kind.value)
    return [(pointer_of(*place), shortened(f"is none of what is expected: {'; or '.join(expected)}"))]


def _known_properties(error: ValidationError, schema: dict[str, JsonValue]) -> str:
    """What is expected instead, when the schema has its names beside the keyword that refused."""
    try:
        properties = resolve_pointer(schema, pointer_of(*error.schema_path[:-1], "properties"))
    except PointerNotFoundError:
        return ""
    names = sorted(properties)[:NAMES_SHOWN_MAX] if isinstance(properties, dict) else []
    return shortened(f" (it knows {', '.join(names)})") if names else ""


def shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_LENGTH_MAX else message[: MESSAGE_LENGTH_MAX - 1] + "…"
