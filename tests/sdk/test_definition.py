"""ModuleDefinition and manifest.json are the same thing, written in two ways."""

import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modplane_sdk.definition import WAYS, ModuleDefinition
from modplane_sdk.manifest import SCHEMA_FILE, InvalidManifest, ManifestProblem, check_manifest

ROOT = Path(__file__).parents[2]
# what the documents fix (row 11 of the capabilities)
FIXED = frozenset(
    {"code", "name", "description", "version", "requires", "features", "menu_items", "permissions", "is_core"}
    | {"is_internal", "config_schema", "default_config", "on_enable", "on_disable", "on_startup", "health_check"}
    | {"migrations_path", "is_self_contained", "services_path", "models_path", "schemas_path", "templates_path"}
    | {"exceptions_path", "locales_path"}
)


def _is_sound(definition: ModuleDefinition) -> bool:
    try:
        definition.to_manifest()
    except InvalidManifest:
        return False
    return True


TEXT = st.text(min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
CODE = st.from_regex(r"[a-z][a-z0-9-]{1,20}", fullmatch=True)
RANGED = CODE | st.builds("{}@{}".format, CODE, st.just("^1.0.0"))
REQUIRED = (
    st.lists(RANGED | st.fixed_dictionaries({"name": CODE}, optional={"version": st.just(">=1")}), max_size=3)
    | st.dictionaries(CODE, st.just("*"), max_size=3)
)  # fmt: skip
MANIFESTS = st.fixed_dictionaries(
    {"name": CODE, "version": st.just("1.2.3")},
    optional={
        "display_name": TEXT,
        "description": st.text(max_size=20),
        "is_core": st.just(False),
        "tags": st.lists(TEXT, max_size=3, unique=True),
        "features": st.lists(st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True), max_size=3, unique=True),
        "dependencies": st.fixed_dictionaries(
            {}, optional={"required_modules": REQUIRED, "optional_modules": REQUIRED, "platform_version": st.just("*")}
        ),
        "configuration": st.fixed_dictionaries({}, optional={"defaults": OBJECT, "schema": OBJECT}),
        "config_schema": OBJECT,
        "backend": st.fixed_dictionaries({}, optional={"health_check": st.just("/up"), "unheard_of": JSON}),
        "metadata": OBJECT,
        "author": OBJECT | JSON,
        "repository": OBJECT | TEXT,
        "frontend": OBJECT,
        "database": OBJECT,
        "menu_items": OBJECT | st.lists(JSON, max_size=2),
        "permissions": st.just([]) | JSON,
        "subscription_tier": st.sampled_from(["free", "premium"]) | st.none(),
        "license": TEXT | st.none(),
        "is_internal": st.booleans(),
        "routes": OBJECT | st.lists(JSON, max_size=2),
        "lifecycle": OBJECT,
        "layout": JSON,
        "something_of_the_future": JSON,
    },
).filter(lambda document: check_manifest(document) == [])
DEFINITIONS = st.builds(
    ModuleDefinition,
    code=CODE,
    name=st.text(max_size=20),
    version=st.sampled_from(["1.0.0", "2.0.0-rc.1"]),
    requires=st.lists(RANGED, max_size=3).map(tuple),
    is_self_contained=st.booleans(),
    config_schema=st.none() | OBJECT,
    default_config=OBJECT,
    backend=st.dictionaries(TEXT, JSON, max_size=3).filter(lambda backend: "health_check" not in backend),
    health_check=st.none() | st.just("/health"),
    on_enable=st.none() | st.just("app.hooks:on_enable"),
).filter(_is_sound)


def canonical(document: Any) -> str:
    """As JSON: true is not 1 there, nor 1.0 the integer."""
    return json.dumps(document, sort_keys=True)


@given(MANIFESTS)
def test_a_manifest_that_was_read_is_written_as_it_was(document: dict[str, Any]) -> None:
    assert canonical(ModuleDefinition.from_manifest(document).to_manifest()) == canonical(document)


@given(DEFINITIONS)
def test_a_definition_is_read_as_it_was_written(definition: ModuleDefinition) -> None:
    assert ModuleDefinition.from_manifest(definition.to_manifest()) == definition


@given(MANIFESTS, st.sampled_from(["9.9.9", "9.9.9-rc.1"]))
def test_a_change_changes_nothing_else(document: dict[str, Any], version: str) -> None:
    changed = dataclasses.replace(ModuleDefinition.from_manifest(document), version=version).to_manifest()
    assert canonical(changed) == canonical({**document, "version": version})


def test_the_fields_are_those_that_the_documents_fix() -> None:
    assert set(WAYS) >= FIXED
    assert set(WAYS) == {field.name for field in dataclasses.fields(ModuleDefinition)} - {"document"}


def test_the_schema_is_the_one_that_the_platform_publishes() -> None:
    here = ROOT / "sdk/src/modplane_sdk" / SCHEMA_FILE
    assert here.read_bytes() == (ROOT / "rules/manifest.schema.json").read_bytes()


@pytest.mark.parametrize("pack", ["erp", "commerce", "financial"])
def test_every_manifest_of_the_packs_survives(pack: str) -> None:
    modules = json.loads((ROOT / f"fixtures/{pack}.json").read_text())["modules"]
    documents = [module["manifest"] for module in modules]
    assert documents
    assert [ModuleDefinition.from_manifest(document).to_manifest() for document in documents] == documents


def test_a_value_goes_back_to_where_its_spelling_was() -> None:
    document = {"name": "billing", "version": "1.0.0", "config_schema": {"type": "object"}, "backend": {"port": 1}}
    definition = ModuleDefinition.from_manifest(document)
    changed = dataclasses.replace(definition, config_schema={}, health_check="/up", backend={"port": 2})
    assert changed.to_manifest() == {
        "name": "billing",
        "version": "1.0.0",
        "config_schema": {},
        "backend": {"port": 2, "health_check": "/up"},
    }


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"version": "1.0.0"}, [""]),
        ({"name": "Billing", "version": "1.0.0"}, ["/name"]),
        ({"name": "billing", "version": "1"}, ["/version"]),
        ({"name": "billing", "version": "1.0.0", "permissions": ["billing:read", "hr:read"]}, ["/permissions/1"]),
        ({"name": "billing", "version": "1.0.0", "is_core": True, "is_internal": True}, ["/is_internal"]),
        ({"name": "billing", "version": "1.0.0", "backend": {"port": "x"}, "tags": [1]}, ["/backend/port", "/tags/0"]),
        ([], [""]),
        ({"name": "billing", "version": "1.0.0", "metadata": {"a": float("nan")}}, [""]),
        ({"name": "billing", "version": "1.0.0", "description": "\ud800"}, [""]),
        ({"name": "billing", "version": "1.0.0", "metadata": {"since": date(2026, 1, 1)}}, [""]),
    ],
    ids=repr,
)
def test_what_is_wrong_is_told_with_its_place(document: Any, pointers: list[str]) -> None:
    with pytest.raises(InvalidManifest) as raised:
        ModuleDefinition.from_manifest(document)
    assert sorted(problem.pointer for problem in raised.value.problems) == pointers


def test_a_definition_that_is_wrong_is_never_written() -> None:
    with pytest.raises(InvalidManifest) as raised:
        ModuleDefinition(code="billing", permissions=("hr:read",)).to_manifest()
    message = "A permission of billing begins with 'billing:', not 'hr:read'."
    assert raised.value.problems == [ManifestProblem("/permissions/0", message)]
