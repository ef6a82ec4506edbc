"""Registering modules and versions of them."""

from typing import Any

import pytest

from tests.support.platform import Platform
from tests.support.stories import (
    events_about,
    find_module,
    manifest,
    platform_revision,
    register,
    try_register,
    unique,
)

VERSIONS = "latestVersion { number } versions { nodes { number } }"


async def numbers_of(platform: Platform, code: str) -> tuple[str, list[str]]:
    """The latest version, and all of them as listed."""
    module = await find_module(platform, code, VERSIONS)
    return module["latestVersion"]["number"], [each["number"] for each in module["versions"]["nodes"]]


async def assert_refused(platform: Platform, document: Any, errors: list[dict[str, Any]], **more: Any) -> None:
    """The registration is refused with exactly these errors, their messages aside, and nothing happened."""
    before = await platform_revision(platform)
    payload = await try_register(platform, document, **more)
    found = [{key: value for key, value in each.items() if key != "message"} for each in payload["errors"]]
    assert found == errors
    assert (payload["module"], payload["revision"], payload["affected"]) == (None, None, [])
    assert await platform_revision(platform) == before


async def test_a_new_code_makes_a_module(platform: Platform) -> None:
    code = unique("ledger")
    document = manifest(
        code,
        display_name="The Ledger",
        description="Books.",
        category="Accounting",
        tags=["books", "money"],
        metadata={"icon": "book"},
        service_name="ledger-service",
        api_endpoint="/api/v1/ledger",
        permissions=[f"{code}:read"],
        features=["export"],
        configuration={
            "defaults": {"currency": "USD"},
            "schema": {"type": "object", "properties": {"currency": {"type": "string"}}},
        },
    )
    before = await platform_revision(platform)
    payload = await try_register(platform, document, visibility="SHARED")
    assert payload == {
        "module": {
            "code": code,
            "tier": "OPTIONAL",
            "visibility": "SHARED",
            "revision": before + 1,
            "latestVersion": {"number": "1.0.0"},
        },
        "revision": before + 1,
        "affected": [],
        "errors": [],
    }
    fields = (
        "name description category tags metadata serviceName apiEndpoint isActive latestVersion {"
        " number manifest configSchema defaultConfig permissions features requiredPlan module { code } }"
    )
    assert await find_module(platform, code, fields) == {
        "name": "The Ledger",
        "description": "Books.",
        "category": "Accounting",
        "tags": ["books", "money"],
        "metadata": {"icon": "book"},
        "serviceName": "ledger-service",
        "apiEndpoint": "/api/v1/ledger",
        "isActive": True,
        "latestVersion": {
            "number": "1.0.0",
            "manifest": document,
            "configSchema": document["configuration"]["schema"],
            "defaultConfig": {"currency": "USD"},
            "permissions": [f"{code}:read"],
            "features": ["export"],
            "requiredPlan": "free",
            "module": {"code": code},
        },
    }


async def test_a_registration_is_one_event_with_the_state_after_it(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), description="Books.")
    revision = await platform_revision(platform)
    (event,) = await events_about(platform, code)
    assert (event["type"], event["organizationId"], event["revision"]) == ("REGISTERED", None, revision)
    assert event["payload"]["module"]["code"] == code
    assert event["payload"]["module"]["description"] == "Books."
    assert event["payload"]["module"]["is_active"] is True
    assert event["payload"]["module"]["revision"] == revision
    assert event["payload"]["version"]["number"] == "1.0.0"
    assert event["payload"]["version"]["manifest"] == manifest(code, description="Books.")


async def test_a_new_version_becomes_the_latest(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), "1.9.0", description="Old.")
    before = await platform_revision(platform)
    payload = await try_register(platform, manifest(code, "1.10.0", description="New.", tags=["fresh"]))
    assert payload["errors"] == []
    assert payload["revision"] == payload["module"]["revision"] == before + 1
    assert payload["module"]["latestVersion"] == {"number": "1.10.0"}
    assert await numbers_of(platform, code) == ("1.10.0", ["1.10.0", "1.9.0"])
    assert await find_module(platform, code, "description tags") == {"description": "New.", "tags": ["fresh"]}
    events = await events_about(platform, code)
    assert [each["type"] for each in events] == ["REGISTERED", "REGISTERED"]
    assert events[-1]["payload"]["version"]["number"] == "1.10.0"


async def test_the_same_version_with_the_same_content_changes_nothing(platform: Platform) -> None:
    code = unique("ledger")
    document = manifest(code, metadata={"icon": "book", "color": "red"}, tags=["a", "b"])
    first = await try_register(platform, document)
    await register(platform, unique("other"))
    reordered = {key: document[key] for key in reversed(document)}
    reordered["metadata"] = {"color": "red", "icon": "book"}
    assert list(reordered) != list(document)
    before = await platform_revision(platform)
    for again in (document, reordered):
        payload = await try_register(platform, again)
        assert payload["errors"] == []
        assert payload["module"] == first["module"]
        assert payload["affected"] == []
        assert payload["revision"] == before
    assert await platform_revision(platform) == before
    assert len(await events_about(platform, code)) == 1


@pytest.mark.parametrize(
    "change", [{"tags": ["b", "a"]}, {"description": "Other."}, {"unknown_key": 1}, {"metadata": {"size": 1.5}}]
)
async def test_the_same_version_with_another_content_is_refused(platform: Platform, change: dict[str, Any]) -> None:
    code = await register(platform, unique("ledger"), tags=["a", "b"], metadata={"size": 1})
    document = manifest(code, **{"tags": ["a", "b"], "metadata": {"size": 1}, **change})
    error = {
        "__typename": "AlreadyExistsError",
        "code": "ALREADY_EXISTS",
        "path": ["input", "manifest"],
        "pointer": "/version",
    }
    await assert_refused(platform, document, [error])
    assert (await find_module(platform, code, "tags"))["tags"] == ["a", "b"]


async def test_an_older_version_does_not_become_the_latest(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), "2.0.0", description="Two.")
    before = await platform_revision(platform)
    payload = await try_register(platform, manifest(code, "1.5.0", description="One and a half."))
    assert payload["errors"] == []
    assert payload["revision"] == before + 1
    assert payload["module"]["latestVersion"] == {"number": "2.0.0"}
    assert await numbers_of(platform, code) == ("2.0.0", ["2.0.0", "1.5.0"])
    assert await find_module(platform, code, "description") == {"description": "Two."}


async def test_a_prerelease_is_the_latest_only_while_there_is_nothing_stable(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), "1.0.0-beta.2")
    assert (await numbers_of(platform, code))[0] == "1.0.0-beta.2"
    await register(platform, code, "1.0.0-beta.10")
    assert (await numbers_of(platform, code))[0] == "1.0.0-beta.10"
    await register(platform, code, "0.9.0", description="Stable.")
    await register(platform, code, "2.0.0-rc.1", description="Not yet.")
    latest, listed = await numbers_of(platform, code)
    assert latest == "0.9.0"
    assert sorted(listed) == ["0.9.0", "1.0.0-beta.10", "1.0.0-beta.2", "2.0.0-rc.1"]
    assert await find_module(platform, code, "description") == {"description": "Stable."}


async def test_a_new_version_does_not_change_tier_or_visibility(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), visibility="SHARED")
    document = manifest(code, "2.0.0")
    refused = {"__typename": "InvalidInputError", "code": "INVALID_INPUT", "pointer": None}
    await assert_refused(platform, document, [{**refused, "path": ["input", "tier"]}], tier="INTERNAL")
    await assert_refused(platform, document, [{**refused, "path": ["input", "visibility"]}], visibility="PUBLIC")
    payload = await try_register(platform, document, tier="OPTIONAL", visibility="SHARED")
    assert payload["errors"] == []
    assert (payload["module"]["tier"], payload["module"]["visibility"]) == ("OPTIONAL", "SHARED")


async def test_the_manifest_says_the_tier_and_the_input_overrules_it(platform: Platform) -> None:
    said = await try_register(platform, manifest(unique("tiered"), is_internal=True))
    assert said["module"]["tier"] == "INTERNAL"
    overruled = await try_register(platform, manifest(unique("tiered"), is_internal=True), tier="OPTIONAL")
    assert overruled["module"]["tier"] == "OPTIONAL"


async def test_versions_are_paged_newest_first(platform: Platform) -> None:
    code = unique("ledger")
    for number in ("1.0.0", "1.2.0", "1.10.0", "2.0.0", "1.1.0"):
        await register(platform, code, number)
    query = """query($code: String!, $after: String) { module(code: $code) { versions(first: 2, after: $after) {
      nodes { number } pageInfo { hasNextPage endCursor } } } }"""
    pages: list[list[str]] = []
    after, more = None, True
    while more:
        page = (await platform.data(query, {"code": code, "after": after}))["module"]["versions"]
        pages.append([each["number"] for each in page["nodes"]])
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert pages == [["2.0.0", "1.10.0"], ["1.2.0", "1.1.0"], ["1.0.0"]]
