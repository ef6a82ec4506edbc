"""A dry run answers what the real call then does, and changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.platform import Platform
from tests.support.stories import (
    ERRORS,
    assign,
    create_company,
    register,
    set_company_config,
    sign_up,
    state_of,
    unassign,
    unique,
)

APPLY = (
    "mutation($input: ApplyIndustryTemplateInput!) { applyIndustryTemplate(input: $input) {"
    " assignments { module { code } version state config }"
    f" affected {{ action module organizationId cause }} revision {ERRORS} }} }}"
)


async def assert_foretold(
    platform: Platform, organization: str, call: Callable[..., Awaitable[Any]], **more: Any
) -> list[Any]:
    """The dry run changes nothing, the real call does just that; returns what was affected."""
    before = await state_of(platform, organization)
    dry = await call(platform, organization, **more, dryRun=True, idempotencyKey="dry")
    assert await state_of(platform, organization) == before
    assert (dry["errors"], dry["revision"]) == ([], before[0]["revision"])
    real = await call(platform, organization, **more, dryRun=False, idempotencyKey="dry")
    assert real["errors"] == []
    assert real["affected"] == dry["affected"]
    assert _shown(real["assignments"]) == _shown(dry["assignments"])
    assert await state_of(platform, organization) != before
    affected: list[Any] = real["affected"]
    return affected


def _shown(assignments: list[Any]) -> list[Any]:
    """By code, what a dry run can know: it has no revision, and no rows to find dependencies in."""
    fields = ("version", "state", "config")
    return sorted([each["module"]["code"], *(each[field] for field in fields)] for each in assignments)


async def test_of_an_assignment_with_dependencies(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    affected = await assert_foretold(platform, organization, assign, module=top, config={"a": [1]})
    assert [(each["module"], each["cause"]) for each in affected] == [(base, "DEPENDENCY_OF"), (top, "REQUESTED")]


async def test_of_an_activation(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    await assign(platform, organization, code, activate=False)
    affected = await assert_foretold(platform, organization, assign, module=code)
    assert [(each["action"], each["module"]) for each in affected] == [("ACTIVATE", code)]


async def test_of_an_unassignment_with_dependents(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    company = await create_company(platform, organization)
    top = await register(platform, unique("top"), requires=[base])
    await assign(platform, organization, top)
    await set_company_config(platform, company, base, {"a": 1})
    affected = await assert_foretold(platform, organization, unassign, module=base)
    assert [(each["module"], each["cause"]) for each in affected] == [(top, "DEPENDENT_OF"), (base, "REQUESTED")]


async def test_of_an_industry(platform: Platform) -> None:
    async def apply(platform: Platform, organization: str, **more: Any) -> Any:
        variables = {"input": {"organizationId": organization, "industryCode": "tech", **more}}
        return (await platform.data(APPLY, variables))["applyIndustryTemplate"]

    organization = await sign_up(platform)
    await assign(platform, organization, "crm")
    affected = await assert_foretold(platform, organization, apply)
    assert sorted((each["action"], each["module"], each["cause"]) for each in affected) == [
        ("ASSIGN", "finance", "INDUSTRY"),
        ("ASSIGN", "hr", "INDUSTRY"),
        ("ASSIGN", "products", "INDUSTRY"),
        ("ASSIGN", "projects", "INDUSTRY"),
        ("UPDATE", "crm", "INDUSTRY"),
    ]


async def test_refuses_what_the_real_call_refuses(platform: Platform) -> None:
    organization = await sign_up(platform)
    gated = await register(platform, unique("gated"), subscription_tier="premium")
    for refused, more in ((assign, {"module": gated}), (unassign, {"module": gated})):
        dry = await refused(platform, organization, **more, dryRun=True)
        assert dry == await refused(platform, organization, **more)
        assert dry["errors"] != []
