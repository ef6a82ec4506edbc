"""Who may write which layer. What a caller may not see answers like what does not exist, byte for byte."""

from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import (
    ERRORS,
    admin_of,
    assign,
    create_company,
    register,
    set_company_config,
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


@dataclass(frozen=True)
class Tenant:
    """An organization that has the module, and two companies of it."""

    module: str
    organization: str
    mine: str
    other: str


async def tenant(platform: Platform, module: str) -> Tenant:
    organization = await sign_up(platform)
    await assign(platform, organization, module)
    companies = [await create_company(platform, organization) for _ in range(2)]
    return Tenant(module, organization, *companies)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def twins(platform: Platform) -> tuple[Tenant, Tenant]:
    """Two tenants that nobody's refused write may change; each has used the key `used`."""
    module = await register(platform, unique("free"))
    one, two = await tenant(platform, module), await tenant(platform, module)
    for each in (one, two):
        await set_company_config(platform, each.other, module, {"a": 1}, idempotencyKey="used")
    return one, two


async def test_a_company_admin_writes_its_own_company(platform: Platform) -> None:
    own = await tenant(platform, await register(platform, unique("free")))
    bearer = token(Role.COMPANY_ADMIN, organization=own.organization, company=own.mine)
    payload = await set_company_config(platform, own.mine, own.module, {"a": 1}, token=bearer)
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
async def test_a_company_that_is_not_the_callers_is_like_none(
    platform: Platform, twins: tuple[Tenant, Tenant], more: dict[str, Any]
) -> None:
    own, strange = twins
    before = [await state_of(platform, each.organization) for each in twins]
    bearer = token(Role.COMPANY_ADMIN, organization=own.organization, company=own.mine)
    answers = set()
    for company in (UNKNOWN, own.other, strange.mine):
        given = {"companyId": company, "module": own.module, "value": {"b": 2}, **more}
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
    assert [await state_of(platform, each.organization) for each in twins] == before


@pytest.mark.parametrize(
    "more",
    [{"module": "hr"}, {"value": []}, {"idempotencyKey": ""}, {"idempotencyKey": "used"}, {"expectedRevision": 0}, {}],
)
async def test_an_organization_that_is_not_the_callers_is_like_none(
    platform: Platform, twins: tuple[Tenant, Tenant], more: dict[str, Any]
) -> None:
    own, strange = twins
    before = await state_of(platform, strange.organization)
    answers = set()
    for wanted in (UNKNOWN, strange.organization, "00000000-0000-0000-0000-000000000000"):
        given = {"organizationId": wanted, "module": own.module, "value": {"b": 2}, **more}
        response = await platform.post(SET_ORGANIZATION, {"input": given}, token=admin_of(own.organization))
        answers.add((response.status_code, response.text.replace(wanted, UNKNOWN)))
    assert len(answers) == 1
    assert f'"__typename":"NotFoundError","message":"no organization {UNKNOWN}"' in answers.pop()[1]
    assert await state_of(platform, strange.organization) == before


async def test_an_organizations_admin_writes_every_company_of_it_and_no_other(
    platform: Platform, twins: tuple[Tenant, Tenant]
) -> None:
    own = await tenant(platform, twins[0].module)
    bearer = admin_of(own.organization)
    for company in (own.mine, own.other):
        assert (await set_company_config(platform, company, own.module, {"a": 1}, token=bearer))["errors"] == []
    refused = await set_company_config(platform, twins[0].mine, own.module, {"a": 1}, token=bearer)
    assert [each["__typename"] for each in refused["errors"]] == ["NotFoundError"]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MODULE, Role.COMPANY_ADMIN])
async def test_others_may_not_write_tier_2(platform: Platform, twins: tuple[Tenant, Tenant], role: Role) -> None:
    own = twins[0]
    before = await state_of(platform, own.organization)
    bearer = token(role, organization=own.organization, company=own.mine)
    given = {"organizationId": own.organization, "module": own.module, "value": {"a": 1}}
    assert await platform.code(SET_ORGANIZATION, {"input": given}, token=bearer) == "FORBIDDEN"
    assert await state_of(platform, own.organization) == before


@pytest.mark.parametrize("role", [Role.MEMBER, Role.MODULE])
@pytest.mark.parametrize("is_bound", [True, False])
async def test_members_and_modules_may_not_write_tier_3(
    platform: Platform, twins: tuple[Tenant, Tenant], role: Role, *, is_bound: bool
) -> None:
    own = twins[0]
    before = await state_of(platform, own.organization)
    bearer = token(role, organization=own.organization, company=own.mine if is_bound else None)
    given = {"companyId": own.mine, "module": own.module, "value": {"a": 1}}
    assert await platform.code(SET_COMPANY, {"input": given}, token=bearer) == "FORBIDDEN"
    assert await state_of(platform, own.organization) == before
