"""Checking configurations against a module's JSON Schema (Draft 2020-12), one layer alone or all merged.

Never holds: what a schema itself may be (schema_document.py), merging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from jsonschema_rs import Draft202012Validator

from rules.config_merge import LayerName, merge_config
from rules.errors import ConfigInvalid
from rules.json_values import JsonValue, check_json, content_hash
from rules.schema_document import REGEX, check_document, partial_document
from rules.schema_errors import described_errors, shortened

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
    exact = described_errors(_meta_schema(), schema, schema=META_SCHEMA)
    places = {pointer for pointer, _ in exact}
    problems = sorted([*exact, *(problem for problem in check_document(schema) if problem[0] not in places)])
    return problems or _uncompilable(schema)


def partial_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The schema that one layer alone must satisfy: see schema_document.partial_document. Takes a checked schema."""
    return partial_document(schema)


def check_layer(
    schema: dict[str, JsonValue], values: Mapping[str, JsonValue], layer: LayerName, *, version: bytes | None = None
) -> list[ConfigInvalid]:
    """What in one layer could not be part of any valid configuration. `version`: as in check_merged."""
    return _check(schema, values, layer=layer, is_partial=True, version=version)


def check_merged(
    schema: dict[str, JsonValue], values: Mapping[str, JsonValue], *, version: bytes | None = None
) -> list[ConfigInvalid]:
    """What keeps the merged configuration from being valid.

    `version`: the content hash of the manifest that the schema is of, which never changes; spares hashing the schema.
    """
    return _check(schema, values, layer=None, is_partial=False, version=version)


def _check(
    schema: dict[str, JsonValue],
    values: Mapping[str, JsonValue],
    *,
    layer: LayerName | None,
    is_partial: bool,
    version: bytes | None,
) -> list[ConfigInvalid]:
    content = b"v" + version if version is not None else content_hash(schema)
    compiled = _compiled(_SchemaKey(content, is_partial, schema))
    found = described_errors(compiled.validator, dict(values), schema=compiled.schema)
    return [
        ConfigInvalid(message=f"{pointer or 'The configuration'} {message}.", pointer=pointer, layer=layer)
        for pointer, message in found
    ]


@lru_cache(maxsize=512)
def _compiled(key: _SchemaKey) -> _Compiled:
    schema = partial_document(key.schema) if key.is_partial else merge_config(key.schema)
    return _Compiled(validator=_compiler(schema), schema=schema)


def _compiler(schema: dict[str, JsonValue]) -> Draft202012Validator:
    return Draft202012Validator(schema, validate_formats=True, offline=True, pattern_options=REGEX)


@cache
def _meta_schema() -> Draft202012Validator:
    return _compiler(META_SCHEMA)


def _uncompilable(schema: dict[str, JsonValue]) -> list[tuple[str, str]]:
    """Whatever else the library may refuse must be refused now and not when somebody's configuration is checked."""
    for is_partial in (False, True):
        try:
            _compiled(_SchemaKey(content_hash(schema), is_partial, schema))
        except ValueError as error:
            return [("", shortened(f"cannot be used: {error}"))]
    return []
