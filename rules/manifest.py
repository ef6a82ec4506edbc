"""Manifests: how a module describes one of its versions. The published schema is manifest.schema.json beside this file.

Never holds: what the registry knows of other modules (release_check.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jsonschema_rs import Draft202012Validator

from rules.config_schema import check_layer, check_schema
from rules.errors import DependencyProblem, InvalidManifest, Problem, Refusal, refuse_if_any
from rules.json_values import JsonValue, check_json, escape_pointer_token
from rules.plans import LOWEST_PLAN
from rules.platform import PLATFORM_VERSION
from rules.schema_errors import described_errors
from rules.version_range import InvalidRangeError, InvalidVersionError, parse_version, satisfies

MANIFEST_SCHEMA: dict[str, JsonValue] = orjson.loads(Path(__file__).with_name("manifest.schema.json").read_bytes())

INPUT = ("input", "manifest")
DEFAULT_CATEGORY = "General"
ANY_VERSION = "*"


@dataclass(frozen=True)
class Requirement:
    """What a version of a module needs of another module. An optional one is used when it is there."""

    module: str
    range: str
    is_optional: bool
    pointer: str = field(default="", compare=False)  # where the manifest says so


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest that was found to be in order; `document` is what was sent, unknown keys included."""

    code: str
    name: str
    version: str
    description: str
    category: str
    tags: tuple[str, ...]
    service_name: str | None
    api_endpoint: str | None
    metadata: Mapping[str, JsonValue]
    requirements: tuple[Requirement, ...]
    permissions: tuple[str, ...]
    features: tuple[str, ...]
    default_config: Mapping[str, JsonValue]
    config_schema: dict[str, JsonValue] | None
    subscription_tier: str
    is_core: bool
    is_internal: bool
    document: Mapping[str, JsonValue]


def read_manifest(document: object) -> Manifest:
    """The manifest; raises Refusal with everything that is wrong with it, each with its pointer."""
    refuse_if_any(_problem(f"{pointer or 'The manifest'} {why}.", pointer) for pointer, why in check_json(document))
    if not isinstance(document, dict):
        raise Refusal(_problem("A manifest is an object.", ""))
    wrong_shape = [
        _problem(f"{pointer or 'The manifest'} {why}.", pointer)
        for pointer, why in described_errors(_validator(), document, schema=MANIFEST_SCHEMA)
    ]
    # what has the wrong shape is not looked into further, and everything else is
    unreadable = {(problem.pointer or "/").split("/")[1] for problem in wrong_shape}
    readable = {key: value for key, value in document.items() if key not in unreadable}
    refuse_if_any([*wrong_shape, *_content_problems(readable)])
    return _manifest(document)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(MANIFEST_SCHEMA, offline=True)


def _problem(message: str, pointer: str) -> InvalidManifest:
    return InvalidManifest(message=message, path=INPUT, pointer=pointer)


def _content_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """What the schema cannot say. Takes those members that have the right shape."""
    name = document.get("name")
    if "version" in document:
        try:
            parse_version(document["version"])
        except InvalidVersionError as error:
            yield _problem(str(error), "/version")
    for index, permission in enumerate(document.get("permissions", ())):
        if name is not None and not (permission.startswith(f"{name}:") and len(permission) > len(name) + 1):
            yield _problem(
                f"A permission of {name} begins with '{name}:', not {permission!r}.", f"/permissions/{index}"
            )
    if document.get("is_core") and document.get("is_internal"):
        yield _problem("A module is core or internal, not both.", "/is_internal")
    yield from _dependency_problems(document.get("dependencies", {}), name)
    yield from _config_problems(document)


def _dependency_problems(dependencies: Mapping[str, Any], name: str | None) -> Iterator[Problem]:
    platform_range = dependencies.get("platform_version", ANY_VERSION)
    try:
        if not satisfies(PLATFORM_VERSION, platform_range):
            message = f"The module needs platform {platform_range}; this one is {PLATFORM_VERSION}."
            yield _problem(message, "/dependencies/platform_version")
    except InvalidRangeError as error:
        yield _problem(str(error), "/dependencies/platform_version")
    seen: set[str] = set()
    for requirement in _requirements(dependencies):
        try:
            satisfies(PLATFORM_VERSION, requirement.range)
        except InvalidRangeError as error:
            yield _problem(f"{requirement.module}: {error}", requirement.pointer)
        if requirement.module in seen:
            yield _problem(f"{requirement.module} is listed a second time.", requirement.pointer)
        if requirement.module == name:
            message = f"{name} cannot need itself."
            yield DependencyProblem(message=message, path=INPUT, pointer=requirement.pointer, chain=(name, name))
        seen.add(requirement.module)


def _requirements(dependencies: Mapping[str, Any]) -> Iterator[Requirement]:
    """Three spellings: ["code@range"], [{"name": code, "version": range}], {code: range}; the range may be left out."""
    for key, is_optional in (("required_modules", False), ("optional_modules", True)):
        listed = dependencies.get(key, [])
        pointer = f"/dependencies/{key}"
        if isinstance(listed, dict):
            for code, versions in listed.items():
                yield Requirement(code, versions, is_optional, f"{pointer}/{escape_pointer_token(code)}")
            continue
        for index, item in enumerate(listed):
            if isinstance(item, str):
                code, at, versions = item.partition("@")
                yield Requirement(code, versions if at else ANY_VERSION, is_optional, f"{pointer}/{index}")
            else:
                yield Requirement(item["name"], item.get("version", ANY_VERSION), is_optional, f"{pointer}/{index}")


def _config_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    configuration = document.get("configuration", {})
    defaults = configuration.get("defaults", {})
    places = {
        pointer: schema
        for pointer, schema in (
            ("/configuration/schema", configuration.get("schema")),
            ("/config_schema", document.get("config_schema")),
        )
        if schema is not None
    }
    if len(places) == 2:
        yield _problem("The schema is given twice; /configuration/schema is the place for it.", "/config_schema")
    for place, schema in places.items():
        faults = check_schema(schema)
        yield from (_problem(f"{place}{pointer} {why}.", place + pointer) for pointer, why in faults)
        if not faults:
            for problem in check_layer(schema, defaults, "MODULE"):
                message = f"The default does not satisfy {place}: {problem.message}"
                yield _problem(message, f"/configuration/defaults{problem.pointer}")


def _manifest(document: dict[str, Any]) -> Manifest:
    configuration = document.get("configuration", {})
    return Manifest(
        code=document["name"],
        name=document.get("display_name", document["name"]),
        version=document["version"],
        description=document.get("description", ""),
        category=document.get("category", DEFAULT_CATEGORY),
        tags=tuple(document.get("tags", ())),
        service_name=document.get("service_name"),
        api_endpoint=document.get("api_endpoint", document.get("backend", {}).get("api_prefix")),
        metadata=document.get("metadata", {}),
        requirements=tuple(_requirements(document.get("dependencies", {}))),
        permissions=tuple(document.get("permissions", ())),
        features=tuple(document.get("features", ())),
        default_config=configuration.get("defaults", {}),
        config_schema=configuration.get("schema", document.get("config_schema")),
        subscription_tier=document.get("subscription_tier", LOWEST_PLAN),
        is_core=document.get("is_core", False),
        is_internal=document.get("is_internal", False),
        document=document,
    )
