"""What a module's schema keeps out of its configurations, layer by layer and merged."""

from typing import Any

import pytest
import pytest_asyncio

from tests.support.platform import Platform
from tests.support.stories import (
    assign,
    create_company,
    effective_config,
    register,
    set_company_config,
    set_config,
    sign_up,
    state_of,
    unique,
)

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "mode": {"enum": ["test", "live"]},
        "key": {"type": "string", "minLength": 3},
        "low": {"type": "integer"},
        "high": {"type": "integer"},
        "mail": {"type": "object", "properties": {"ports": {"type": "array", "items": {"type": "integer"}}}},
    },
    "if": {"properties": {"mode": {"const": "live"}}, "required": ["mode"]},
    "then": {"required": ["key"]},
}
ERROR = "errors { __typename code message path pointer ... on ConfigValidationError { layer companyId } }"
SET_ORGANIZATION = (
    "mutation($input: SetOrganizationConfigInput!) { payload: setOrganizationConfig(input: $input) {"
    f" effectiveConfig {{ revision }} revision {ERROR} }} }}"
)
SET_COMPANY = (
    "mutation($input: SetCompanyConfigInput!) { payload: setCompanyConfig(input: $input) {"
    f" effectiveConfig {{ revision }} revision {ERROR} }} }}"
)


async def organization_with_module(platform: Platform) -> tuple[str, str, str]:
    """An organization, its company, and a module in test mode."""
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    code = await register(platform, unique("strict"), configuration={"defaults": {"mode": "test"}, "schema": SCHEMA})
    await assign(platform, organization, code)
    return organization, company, code


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def untouched(platform: Platform) -> tuple[str, str, str]:
    """For the tests whose writes are all refused."""
    return await organization_with_module(platform)


async def refused(platform: Platform, query: str, **given: Any) -> list[Any]:
    """The errors of a write that is refused, their messages aside."""
    payload = (await platform.data(query, {"input": given}))["payload"]
    assert (payload["effectiveConfig"], payload["revision"]) == (None, None)
    return [{key: value for key, value in each.items() if key != "message"} for each in payload["errors"]]


def invalid(pointer: str, layer: str | None, company: str | None = None) -> dict[str, Any]:
    return {
        "__typename": "ConfigValidationError",
        "code": "CONFIG_INVALID",
        "path": ["input", "value"],
        "pointer": pointer,
        "layer": layer,
        "companyId": company,
    }


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({"low": "1"}, ["/low"]),
        ({"low": 1.5}, ["/low"]),
        ({"low": None, "high": True}, ["/high", "/low"]),
        ({"mode": "LIVE"}, ["/mode"]),
        ({"unknown": 1}, ["/unknown"]),
        ({"un/kn~own": 1}, ["/un~1kn~0own"]),
        ({"mail": {"ports": [25, "587", None]}}, ["/mail/ports/1", "/mail/ports/2"]),
        ({"mail": []}, ["/mail"]),
    ],
)
async def test_a_wrong_value_is_named_with_its_layer(
    platform: Platform, untouched: tuple[str, str, str], value: dict[str, Any], pointers: list[str]
) -> None:
    organization, company, code = untouched
    before = await state_of(platform, organization)
    given = {"module": code, "value": value, "write": "REPLACE"}
    found = await refused(platform, SET_ORGANIZATION, organizationId=organization, **given)
    assert found == [invalid(pointer, "ORGANIZATION") for pointer in pointers]
    found = await refused(platform, SET_COMPANY, companyId=company, **given)
    assert found == [invalid(pointer, "COMPANY") for pointer in pointers]
    assert await state_of(platform, organization) == before


async def test_a_layer_that_fits_may_still_break_the_whole(platform: Platform) -> None:
    organization, company, code = await organization_with_module(platform)
    before = await state_of(platform, organization)
    given = {"module": code, "value": {"mode": "live"}}
    assert await refused(platform, SET_ORGANIZATION, organizationId=organization, **given) == [invalid("/key", None)]
    assert await refused(platform, SET_COMPANY, companyId=company, **given) == [invalid("/key", None)]
    assert await state_of(platform, organization) == before
    both = {"mode": "live", "key": "secret"}
    assert (await set_config(platform, organization, code, both))["effectiveConfig"]["values"] == both


async def test_a_layer_may_lack_what_the_one_below_gives(platform: Platform) -> None:
    organization, company, code = await organization_with_module(platform)
    assert (await set_config(platform, organization, code, {"key": "secret"}))["errors"] == []
    assert (await set_company_config(platform, company, code, {"mode": "live"}))["errors"] == []
    found = await effective_config(platform, organization, code, company)
    assert found["values"] == {"mode": "live", "key": "secret"}


async def test_tier_2_may_not_break_a_company(platform: Platform) -> None:
    organization, company, code = await organization_with_module(platform)
    await create_company(platform, organization)
    await set_config(platform, organization, code, {"key": "secret"})
    await set_company_config(platform, company, code, {"mode": "live"})
    before = await state_of(platform, organization)
    given = {"organizationId": organization, "module": code, "value": {"key": None}}
    payload = (await platform.data(SET_ORGANIZATION, {"input": given}))["payload"]
    (error,) = payload["errors"]
    assert error.pop("message") == f"with what company {company} sets: /key is required."
    assert error == invalid("/key", "COMPANY", company)
    dry = (await platform.data(SET_ORGANIZATION, {"input": {**given, "dryRun": True}}))["payload"]
    assert [each["companyId"] for each in dry["errors"]] == [company]
    assert await state_of(platform, organization) == before


async def test_a_module_without_a_schema_takes_any_object(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code)
    value = {"any": [None, {"thing": 1.5}], "ü": "✓", "": 0}
    assert (await set_config(platform, organization, code, value, write="REPLACE"))["errors"] == []
    assert (await effective_config(platform, organization, code))["values"] == value


@pytest.mark.parametrize("module", ["no-such-module", "hr", "", "HR", "x" * 200])
async def test_a_module_that_the_organization_has_not_got(
    platform: Platform, untouched: tuple[str, str, str], module: str
) -> None:
    organization, company, _ = untouched
    before = await state_of(platform, organization)
    given = {"module": module, "value": {}}
    expected = {"__typename": "NotFoundError", "code": "NOT_FOUND", "path": ["input", "module"], "pointer": None}
    assert await refused(platform, SET_ORGANIZATION, organizationId=organization, **given) == [expected]
    assert await refused(platform, SET_COMPANY, companyId=company, **given) == [expected]
    assert await state_of(platform, organization) == before
