"""Checking configurations against a module's JSON Schema (Draft 2020-12), one layer alone or all merged.

Never holds: what a schema itself may be (schema_document.py), merging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import islice

import orjson
from jsonschema_rs import Draft202012Validator, ValidationError

from rules.config_merge import LayerName
from rules.errors import ConfigInvalid
from rules.json_values import (
    JsonValue,
    PointerNotFoundError,
    check_json,
    content_hash,
    pointer_of,
    resolve_pointer,
)
from rules.schema_document import REGEX, check_document, partial_document

PROBLEMS_MAX = 100
MESSAGE_LENGTH_MAX = 500
NAMES_SHOWN_MAX = 20
UNKNOWN = "is not a property the schema knows"
META_SCHEMA: dict[str, JsonValue] = {"$ref": "https://json-schema.org/draft/2020-12/schema"}


@dataclass(frozen=True)
class _SchemaKey:
    """Equal when the contents are, so that the cache keeps and compares 32 bytes and not documents."""

    content: bytes
    is_partial: bool
    schema: dict[str, JsonValue] = field(compare=False, repr=False)


@dataclass(frozen=True)
class _Compiled:
    validator: Draft202012Validator
    schema: dict[str, JsonValue]


def check_schema(schema: object) -> list[tuple[str, str]]:
    """(pointer, message) of everything that keeps this from being the schema of a module's configuration."""
    if findings := check_json(schema):
        return findings
    if not isinstance(schema, dict):
        return [("", "must be a JSON Schema object")]
    # what the meta-schema says of a place is the more exact
    problems = {**dict(check_document(schema)), **dict(described_errors(_meta_schema(), schema, schema=META_SCHEMA))}
    return sorted(problems.items()) or _uncompilable(schema)


def partial_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The schema that one layer alone must satisfy: see schema_document.partial_document. Takes a checked schema."""
    return partial_document(schema)


def check_layer(schema: dict[str, JsonValue], values: Mapping[str, JsonValue], layer: LayerName) -> list[ConfigInvalid]:
    """What in one layer could not be part of any valid configuration."""
    return _check(schema, values, layer=layer, is_partial=True)


def check_merged(schema: dict[str, JsonValue], values: Mapping[str, JsonValue]) -> list[ConfigInvalid]:
    """What keeps the merged configuration from being valid."""
    return _check(schema, values, layer=None, is_partial=False)


def _check(
    schema: dict[str, JsonValue], values: Mapping[str, JsonValue], *, layer: LayerName | None, is_partial: bool
) -> list[ConfigInvalid]:
    compiled = _compiled(_SchemaKey(content_hash(schema), is_partial, schema))
    found = described_errors(compiled.validator, dict(values), schema=compiled.schema)
    return [
        ConfigInvalid(message=f"{pointer or 'The configuration'} {message}.", pointer=pointer, layer=layer)
        for pointer, message in found
    ]


@lru_cache(maxsize=512)
def _compiled(key: _SchemaKey) -> _Compiled:
    schema = partial_document(key.schema) if key.is_partial else key.schema
    return _Compiled(validator=_compiler(schema), schema=schema)


def _compiler(schema: dict[str, JsonValue]) -> Draft202012Validator:
    return Draft202012Validator(schema, validate_formats=True, offline=True, pattern_options=REGEX)


@cache
def _meta_schema() -> Draft202012Validator:
    return _compiler(META_SCHEMA)


def described_errors(
    validator: Draft202012Validator, value: dict[str, JsonValue], *, schema: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """(pointer, message) of what the validator of this schema finds, by pointer; a fault seen twice is said once."""
    errors = islice(validator.iter_errors(value), PROBLEMS_MAX)
    return sorted({problem for error in errors for problem in _described(error, schema, value)})[:PROBLEMS_MAX]


def _uncompilable(schema: dict[str, JsonValue]) -> list[tuple[str, str]]:
    """Whatever else the library may refuse must be refused now and not when somebody's configuration is checked."""
    for is_partial in (False, True):
        try:
            _compiled(_SchemaKey(content_hash(schema), is_partial, schema))
        except ValueError as error:
            return [("", _shortened(f"cannot be used: {error}"))]
    return []


def _described(
    error: ValidationError, schema: dict[str, JsonValue], whole: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """(pointer, message) of one error in the whole; a missing or an unexpected property is pointed at itself."""
    place = error.instance_path
    kind = error.kind
    if kind.name == "required":
        return [(pointer_of(*place, kind.value), "is required")]
    if kind.name in ("additionalProperties", "unevaluatedProperties"):
        known = _known_properties(error, schema)
        return [(pointer_of(*place, name), f"{UNKNOWN}{known}") for name in kind.value]
    if kind.name in ("anyOf", "oneOf") and all(kind.value):
        return _described_alternatives(error, schema, whole)
    if kind.name == "enum":
        options = ", ".join(orjson.dumps(option).decode() for option in kind.value[:NAMES_SHOWN_MAX])
        return [(pointer_of(*place), _shortened(f"is not one of {options}"))]
    if kind.name == "propertyNames":
        return [(pointer_of(*place, kind.value.instance), _shortened(f"is not a valid name: {kind.value.message}"))]
    if kind.name == "falseSchema" and error.schema_path[-1:] == ["additionalProperties"]:
        # the library's shortcut for an object that may have no members: it names one value, and not where it is
        members = resolve_pointer(whole, pointer_of(*place))
        return [(pointer_of(*place, name), UNKNOWN) for name in (members if isinstance(members, dict) else ())]
    if kind.name == "falseSchema":
        return [(pointer_of(*place), "must not be given")]
    return [(pointer_of(*place), _shortened(f"is not valid: {error.message}"))]


def _described_alternatives(
    error: ValidationError, schema: dict[str, JsonValue], whole: dict[str, JsonValue]
) -> list[tuple[str, str]]:
    """When only one alternative gets beyond this place, it is the one that was meant: say what is wrong inside it."""
    place = error.instance_path
    inside = [branch for branch in error.kind.value if all(len(fault.instance_path) > len(place) for fault in branch)]
    if len(inside) == 1:
        return [problem for fault in inside[0] for problem in _described(fault, schema, whole)]
    expected = dict.fromkeys(" and ".join(fault.message for fault in branch[:3]) for branch in error.kind.value)
    return [(pointer_of(*place), _shortened(f"is none of what is expected: {'; or '.join(expected)}"))]


def _known_properties(error: ValidationError, schema: dict[str, JsonValue]) -> str:
    """What is expected instead, when the schema has its names beside the keyword that refused."""
    try:
        properties = resolve_pointer(schema, pointer_of(*error.schema_path[:-1], "properties"))
    except PointerNotFoundError:
        return ""
    names = sorted(properties)[:NAMES_SHOWN_MAX] if isinstance(properties, dict) else []
    return _shortened(f" (it knows {', '.join(names)})") if names else ""


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_LENGTH_MAX else message[: MESSAGE_LENGTH_MAX - 1] + "…"
