"""Manifests: the spellings that are taken, and everything that is refused with its pointer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from rules.errors import DependencyProblem, InvalidManifest, Refusal
from rules.json_values import JsonValue
from rules.manifest import MANIFEST_SCHEMA, Manifest, Requirement, read_manifest
from rules.platform import PLATFORM_VERSION
from rules.slug import SLUG

# the keys of the documents' sample
SAMPLE: dict[str, Any] = {
    "name": "ledger",
    "display_name": "General Ledger",
    "version": "1.2.0",
    "description": "Books.",
    "repository": {"type": "git", "url": "https://example.com/ledger.git", "branch": "main"},
    "author": {"name": "A", "email": "a@example.com", "website": "https://example.com"},
    "backend": {
        "type": "microservice",
        "runtime": "python3.11",
        "framework": "fastapi",
        "entry_point": "app.main:app",
        "health_check": "/health",
        "api_prefix": "/api/v1/ledger",
        "port": 8001,
    },
    "frontend": {"type": "spa", "framework": "react", "entry_point": "src/index.tsx", "bundle": "dist/ledger.js"},
    "database": {
        "type": "postgresql",
        "schema_prefix": "ledger_",
        "has_migrations": True,
        "requires_separate_db": False,
        "tables": ["ledger_entries"],
    },
    "dependencies": {
        "platform_version": ">=2.0.0",
        "required_modules": [],
        "optional_modules": ["reporting", "notifications"],
        "external_services": ["redis", "postgresql"],
    },
    "permissions": ["ledger:read", "ledger:entries:write"],
    "routes": [{"path": "/ledger"}],
    "configuration": {
        "defaults": {"currency": "USD"},
        "schema": {"type": "object", "required": ["currency", "owner"], "properties": {"currency": {"type": "string"}}},
    },
    "subscription_tier": "premium",
    "license": "Apache-2.0",
    "category": "Finance",
    "tags": ["books"],
    "features": ["export_csv", "multi-currency"],
    "menu_items": {"ADMIN": ["accounts"], "VENDOR": [{"code": "entries"}]},
    "metadata": {"icon": "book"},
    "from_the_future": {"kept": True},
}


def problems_of(document: object) -> list[tuple[str | None, str]]:
    with pytest.raises(Refusal) as refusal:
        read_manifest(document)
    assert all(problem.path == ("input", "manifest") for problem in refusal.value.problems)
    assert all(type(problem) in (InvalidManifest, DependencyProblem) for problem in refusal.value.problems)
    return [(problem.pointer, problem.message) for problem in refusal.value.problems]


def test_the_sample() -> None:
    assert read_manifest(SAMPLE) == Manifest(
        code="ledger",
        name="General Ledger",
        version="1.2.0",
        description="Books.",
        category="Finance",
        tags=("books",),
        service_name=None,
        api_endpoint="/api/v1/ledger",
        metadata={"icon": "book"},
        requirements=(Requirement("reporting", "*", True), Requirement("notifications", "*", True)),
        permissions=("ledger:read", "ledger:entries:write"),
        features=("export_csv", "multi-currency"),
        default_config={"currency": "USD"},
        config_schema=SAMPLE["configuration"]["schema"],
        subscription_tier="premium",
        is_core=False,
        is_internal=False,
        document=SAMPLE,
    )


def test_only_name_and_version_are_required() -> None:
    assert read_manifest({"name": "ab", "version": "0.1.0"}) == Manifest(
        code="ab", name="ab", version="0.1.0", description="", category="General", tags=(), service_name=None,
        api_endpoint=None, metadata={}, requirements=(), permissions=(), features=(), default_config={},
        config_schema=None, subscription_tier="free", is_core=False, is_internal=False,
        document={"name": "ab", "version": "0.1.0"},
    )  # fmt: skip


REQUIRED = "/dependencies/required_modules"


@pytest.mark.parametrize(
    ("spelling", "pointers"),
    [
        (["billing", "pay@^1.0.0 || ^2.0.0"], ["/0", "/1"]),
        ([{"name": "billing"}, {"name": "pay", "version": "^1.0.0 || ^2.0.0"}], ["/0", "/1"]),
        (["billing", {"name": "pay", "version": "^1.0.0 || ^2.0.0"}], ["/0", "/1"]),
        ({"billing": "*", "pay": "^1.0.0 || ^2.0.0"}, ["/billing", "/pay"]),
    ],
)
def test_three_spellings_of_requirements(spelling: object, pointers: list[str]) -> None:
    manifest = read_manifest({"name": "ab", "version": "1.0.0", "dependencies": {"required_modules": spelling}})

    assert manifest.requirements == (
        Requirement("billing", "*", is_optional=False),
        Requirement("pay", "^1.0.0 || ^2.0.0", is_optional=False),
    )
    assert [requirement.pointer for requirement in manifest.requirements] == [REQUIRED + p for p in pointers]


def test_the_other_places() -> None:
    schema = {"type": "object"}
    manifest = read_manifest(
        {
            "name": "ab",
            "version": "1.0.0",
            "config_schema": schema,
            "service_name": "ab-service",
            "api_endpoint": "/x",
            "backend": {"api_prefix": "/y"},
            "is_core": True,
        }
    )

    assert (manifest.config_schema, manifest.service_name, manifest.api_endpoint) == (schema, "ab-service", "/x")
    assert manifest.is_core


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"name": None}, "/name", "is not of type"),
        ({"name": "Ledger"}, "/name", "does not match"),
        ({"name": "l"}, "/name", "does not match"),
        ({"name": "l" * 64}, "/name", "does not match"),
        ({"name": "ledger\n"}, "/name", "does not match"),
        ({"version": "1.0"}, "/version", "SemVer"),
        ({"version": 1}, "/version", "is not of type"),
        ({"description": ["x"]}, "/description", "is not of type"),
        ({"author": "A"}, "/author", "is not of type"),
        ({"backend": {"port": 0}}, "/backend/port", "minimum of 1"),
        ({"backend": {"port": "80"}}, "/backend/port", "is not of type"),
        ({"database": {"has_migrations": "yes"}}, "/database/has_migrations", "is not of type"),
        ({"tags": ["a", "a"]}, "/tags", "non-unique"),
        ({"features": ["With Space"]}, "/features/0", "does not match"),
        ({"menu_items": ["x"]}, "/menu_items", "is not of type"),
        ({"menu_items": {"ADMIN": "x"}}, "/menu_items/ADMIN", "is not of type"),
        ({"metadata": []}, "/metadata", "is not of type"),
        ({"is_core": "yes"}, "/is_core", "is not of type"),
        ({"is_core": True, "is_internal": True}, "/is_internal", "not both"),
        ({"subscription_tier": "gold"}, "/subscription_tier", '"free", "standard", "premium", "enterprise"'),
        ({"permissions": ["ledger:read", "other:read"]}, "/permissions/1", "begins with 'ledger:'"),
        ({"permissions": ["ledger:"]}, "/permissions/0", "begins with 'ledger:'"),
        ({"permissions": ["ledgers:read"]}, "/permissions/0", "begins with 'ledger:'"),
        ({"dependencies": {"platform_version": ">=3"}}, "/dependencies/platform_version", f"is {PLATFORM_VERSION}"),
        ({"dependencies": {"platform_version": "new"}}, "/dependencies/platform_version", "npm syntax"),
        ({"dependencies": {"required_modules": ["Pay"]}}, REQUIRED + "/0", "does not match"),
        ({"dependencies": {"required_modules": ["pay@new"]}}, REQUIRED + "/0", "npm syntax"),
        ({"dependencies": {"required_modules": {"pay": ""}}}, REQUIRED + "/pay", "npm syntax"),
        ({"dependencies": {"required_modules": {"pay": 1}}}, REQUIRED + "/pay", "is not of type"),
        ({"dependencies": {"required_modules": [{"version": "*"}]}}, REQUIRED + "/0", "required"),
        ({"dependencies": {"required_modules": ["pay", "pay@1"]}}, REQUIRED + "/1", "second time"),
        (
            {"dependencies": {"required_modules": ["pay"], "optional_modules": {"pay": "*"}}},
            "/dependencies/optional_modules/pay",
            "second time",
        ),
        ({"dependencies": {"required_modules": ["ledger"]}}, REQUIRED + "/0", "cannot need itself"),
        ({"configuration": {"schema": {"type": "strng"}}}, "/configuration/schema/type", "strng"),
        ({"configuration": {"schema": True}}, "/configuration/schema", "is not of type"),
        ({"configuration": {}, "config_schema": {"type": "array"}}, "/config_schema/type", 'must be "object"'),
        ({"config_schema": {"type": "object"}}, "/config_schema", "given twice"),
        (
            {"configuration": {"defaults": {"a~b": 1}, "schema": {"type": "object", "additionalProperties": False}}},
            "/configuration/defaults/a~0b",
            "not a property the schema knows",
        ),
        ({"from_the_future": "\0"}, "/from_the_future", "U+0000"),
        ({"metadata": {"x": float("nan")}}, "/metadata/x", "not a finite number"),
    ],
)
def test_what_is_refused(change: dict[str, Any], pointer: str, said: str) -> None:
    [(found, message)] = problems_of({**SAMPLE, **change})

    assert found == pointer
    assert said in message


def test_a_module_that_needs_itself_is_a_circle() -> None:
    with pytest.raises(Refusal) as refusal:
        read_manifest({"name": "ab", "version": "1.0.0", "dependencies": {"required_modules": ["ab"]}})

    [problem] = refusal.value.problems
    assert isinstance(problem, DependencyProblem)
    assert problem.chain == ("ab", "ab")


@pytest.mark.parametrize("document", [None, [], "x", 3, True])
def test_what_is_no_object_is_no_manifest(document: object) -> None:
    assert problems_of(document) == [("", "A manifest is an object.")]


def test_everything_is_said_at_once() -> None:
    document = {
        "version": "one",
        "tags": 3,
        "permissions": ["x"],
        "dependencies": {"platform_version": "^9", "required_modules": ["pay@??"]},
        "configuration": {"defaults": {"a": 1}, "schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }

    assert [pointer for pointer, _ in problems_of(document)] == [
        "/name",
        "/tags",
        "/version",
        "/dependencies/platform_version",
        "/dependencies/required_modules/0",
        "/configuration/defaults/a",
    ]


def test_the_published_schema_says_what_every_part_is_for() -> None:
    assert Draft202012Validator({"$ref": "https://json-schema.org/draft/2020-12/schema"}).is_valid(MANIFEST_SCHEMA)
    assert MANIFEST_SCHEMA["$id"] == "https://modplane.dev/schemas/manifest/v1.json"
    properties = MANIFEST_SCHEMA["properties"]
    assert isinstance(properties, dict)
    assert set(SAMPLE) - {"from_the_future"} <= properties.keys()
    for schema in properties.values():
        assert isinstance(schema, dict)
        assert schema["title"]
        assert schema["description"]
    name = properties["name"]
    assert isinstance(name, dict)
    assert name["pattern"] == f"^{SLUG.pattern}$"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1.0.0", "ab", "ab:r"]),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=3), child, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(SAMPLE)), VALUES))
def test_any_document_is_read_or_refused(change: dict[str, JsonValue]) -> None:
    document = {**SAMPLE, **change}
    try:
        manifest = read_manifest(document)
    except Refusal as refusal:
        problems = refusal.problems
    else:
        assert manifest.document == document
        assert manifest.code == document["name"]
        return
    assert problems
    assert all(problem.pointer is not None for problem in problems)
