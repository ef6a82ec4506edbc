"""Writing a layer of a configuration: the three kinds of write, for tier 2 and for tier 3 alike."""

from typing import Any

import pytest
import pytest_asyncio

from tests.support.platform import Platform
from tests.support.stories import (
    ERRORS,
    LEAVES,
    assign,
    create_company,
    effective_config,
    events_of,
    register,
    set_company_config,
    set_config,
    sign_up,
    state_of,
    unique,
)

START = {"a": {"b": 1, "c": 2}, "list": [1, 2, 3], "flag": True}
BOTH_TIERS = pytest.mark.parametrize("tier", ["organization", "company"])


class Layer:
    """One layer that a test writes; it starts with START."""

    def __init__(self, platform: Platform, organization: str, module: str, company: str | None) -> None:
        self.platform, self.organization, self.module, self.company = platform, organization, module, company

    async def write(self, write: str | None, value: Any, **more: Any) -> Any:
        arguments = {"write": write, **more}
        if self.company is None:
            return await set_config(self.platform, self.organization, self.module, value, **arguments)
        return await set_company_config(self.platform, self.company, self.module, value, **arguments)

    async def read(self, fields: str = "values") -> Any:
        return await effective_config(self.platform, self.organization, self.module, self.company, fields=fields)


async def layer_of(platform: Platform, tier: str) -> Layer:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    company = await create_company(platform, organization)
    await assign(platform, organization, code)
    layer = Layer(platform, organization, code, company if tier == "company" else None)
    assert (await layer.write("REPLACE", START))["revision"] == 4
    return layer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def untouched(platform: Platform) -> dict[str, Layer]:
    """A layer of each tier for the tests whose writes change nothing."""
    return {tier: await layer_of(platform, tier) for tier in ("organization", "company")}


@BOTH_TIERS
@pytest.mark.parametrize(
    ("write", "value", "expected"),
    [
        ("REPLACE", {"only": 1}, {"only": 1}),
        ("REPLACE", {}, {}),
        ("REPLACE", {"kept": None}, {"kept": None}),
        ("MERGE_PATCH", {"a": {"b": 9}}, {"a": {"b": 9, "c": 2}, "list": [1, 2, 3], "flag": True}),
        ("MERGE_PATCH", {"list": [4]}, {"a": {"b": 1, "c": 2}, "list": [4], "flag": True}),
        ("MERGE_PATCH", {"a": None, "no": None}, {"list": [1, 2, 3], "flag": True}),
        (
            "MERGE_PATCH",
            {"a": 1, "new": {"x": None, "y": 1}},
            {"a": 1, "list": [1, 2, 3], "flag": True, "new": {"y": 1}},
        ),
        (None, {"flag": False}, {"a": {"b": 1, "c": 2}, "list": [1, 2, 3], "flag": False}),
        (
            "JSON_PATCH",
            [
                {"op": "test", "path": "/a/b", "value": 1},
                {"op": "add", "path": "/list/-", "value": 4},
                {"op": "add", "path": "/list/0", "value": 0},
                {"op": "remove", "path": "/flag"},
                {"op": "replace", "path": "/a/b", "value": None},
                {"op": "copy", "from": "/a/c", "path": "/copied"},
                {"op": "move", "from": "/a", "path": "/moved"},
            ],
            {"list": [0, 1, 2, 3, 4], "copied": 2, "moved": {"b": None, "c": 2}},
        ),
    ],
)
async def test_each_kind_of_write(platform: Platform, tier: str, write: str | None, value: Any, expected: Any) -> None:
    layer = await layer_of(platform, tier)
    payload = await layer.write(write, value)
    assert payload == {"effectiveConfig": {"values": expected, "revision": 5}, "revision": 5, "errors": []}
    assert await layer.read() == {"values": expected}


@BOTH_TIERS
async def test_a_write_is_one_event_with_the_whole_state(platform: Platform, tier: str) -> None:
    layer = await layer_of(platform, tier)
    await layer.write("MERGE_PATCH", {"flag": None}, reason="no more")
    events = await events_of(platform, layer.organization)
    assert [(each["type"], each["revision"]) for each in events[3:]] == [("CONFIG_UPDATED", 4), ("CONFIG_UPDATED", 5)]
    event = events[4]
    assert (event["moduleCode"], event["companyId"]) == (layer.module, layer.company)
    assert event["payload"]["layer"] == tier.upper()
    assert event["payload"]["effective"] == {"a": {"b": 1, "c": 2}, "list": [1, 2, 3]}


@BOTH_TIERS
@pytest.mark.parametrize(
    ("write", "value"),
    [
        ("REPLACE", START),
        ("REPLACE", {**START, "a": {"c": 2.0, "b": 1}}),
        ("MERGE_PATCH", {}),
        ("MERGE_PATCH", {"flag": True, "absent": None}),
        ("JSON_PATCH", []),
        ("JSON_PATCH", [{"op": "test", "path": "/flag", "value": True}]),
    ],
)
async def test_a_write_that_changes_nothing_makes_no_event(
    platform: Platform, untouched: dict[str, Layer], tier: str, write: str, value: Any
) -> None:
    layer = untouched[tier]
    before = await state_of(platform, layer.organization)
    payload = await layer.write(write, value)
    assert (payload["errors"], payload["revision"]) == ([], 4)
    assert payload["effectiveConfig"]["values"] == START
    assert await state_of(platform, layer.organization) == before


@BOTH_TIERS
@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ([{"op": "add", "path": "/x", "value": 1}, {"op": "test", "path": "/flag", "value": False}], "/1"),
        ([{"op": "remove", "path": "/nowhere"}], "/0"),
        ([{"op": "add", "path": "/list/9", "value": 1}], "/0"),
        ([{"op": "add", "path": "no-pointer", "value": 1}], "/0"),
        ([{"op": "shout", "path": "/flag"}], "/0"),
        ([{"op": "add", "path": "/x"}], "/0"),
        (["text"], "/0"),
        ({"op": "add", "path": "/x", "value": 1}, ""),
        ([{"op": "replace", "path": "", "value": [1]}], ""),
        ([{"op": "test", "path": "/flag", "value": True}] * 101, ""),
    ],
)
async def test_a_patch_that_fails_names_its_operation(
    platform: Platform, untouched: dict[str, Layer], tier: str, value: Any, pointer: str
) -> None:
    layer = untouched[tier]
    before = await state_of(platform, layer.organization)
    payload = await layer.write("JSON_PATCH", value)
    (error,) = payload["errors"]
    assert (error["__typename"], error["path"], error["pointer"]) == ("InvalidInputError", ["input", "value"], pointer)
    assert (payload["effectiveConfig"], payload["revision"]) == (None, None)
    assert await state_of(platform, layer.organization) == before


@BOTH_TIERS
@pytest.mark.parametrize("write", ["REPLACE", "MERGE_PATCH"])
@pytest.mark.parametrize("value", [[], "text", 1, False])
async def test_a_layer_is_an_object(
    platform: Platform, untouched: dict[str, Layer], tier: str, write: str, value: Any
) -> None:
    layer = untouched[tier]
    before = await state_of(platform, layer.organization)
    payload = await layer.write(write, value)
    assert [(each["__typename"], each["path"], each["pointer"]) for each in payload["errors"]] == [
        ("InvalidInputError", ["input", "value"], "")
    ]
    assert await state_of(platform, layer.organization) == before


@BOTH_TIERS
async def test_a_dry_run_shows_values_and_origins_and_changes_nothing(platform: Platform, tier: str) -> None:
    layer = await layer_of(platform, tier)
    before = await state_of(platform, layer.organization)
    name = "setOrganizationConfig" if layer.company is None else "setCompanyConfig"
    mine = {"organizationId": layer.organization} if layer.company is None else {"companyId": layer.company}
    query = (
        f"mutation($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{"
        f" effectiveConfig {{ values {LEAVES} }} revision {ERRORS} }} }}"
    )
    variables = {**mine, "module": layer.module, "value": {"flag": False, "a": None}, "reason": "why not"}
    dry = (await platform.data(query, {"input": {**variables, "dryRun": True}}))[name]
    assert (dry["errors"], dry["revision"]) == ([], 4)
    assert dry["effectiveConfig"]["values"] == {"flag": False, "list": [1, 2, 3]}
    flag, kept = dry["effectiveConfig"]["leaves"]
    assert (flag["layer"], flag["setBy"], flag["reason"]) == (tier.upper(), "tester", "why not")
    assert (kept["pointer"], kept["revision"], kept["reason"]) == ("/list", 4, None)
    assert await state_of(platform, layer.organization) == before
    real = (await platform.data(query, {"input": variables}))[name]
    assert real["revision"] == 5
    for shown in (*dry["effectiveConfig"]["leaves"], *real["effectiveConfig"]["leaves"]):
        shown.pop("setAt")
    assert real["effectiveConfig"] == dry["effectiveConfig"]


async def test_null_over_a_default_is_a_value_and_removing_it_shows_the_default(platform: Platform) -> None:
    organization = await sign_up(platform)
    code = await register(platform, unique("free"), configuration={"defaults": {"limit": 5, "tags": ["x"]}})
    await assign(platform, organization, code)
    written = await set_config(platform, organization, code, {"limit": None, "tags": []}, write="REPLACE")
    assert written["effectiveConfig"]["values"] == {"limit": None, "tags": []}
    patched = await set_config(platform, organization, code, {"limit": None})
    assert patched["effectiveConfig"]["values"] == {"limit": 5, "tags": []}


async def test_an_assignments_config_is_its_own_layer_alone(platform: Platform) -> None:
    organization = await sign_up(platform)
    code = await register(platform, unique("free"), configuration={"defaults": {"a": 1, "b": 1}})
    await assign(platform, organization, code, config={"b": 2})
    await set_config(platform, organization, code, {"c": 3})
    query = "query($id: ID!, $m: String!) { organization(id: $id) { module(code: $m) { config revision } } }"
    seen = (await platform.data(query, {"id": organization, "m": code}))["organization"]["module"]
    assert seen == {"config": {"b": 2, "c": 3}, "revision": 3}
    fields = "leaves { pointer revision layer }"
    leaves = (await effective_config(platform, organization, code, fields=fields))["leaves"]
    assert [(each["pointer"], each["layer"], each["revision"]) for each in leaves[1:]] == [
        ("/b", "ORGANIZATION", 2),
        ("/c", "ORGANIZATION", 3),
    ]


async def test_the_size_of_a_layer_is_bounded(platform: Platform) -> None:
    layer = await layer_of(platform, "organization")
    before = await state_of(platform, layer.organization)
    for key in ("one", "two"):
        payload = await layer.write("MERGE_PATCH", {key: "x" * 70_000})
    assert [(each["__typename"], each["path"]) for each in payload["errors"]] == [("QuotaError", ["input", "value"])]
    assert (await state_of(platform, layer.organization))[1][:-1] == before[1]
    deep: Any = {}
    for _ in range(33):
        deep = {"d": deep}
    payload = await layer.write("MERGE_PATCH", deep)
    assert [each["__typename"] for each in payload["errors"]] == ["InvalidInputError"]
