"""The same request under the same key is done once, however often and from however many places it is sent."""

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from tests.support.platform import Platform
from tests.support.stories import (
    ERRORS,
    assign,
    events_of,
    register,
    set_config,
    sign_up,
    state_of,
    unassign,
    unique,
)

CREATE_COMPANY = (
    f"mutation($input: CreateCompanyInput!) {{ createCompany(input: $input) {{ company {{ id }} revision {ERRORS} }} }}"
)
SIGN_UP = (
    "mutation($input: SignUpOrganizationInput!) { signUpOrganization(input: $input) {"
    f" organization {{ id name }} revision {ERRORS} }} }}"
)


async def test_sent_again_it_gets_the_same_answer_and_one_event(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    first = await assign(platform, organization, top, idempotencyKey="k", config={"a": 1, "b": 2})
    assert (first["errors"], first["revision"], len(first["affected"])) == ([], 3, 2)
    before = await state_of(platform, organization)
    assert await assign(platform, organization, top, idempotencyKey="k", config={"b": 2, "a": 1}) == first
    assert await state_of(platform, organization) == before


async def test_the_answer_stays_the_same_after_later_changes(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code)
    first = await unassign(platform, organization, code, idempotencyKey="k")
    await assign(platform, organization, code)
    before = await state_of(platform, organization)
    assert await unassign(platform, organization, code, idempotencyKey="k") == first
    assert await state_of(platform, organization) == before


async def test_fifty_at_once_with_one_key_have_one_effect(platform: Platform) -> None:
    organization = await sign_up(platform)
    given = {"organizationId": organization, "name": "The one", "idempotencyKey": "k"}
    responses = await asyncio.gather(*(platform.post(CREATE_COMPANY, {"input": given}) for _ in range(50)))
    assert {each.status_code for each in responses} == {200}
    answers = {each.text for each in responses}
    assert len(answers) == 1
    payload = responses[0].json()["data"]["createCompany"]
    assert (payload["errors"], payload["revision"]) == ([], 2)
    events = await events_of(platform, organization)
    assert [each["companyId"] for each in events] == [None, payload["company"]["id"]]


async def test_fifty_sign_ups_at_once_with_one_key_make_one_organization(platform: Platform) -> None:
    name = unique("Signed up once")
    given = {"name": name, "industryCode": "tech", "idempotencyKey": unique("key")}
    responses = await asyncio.gather(*(platform.post(SIGN_UP, {"input": given}) for _ in range(50)))
    assert len({each.text for each in responses}) == 1
    payload = responses[0].json()["data"]["signUpOrganization"]
    assert payload["errors"] == []
    query = "query($name: String!) { organizations(filter: { search: $name }) { nodes { id } totalCount } }"
    found = (await platform.data(query, {"name": name}))["organizations"]
    assert found == {"nodes": [{"id": payload["organization"]["id"]}], "totalCount": 1}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def done(platform: Platform) -> tuple[str, dict[str, Any]]:
    """An organization, and the assignment to it that was done under a key."""
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    given: dict[str, Any] = {"module": code, "config": {"a": 1}, "idempotencyKey": "k"}
    assert (await assign(platform, organization, **given))["errors"] == []
    return organization, given


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"a": 2}},
        {"config": None},
        {"activate": False},
        {"version": "1.0.0"},
        {"module": "hr"},
        {"expectedRevision": 2},
    ],
)
async def test_another_body_under_the_same_key_is_refused(
    platform: Platform, done: tuple[str, dict[str, Any]], other: dict[str, Any]
) -> None:
    organization, given = done
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, **{**given, **other})
    assert payload["errors"] == [
        {
            "__typename": "IdempotencyConflictError",
            "message": "this idempotencyKey was used with another input; take a new key",
            "code": "IDEMPOTENCY_KEY_REUSED",
            "path": ["input", "idempotencyKey"],
            "pointer": None,
        }
    ]
    assert (payload["assignments"], payload["affected"], payload["revision"]) == ([], [], None)
    assert await state_of(platform, organization) == before


async def test_another_mutation_under_the_same_key_is_refused(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code, idempotencyKey="k")
    before = await state_of(platform, organization)
    for payload in (
        await unassign(platform, organization, code, idempotencyKey="k"),
        await set_config(platform, organization, code, {"a": 1}, idempotencyKey="k"),
    ):
        assert [each["__typename"] for each in payload["errors"]] == ["IdempotencyConflictError"]
    assert await state_of(platform, organization) == before


async def test_a_refused_request_does_not_use_up_its_key(platform: Platform) -> None:
    organization, code = await sign_up(platform), unique("later")
    refused = await assign(platform, organization, code, idempotencyKey="k")
    assert [each["__typename"] for each in refused["errors"]] == ["NotFoundError"]
    await register(platform, code)
    assert (await assign(platform, organization, code, idempotencyKey="k"))["errors"] == []
    assert [each["type"] for each in await events_of(platform, organization)] == ["ORGANIZATION_CREATED", "ASSIGNED"]


async def test_a_dry_run_does_not_use_up_its_key(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code, idempotencyKey="k", dryRun=True)
    assert (await assign(platform, organization, code, idempotencyKey="k"))["revision"] == 2


async def test_a_success_that_changed_nothing_uses_up_its_key(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code, config={"a": 1})
    first = await set_config(platform, organization, code, {"a": 1}, idempotencyKey="k")
    assert (first["errors"], first["revision"]) == ([], 2)
    payload = await set_config(platform, organization, code, {"a": 2}, idempotencyKey="k")
    assert [each["__typename"] for each in payload["errors"]] == ["IdempotencyConflictError"]


async def test_keys_are_per_organization(platform: Platform) -> None:
    code = await register(platform, unique("free"))
    for organization in (await sign_up(platform), await sign_up(platform)):
        payload = await assign(platform, organization, code, idempotencyKey="shared")
        assert (payload["errors"], payload["revision"]) == ([], 2)


@pytest.mark.parametrize("key", ["", "x" * 201, "x" * 100_000])
async def test_a_key_has_its_bounds(platform: Platform, key: str) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, code, idempotencyKey=key)
    assert [(each["__typename"], each["path"]) for each in payload["errors"]] == [
        ("InvalidInputError", ["input", "idempotencyKey"])
    ]
    assert await state_of(platform, organization) == before


@pytest.mark.parametrize("key", ["x", "x" * 200, "ключ ✓ 🔑", "'; DROP TABLE x; --", " "])
async def test_any_text_within_them_is_a_key(platform: Platform, key: str) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    first = await assign(platform, organization, code, idempotencyKey=key)
    assert first["errors"] == []
    assert await assign(platform, organization, code, idempotencyKey=key) == first
