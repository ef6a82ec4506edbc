"""Giving an organization a module: state, version, configuration; and giving it again."""

from typing import Any

import pytest

from tests.support.platform import Platform
from tests.support.stories import assign, events_of, organization_revision, register, sign_up, state_of, unique

SCHEMA = {
    "type": "object",
    "properties": {"currency": {"type": "string"}, "key": {"type": "string"}},
    "required": ["key"],
}


async def test_assign_gives_the_module_active_with_one_event(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    payload = await assign(platform, organization, code, config={"currency": "EUR"})
    assert payload == {
        "assignments": [
            {
                "module": {"code": code},
                "version": "1.0.0",
                "state": "ACTIVE",
                "config": {"currency": "EUR"},
                "dependencyOf": [],
                "revision": 2,
            }
        ],
        "affected": [{"action": "ASSIGN", "module": code, "organizationId": organization, "cause": "REQUESTED"}],
        "revision": 2,
        "errors": [],
    }
    events = await events_of(platform, organization)
    assert [(each["type"], each["revision"]) for each in events] == [("ORGANIZATION_CREATED", 1), ("ASSIGNED", 2)]
    assert (events[1]["moduleCode"], events[1]["actor"]) == (code, "tester")
    assert events[1]["organizationId"] == organization


async def test_the_organization_shows_what_was_assigned(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    await assign(platform, organization, code)
    query = """query($id: ID!, $code: String!) { organization(id: $id) { revision module(code: $code) {
      state isRequired isAvailable enabledFeatures disabledFeatures assignedBy organization { id } } } }"""
    seen = (await platform.data(query, {"id": organization, "code": code}))["organization"]
    assert seen == {
        "revision": 2,
        "module": {
            "state": "ACTIVE",
            "isRequired": False,
            "isAvailable": True,
            "enabledFeatures": [],
            "disabledFeatures": [],
            "assignedBy": "tester",
            "organization": {"id": organization},
        },
    }


async def test_not_activated_it_is_installed(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    payload = await assign(platform, organization, code, activate=False)
    assert [each["state"] for each in payload["assignments"]] == ["INSTALLED"]


@pytest.mark.parametrize("activate", [True, False, None])
async def test_assigned_again_is_a_success_that_changes_nothing(platform: Platform, activate: bool | None) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    await assign(platform, organization, code, config={"a": 1})
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, code, activate=activate, config={"a": 1}, version="1.0.0")
    assert (payload["errors"], payload["affected"], payload["revision"]) == ([], [], 2)
    assert [(each["module"]["code"], each["state"]) for each in payload["assignments"]] == [(code, "ACTIVE")]
    assert await state_of(platform, organization) == before


async def test_assigned_again_an_installed_module_is_activated(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    await assign(platform, organization, code, activate=False)
    payload = await assign(platform, organization, code)
    assert payload["errors"] == []
    assert payload["affected"] == [
        {"action": "ACTIVATE", "module": code, "organizationId": organization, "cause": "REQUESTED"}
    ]
    assert [(each["state"], each["revision"]) for each in payload["assignments"]] == [("ACTIVE", 3)]
    assert [each["type"] for each in await events_of(platform, organization)] == [
        "ORGANIZATION_CREATED",
        "ASSIGNED",
        "STATE_CHANGED",
    ]


async def test_an_explicit_version_is_taken(platform: Platform) -> None:
    organization, code = await sign_up(platform), unique("ledger")
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        await register(platform, code, version)
    assert (await assign(platform, organization, code, version="1.1.0"))["assignments"][0]["version"] == "1.1.0"
    other = await sign_up(platform)
    assert (await assign(platform, other, code))["assignments"][0]["version"] == "2.0.0"


@pytest.mark.parametrize("version", ["9.9.9", "", "latest", "v1.0.0", "1.0", "^1.0.0"])
async def test_an_unknown_version_is_refused(platform: Platform, version: str) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, code, version=version)
    (error,) = payload["errors"]
    assert (error["__typename"], error["path"]) == ("DependencyError", ["input", "version"])
    assert error["message"] == f"{code} has no version {version}; there are 1.0.0."
    assert (payload["assignments"], payload["affected"], payload["revision"]) == ([], [], None)
    assert await state_of(platform, organization) == before


@pytest.mark.parametrize(
    ("again", "path"),
    [
        ({"version": "2.0.0"}, ["input", "version"]),
        ({"config": {"a": 2}}, ["input", "config"]),
        ({"config": {"a": True}}, ["input", "config"]),
        ({"config": {}}, ["input", "config"]),
    ],
)
async def test_assigning_again_updates_neither_version_nor_config(
    platform: Platform, again: dict[str, Any], path: list[str]
) -> None:
    organization, code = await sign_up(platform), unique("ledger")
    for version in ("1.0.0", "2.0.0"):
        await register(platform, code, version)
    await assign(platform, organization, code, version="1.0.0", config={"a": 1})
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, code, **again)
    assert [(each["__typename"], each["path"]) for each in payload["errors"]] == [("AlreadyExistsError", path)]
    assert await state_of(platform, organization) == before


@pytest.mark.parametrize("config", [[], "text", 1, True])
async def test_a_config_is_an_object(platform: Platform, config: Any) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    payload = await assign(platform, organization, code, config=config)
    (error,) = payload["errors"]
    assert (error["__typename"], error["path"], error["pointer"]) == ("InvalidInputError", ["input", "config"], "")
    assert await organization_revision(platform, organization) == 1


async def test_a_config_of_the_wrong_type_is_refused_with_its_place(platform: Platform) -> None:
    organization = await sign_up(platform)
    code = await register(platform, unique("ledger"), configuration={"defaults": {"key": "k"}, "schema": SCHEMA})
    for activate in (True, False):
        payload = await assign(platform, organization, code, config={"currency": 978}, activate=activate)
        (error,) = payload["errors"]
        assert error["__typename"] == "ConfigValidationError"
        assert (error["path"], error["pointer"]) == (["input", "config"], "/currency")
    assert await organization_revision(platform, organization) == 1


async def test_a_module_is_active_only_with_a_complete_config(platform: Platform) -> None:
    organization = await sign_up(platform)
    code = await register(platform, unique("ledger"), configuration={"defaults": {}, "schema": SCHEMA})
    refused = await assign(platform, organization, code)
    assert [(each["__typename"], each["pointer"]) for each in refused["errors"]] == [("ConfigValidationError", "/key")]
    assert await organization_revision(platform, organization) == 1
    installed = await assign(platform, organization, code, activate=False)
    assert (installed["errors"], installed["assignments"][0]["state"]) == ([], "INSTALLED")
    before = await state_of(platform, organization)
    refused = await assign(platform, organization, code)
    assert [(each["__typename"], each["pointer"]) for each in refused["errors"]] == [("ConfigValidationError", "/key")]
    assert await state_of(platform, organization) == before


async def test_a_dependency_that_is_asked_for_becomes_requested(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    payload = await assign(platform, organization, top)
    pulled = {each["module"]["code"]: each["dependencyOf"] for each in payload["assignments"]}
    assert pulled == {base: [{"code": top}], top: []}
    payload = await assign(platform, organization, base)
    assert payload["affected"] == [
        {"action": "UPDATE", "module": base, "organizationId": organization, "cause": "REQUESTED"}
    ]
    assert [(each["dependencyOf"], each["revision"]) for each in payload["assignments"]] == [([], 4)]
    events = await events_of(platform, organization)
    assert [(each["type"], each["moduleCode"]) for each in events[1:]] == [
        ("ASSIGNED", base),
        ("ASSIGNED", top),
        ("STATE_CHANGED", base),
    ]


async def test_activating_a_module_activates_what_it_requires(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    await assign(platform, organization, top, activate=False)
    payload = await assign(platform, organization, top)
    assert [(each["action"], each["module"], each["cause"]) for each in payload["affected"]] == [
        ("ACTIVATE", base, "DEPENDENCY_OF"),
        ("ACTIVATE", top, "REQUESTED"),
    ]
    states = (await state_of(platform, organization))[0]["modules"]
    assert {each["module"]["code"]: each["state"] for each in states} == {base: "ACTIVE", top: "ACTIVE"}


async def test_assigning_a_module_activates_what_was_only_installed(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    await assign(platform, organization, base, activate=False)
    payload = await assign(platform, organization, top)
    assert [(each["action"], each["module"], each["cause"]) for each in payload["affected"]] == [
        ("ACTIVATE", base, "DEPENDENCY_OF"),
        ("ASSIGN", top, "REQUESTED"),
    ]
    assert [(each["type"], each["moduleCode"], each["revision"]) for each in await events_of(platform, organization)][
        2:
    ] == [("STATE_CHANGED", base, 3), ("ASSIGNED", top, 4)]
