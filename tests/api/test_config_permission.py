"""Who may write which layer. What a caller may not see answers like what does not exist, byte for byte."""

import pytest

from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import (
    ERRORS,
    admin_of,
    assign,
    create_company,
    register,
    set_company_config,
    set_config,
    sign_up,
    state_of,
    unique,
)

UNKNOWN = "0198f7a0-0000-7000-8000-000000000000"
SET_ORGANIZATION = (
    "mutation($input: SetOrganizationConfigInput!) { setOrganizationConfig(input: $input) {"
    f" effectiveConfig {{ values }} revision {ERRORS} }} }}"
)
SET_COMPANY = (
    "mutation($input: SetCompanyConfigInput!) { setCompanyConfig(input: $input) {"
    f" effectiveConfig {{ values }} revision {ERRORS} }} }}"
)


async def tenant(platform: Platform, code: str) -> tuple[str, str, str]:
    """An organization that has the module, and two companies of it."""
    organization = await sign_up(platform)
    await assign(platform, organization, code)
    return organization, await create_company(platform, organization), await create_company(platform, organization)


async def test_a_company_admin_writes_its_own_company(platform: Platform) -> None:
    code = await register(platform, unique("free"))
    organization, mine, _ = await tenant(platform, code)
    bearer = token(Role.COMPANY_ADMIN, organization=organization, company=mine)
    payload = await set_company_config(platform, mine, code, {"a": 1}, token=bearer)
    assert payload == {"effectiveConfig": {"values": {"a": 1}, "revision": 5}, "revision": 5, "errors": []}


@pytest.mark.parametrize(
    "more",
    [
        {"module": "hr"},
        {"module": "no-such"},
        {"value": "no object"},
        {"idempotencyKey": ""},
        {"idempotencyKey": "used"},
        {"expectedRevision": 0},
        {"dryRun": True},
        {},
    ],
)
async def test_a_company_that_is_not_the_callers_is_like_none(platform: Platform, more: dict[str, object]) -> None:
    code = await register(platform, unique("free"))
    organization, mine, other = await tenant(platform, code)
    stranger, strange, _ = await tenant(platform, code)
    await set_company_config(platform, other, code, {"a": 1}, idempotencyKey="used")
    before = await state_of(platform, organization), await state_of(platform, stranger)
    bearer = token(Role.COMPANY_ADMIN, organization=organization, company=mine)
    answers = set()
    for company in (UNKNOWN, other, strange):
        given = {"companyId": company, "module": code, "value": {"b": 2}, **more}
        response = await platform.post(SET_COMPANY, {"input": given}, token=bearer)
        answers.add((response.status_code, response.text.replace(company, UNKNOWN)))
    assert answers == {
        (
            200,
            '{"data":{"setCompanyConfig":{"effectiveConfig":null,"revision":null,"errors":['
            f'{{"__typename":"NotFoundError","message":"no company {UNKNOWN}","code":"NOT_FOUND",'
            '"path":["input","companyId"],"pointer":null}]}}}',
        )
    }
    assert (await state_of(platform, organization), await state_of(platform, stranger)) == before


@pytest.mark.parametrize(
    "more",
    [{"module": "hr"}, {"value": []}, {"idempotencyKey": ""}, {"idempotencyKey": "used"}, {"expectedRevision": 0}, {}],
)
async def test_an_organization_that_is_not_the_callers_is_like_none(
    platform: Platform, more: dict[str, object]
) -> None:
    code = await register(platform, unique("free"))
    organization, _, _ = await tenant(platform, code)
    stranger, _, _ = await tenant(platform, code)
    await set_config(platform, stranger, code, {"a": 1}, idempotencyKey="used")
    before = await state_of(platform, stranger)
    answers = set()
    for wanted in (UNKNOWN, stranger, "00000000-0000-0000-0000-000000000000"):
        given = {"organizationId": wanted, "module": code, "value": {"b": 2}, **more}
        response = await platform.post(SET_ORGANIZATION, {"input": given}, token=admin_of(organization))
        answers.add((response.status_code, response.text.replace(wanted, UNKNOWN)))
    assert len(answers) == 1
    assert f'"__typename":"NotFoundError","message":"no organization {UNKNOWN}"' in answers.pop()[1]
    assert await state_of(platform, stranger) == before


async def test_an_organizations_admin_writes_every_company_of_it_and_no_other(platform: Platform) -> None:
    code = await register(platform, unique("free"))
    organization, one, two = await tenant(platform, code)
    _, strange, _ = await tenant(platform, code)
    bearer = admin_of(organization)
    for company in (one, two):
        assert (await set_company_config(platform, company, code, {"a": 1}, token=bearer))["errors"] == []
    refused = await set_company_config(platform, strange, code, {"a": 1}, token=bearer)
    assert [each["__typename"] for each in refused["errors"]] == ["NotFoundError"]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MODULE, Role.COMPANY_ADMIN])
async def test_others_may_not_write_tier_2(platform: Platform, role: Role) -> None:
    code = await register(platform, unique("free"))
    organization, company, _ = await tenant(platform, code)
    before = await state_of(platform, organization)
    bearer = token(role, organization=organization, company=company)
    given = {"organizationId": organization, "module": code, "value": {"a": 1}}
    assert await platform.code(SET_ORGANIZATION, {"input": given}, token=bearer) == "FORBIDDEN"
    assert await state_of(platform, organization) == before


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MODULE])
async def test_members_and_modules_may_not_write_tier_3(platform: Platform, role: Role) -> None:
    code = await register(platform, unique("free"))
    organization, company, _ = await tenant(platform, code)
    before = await state_of(platform, organization)
    for bearer in (token(role, organization=organization, company=company), token(role, organization=organization)):
        given = {"companyId": company, "module": code, "value": {"a": 1}}
        assert await platform.code(SET_COMPANY, {"input": given}, token=bearer) == "FORBIDDEN"
    assert await state_of(platform, organization) == before
