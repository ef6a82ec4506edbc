"""What an organization's plan lets it have."""

import pytest

from tests.support.platform import Platform
from tests.support.stories import admin_of, assign, module_codes, register, sign_up, state_of, unique

ASSIGN = """mutation($input: AssignModuleInput!) { assignModule(input: $input) { revision
  errors { __typename code path pointer message ... on EntitlementError { requiredPlan } } } }"""
CHANGE_PLAN = """mutation($input: UpdateOrganizationInput!) { updateOrganization(input: $input) {
  organization { plan } errors { __typename } } }"""


@pytest.mark.parametrize(
    ("plan", "required", "is_refused"),
    [
        ("free", "standard", True),
        ("standard", "premium", True),
        ("premium", "enterprise", True),
        ("premium", "premium", False),
        ("enterprise", "premium", False),
        ("free", "free", False),
    ],
)
async def test_a_plan_includes_those_below_it(
    platform: Platform, plan: str, required: str, *, is_refused: bool
) -> None:
    organization = await sign_up(platform, plan=plan)
    code = await register(platform, unique("gated"), subscription_tier=required)
    variables = {"input": {"organizationId": organization, "module": code}}
    payload = (await platform.data(ASSIGN, variables, token=admin_of(organization)))["assignModule"]
    expected = {
        "__typename": "EntitlementError",
        "code": "ENTITLEMENT",
        "path": ["input", "module"],
        "pointer": None,
        "message": f"module {code} needs the plan {required}; the organization has {plan}",
        "requiredPlan": required,
    }
    assert payload == {"revision": None if is_refused else 2, "errors": [expected] if is_refused else []}
    assert await module_codes(platform, organization) == ([] if is_refused else [code])


async def test_a_dependency_beyond_the_plan_refuses_the_whole(platform: Platform) -> None:
    organization = await sign_up(platform)
    gated = await register(platform, unique("gated"), subscription_tier="premium")
    open_to_all = await register(platform, unique("open"), requires=[gated])
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, open_to_all)
    (error,) = payload["errors"]
    assert (error["__typename"], error["path"]) == ("EntitlementError", ["input", "module"])
    assert error["message"] == f"module {gated} needs the plan premium; the organization has free"
    assert await state_of(platform, organization) == before


async def test_a_higher_plan_opens_the_module(platform: Platform) -> None:
    organization = await sign_up(platform)
    code = await register(platform, unique("gated"), subscription_tier="premium")
    assert (await assign(platform, organization, code))["errors"] != []
    await platform.data(CHANGE_PLAN, {"input": {"organizationId": organization, "plan": "premium"}})
    assert (await assign(platform, organization, code))["errors"] == []


async def test_activating_asks_the_plan_of_today(platform: Platform) -> None:
    organization = await sign_up(platform, plan="premium")
    code = await register(platform, unique("gated"), subscription_tier="premium")
    await assign(platform, organization, code, activate=False)
    await platform.data(CHANGE_PLAN, {"input": {"organizationId": organization, "plan": "free"}})
    before = await state_of(platform, organization)
    payload = await assign(platform, organization, code)
    assert [(each["__typename"], each["path"]) for each in payload["errors"]] == [
        ("EntitlementError", ["input", "module"])
    ]
    assert await state_of(platform, organization) == before
