"""Taking a module away from an organization."""

from tests.support.platform import Platform
from tests.support.stories import (
    admin_of,
    assign,
    create_company,
    effective_config,
    events_of,
    module_codes,
    register,
    set_company_config,
    set_config,
    sign_up,
    state_of,
    unassign,
    unique,
)


async def test_unassign_takes_the_module_away_with_one_event(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    await assign(platform, organization, code)
    payload = await unassign(platform, organization, code)
    assert payload == {
        "assignments": [],
        "affected": [{"action": "UNASSIGN", "module": code, "organizationId": organization, "cause": "REQUESTED"}],
        "revision": 3,
        "errors": [],
    }
    assert await module_codes(platform, organization) == []
    events = await events_of(platform, organization)
    assert (events[-1]["type"], events[-1]["moduleCode"], events[-1]["revision"]) == ("UNASSIGNED", code, 3)
    assert await effective_config(platform, organization, code) is None


async def test_unassigned_again_it_is_not_found(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("ledger"))
    await assign(platform, organization, code)
    await unassign(platform, organization, code)
    before = await state_of(platform, organization)
    payload = await unassign(platform, organization, code)
    unknown = unique("unknown")
    assert payload["errors"] == [
        {
            "__typename": "NotFoundError",
            "message": f"no module '{code}'",
            "code": "NOT_FOUND",
            "path": ["input", "module"],
            "pointer": None,
        }
    ]
    never_was = await unassign(platform, organization, unknown)
    assert str(never_was).replace(unknown, code) == str(payload)
    assert await state_of(platform, organization) == before


async def test_what_requires_it_goes_first(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    middle = await register(platform, unique("middle"), requires=[base])
    top = await register(platform, unique("top"), requires=[middle])
    await assign(platform, organization, top)
    payload = await unassign(platform, organization, base, token=admin_of(organization))
    assert [(each["module"], each["cause"]) for each in payload["affected"]] == [
        (top, "DEPENDENT_OF"),
        (middle, "DEPENDENT_OF"),
        (base, "REQUESTED"),
    ]
    events = await events_of(platform, organization)
    assert [(each["type"], each["moduleCode"], each["revision"]) for each in events[4:]] == [
        ("UNASSIGNED", top, 5),
        ("UNASSIGNED", middle, 6),
        ("UNASSIGNED", base, 7),
    ]


async def test_refuse_names_what_requires_it(platform: Platform) -> None:
    organization, base = await sign_up(platform), await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    await assign(platform, organization, top)
    before = await state_of(platform, organization)
    payload = await unassign(platform, organization, base, cascade="REFUSE")
    (error,) = payload["errors"]
    assert (error["__typename"], error["path"]) == ("DependencyError", ["input", "module"])
    assert error["message"] == f"{top} need {base}; take them away first, or use cascade AUTO"
    assert await state_of(platform, organization) == before


async def test_a_module_that_its_industry_requires_goes_only_with_auto(platform: Platform) -> None:
    organization = await sign_up(platform, industry="tech")
    before = await state_of(platform, organization)
    refused = await unassign(platform, organization, "crm", cascade="REFUSE")
    assert [(each["__typename"], each["path"]) for each in refused["errors"]] == [
        ("DependencyError", ["input", "module"])
    ]
    assert await state_of(platform, organization) == before
    assert (await unassign(platform, organization, "crm"))["errors"] == []
    assert await module_codes(platform, organization) == ["finance", "hr", "products", "projects"]


async def test_assigned_anew_it_starts_with_the_defaults(platform: Platform) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    code = await register(platform, unique("ledger"), configuration={"defaults": {"currency": "USD"}})
    await assign(platform, organization, code)
    await set_config(platform, organization, code, {"currency": "EUR"})
    await set_company_config(platform, company, code, {"currency": "CHF"})
    await unassign(platform, organization, code)
    await assign(platform, organization, code)
    assert (await effective_config(platform, organization, code))["values"] == {"currency": "USD"}
    assert (await effective_config(platform, organization, code, company))["values"] == {"currency": "USD"}
