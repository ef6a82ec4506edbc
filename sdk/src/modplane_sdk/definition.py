"""A module, described in Python. The same as its manifest.json: either can be made from the other, nothing is lost.

A definition that was read remembers its document. Written back, a member that nobody changed stays as it was spelled,
and keys that are not known here stay too.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from modplane_sdk.manifest import InvalidManifest, check_manifest

Object = Mapping[str, Any]


# Where a field stands in the manifest.
WAYS: dict[str, tuple[str, ...]] = {
    "code": ("name",),
    "name": ("display_name",),
    "description": ("description",),
    "version": ("version",),
    "requires": ("dependencies", "required_modules"),
    "optional_requires": ("dependencies", "optional_modules"),
    "platform_version": ("dependencies", "platform_version"),
    "external_services": ("dependencies", "external_services"),
    "features": ("features",),
    "menu_items": ("menu_items",),
    "permissions": ("permissions",),
    "is_core": ("is_core",),
    "is_internal": ("is_internal",),
    "config_schema": ("configuration", "schema"),
    "default_config": ("configuration", "defaults"),
    "on_enable": ("lifecycle", "on_enable"),
    "on_disable": ("lifecycle", "on_disable"),
    "on_startup": ("lifecycle", "on_startup"),
    "health_check": ("backend", "health_check"),
    "migrations_path": ("layout", "migrations_path"),
    "is_self_contained": ("layout", "is_self_contained"),
    "services_path": ("layout", "services_path"),
    "models_path": ("layout", "models_path"),
    "schemas_path": ("layout", "schemas_path"),
    "templates_path": ("layout", "templates_path"),
    "exceptions_path": ("layout", "exceptions_path"),
    "locales_path": ("layout", "locales_path"),
    "category": ("category",),
    "tags": ("tags",),
    "license": ("license",),
    "author": ("author",),
    "repository": ("repository",),
    "backend": ("backend",),
    "frontend": ("frontend",),
    "database": ("database",),
    "routes": ("routes",),
    "subscription_tier": ("subscription_tier",),
    "service_name": ("service_name",),
    "api_endpoint": ("api_endpoint",),
    "metadata": ("metadata",),
}
REQUIRED = {"code", "version"}  # always written; everything else only when it isn't its default


@dataclass(frozen=True, kw_only=True)
class ModuleDefinition:
    """`requires`: "code" or "code@range". Functions are named as "package.module:function"."""

    code: str
    name: str = ""
    description: str = ""
    version: str = "1.0.0"
    requires: tuple[str, ...] = ()
    optional_requires: tuple[str, ...] = ()
    platform_version: str | None = None
    external_services: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    menu_items: Object = field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    is_core: bool = False
    is_internal: bool = False
    config_schema: Object | None = None
    default_config: Object = field(default_factory=dict)
    on_enable: str | None = None
    on_disable: str | None = None
    on_startup: str | None = None
    health_check: str | None = None
    migrations_path: str | None = None
    is_self_contained: bool = False
    services_path: str | None = None
    models_path: str | None = None
    schemas_path: str | None = None
    templates_path: str | None = None
    exceptions_path: str | None = None
    locales_path: str | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()
    license: str | None = None
    author: Object = field(default_factory=dict)
    repository: Object = field(default_factory=dict)
    backend: Object = field(default_factory=dict)  # without health_check, which is a field of its own
    frontend: Object = field(default_factory=dict)
    database: Object = field(default_factory=dict)
    routes: Any = None
    subscription_tier: str | None = None
    service_name: str | None = None
    api_endpoint: str | None = None
    metadata: Object = field(default_factory=dict)
    document: Object = field(default_factory=dict, compare=False, repr=False)  # what it was read from

    @staticmethod
    def from_manifest(document: Object) -> "ModuleDefinition":
        """Raises InvalidManifest with everything that is wrong."""
        if problems := check_manifest(document):
            raise InvalidManifest(problems)
        return ModuleDefinition(**_values(document), document=copy.deepcopy(dict(document)))

    @staticmethod
    def read(path: Path) -> "ModuleDefinition":
        """From a manifest.json. Raises OSError, ValueError for what is no JSON, InvalidManifest."""
        return ModuleDefinition.from_manifest(json.loads(path.read_text(encoding="utf-8")))

    def to_manifest(self) -> dict[str, Any]:
        """Raises InvalidManifest: what this returns, the platform's schema takes."""
        document = copy.deepcopy(dict(self.document))
        before = _values(document)
        for member in _members():
            value = getattr(self, member.name)
            if not _is_same(value, before[member.name]):
                _write(document, member, value)
        if problems := check_manifest(document):
            raise InvalidManifest(problems)
        return document


def _members() -> list["Field[Any]"]:
    return [member for member in fields(ModuleDefinition) if member.name in WAYS]


def _values(document: Object) -> dict[str, Any]:
    """What a manifest says of each field; a required one that it lacks is None."""
    return {member.name: _read(document, member) for member in _members()}


def _read(document: Object, member: "Field[Any]") -> Any:
    found: Any = document
    for key in _way(document, member):
        if not isinstance(found, Mapping) or key not in found:
            return _default(member)
        found = found[key]
    if member.name in {"requires", "optional_requires"}:
        return tuple(_requirements(found))
    if member.name == "backend":
        return {key: value for key, value in found.items() if key != "health_check"}
    return tuple(found) if _default(member) == () else copy.deepcopy(found)


def _write(document: dict[str, Any], member: "Field[Any]", value: Any) -> None:
    *parents, last = _way(document, member)
    parent = document
    for key in parents:
        parent = parent.setdefault(key, {})
    if member.name == "backend" and "health_check" in parent.get(last, {}):
        value = {**value, "health_check": parent[last]["health_check"]}
    if _is_same(value, _default(member)):
        del parent[last]  # it differs from what the document says, so the document says something
    else:
        parent[last] = json.loads(json.dumps(value))


def _way(document: Object, member: "Field[Any]") -> tuple[str, ...]:
    """The schema may stand in either of two places; it stays where it is."""
    if member.name == "config_schema" and "config_schema" in document:
        return ("config_schema",)
    return WAYS[member.name]


def _default(member: "Field[Any]") -> Any:
    if member.default_factory is not MISSING:
        return member.default_factory()
    return None if member.name in REQUIRED else member.default


def _requirements(listed: Any) -> list[str]:
    """Three spellings: ["code@range"], [{"name": code, "version": range}], {code: range}."""
    if isinstance(listed, Mapping):
        return [f"{code}@{versions}" for code, versions in listed.items()]
    return [
        item if isinstance(item, str) else "@".join(item[key] for key in ("name", "version") if key in item)
        for item in listed
    ]


def _is_same(one: Any, other: Any) -> bool:
    """As JSON: true is not 1, and a tuple is a list."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
