"""Deleting modules: refused while in use, or taken out of everywhere; and coming back."""

from typing import Any

from tests.support.platform import Platform
from tests.support.stories import (
    admin_of,
    assign,
    change_module,
    events_about,
    events_of,
    find_module,
    manifest,
    module_codes,
    organization_revision,
    platform_revision,
    register,
    sign_up,
    try_register,
    unique,
)

CREATE_INDUSTRY = """mutation($input: CreateIndustryInput!) { createIndustry(input: $input) {
  industry { code } errors { __typename message } } }"""
INDUSTRY = "query($code: String!) { industry(code: $code) { modules { module { code } } } }"


async def create_industry(platform: Platform, *modules: str) -> str:
    code = unique("trade")
    variables = {"input": {"code": code, "name": code, "modules": [{"module": each} for each in modules]}}
    payload = (await platform.data(CREATE_INDUSTRY, variables))["createIndustry"]
    assert payload["errors"] == []
    return code


async def industry_codes(platform: Platform, industry: str) -> list[str]:
    modules = (await platform.data(INDUSTRY, {"code": industry}))["industry"]["modules"]
    return [each["module"]["code"] for each in modules]


def step(action: str, module: str, cause: str, organization: str | None = None) -> dict[str, Any]:
    return {"action": action, "module": module, "organizationId": organization, "cause": cause}


async def assert_refused(platform: Platform, code: str, *, chain: list[str], says: str) -> None:
    """The deletion is refused for what depends on the module, and nothing changed."""
    before = await platform_revision(platform)
    payload = await change_module(platform, "deleteModule", code)
    (error,) = payload["errors"]
    assert (payload["module"], payload["revision"], payload["affected"]) == (None, None, [])
    assert (error["__typename"], error["path"], error["chain"]) == ("DependencyError", ["input", "code"], chain)
    assert says in error["message"]
    assert await find_module(platform, code, "isActive") == {"isActive": True}
    assert await platform_revision(platform) == before


async def test_an_unused_module_is_deleted(platform: Platform) -> None:
    code = await register(platform, unique("unused"))
    before = await platform_revision(platform)
    payload = await change_module(platform, "deleteModule", code)
    assert payload == {
        "module": None,
        "revision": before + 1,
        "affected": [step("DELETE", code, "REQUESTED")],
        "errors": [],
    }
    event = (await events_about(platform, code))[-1]
    assert (event["type"], event["organizationId"], event["revision"]) == ("DELETED", None, before + 1)
    assert (event["payload"]["module"]["is_deleted"], event["payload"]["module"]["is_active"]) == (True, False)


async def test_a_deleted_module_is_nowhere_to_be_seen(platform: Platform) -> None:
    code, user = await register(platform, unique("unused")), await sign_up(platform)
    await change_module(platform, "deleteModule", code)
    assert await find_module(platform, code) is None
    listed = "query($code: String!) { modules(filter: { search: $code }) { nodes { code } totalCount } }"
    assert (await platform.data(listed, {"code": code}))["modules"] == {"nodes": [], "totalCount": 0}
    for token in ("", admin_of(user)):
        (error,) = (await assign(platform, user, code, token=token))["errors"]
        assert (error["__typename"], error["path"]) == ("NotFoundError", ["input", "module"])
    again = await change_module(platform, "deleteModule", code)
    assert [each["__typename"] for each in again["errors"]] == ["NotFoundError"]


async def test_an_assigned_module_is_refused(platform: Platform) -> None:
    code, user = await register(platform, unique("used")), await sign_up(platform)
    await assign(platform, user, code)
    await assert_refused(platform, code, chain=[code], says="1 organizations have it")
    assert await module_codes(platform, user) == [code]
    assert await organization_revision(platform, user) == 2


async def test_a_needed_module_is_refused(platform: Platform) -> None:
    code = await register(platform, unique("used"))
    needy = await register(platform, unique("needy"), requires=[code])
    await assert_refused(platform, code, chain=[code, needy], says=f"{needy} need it")


async def test_a_module_of_a_template_is_refused(platform: Platform) -> None:
    code = await register(platform, unique("used"))
    industry = await create_industry(platform, "crm", code)
    await assert_refused(platform, code, chain=[code], says="1 industries list it")
    assert await industry_codes(platform, industry) == ["crm", code]


async def test_a_deleted_template_holds_nothing(platform: Platform) -> None:
    code = await register(platform, unique("used"))
    industry = await create_industry(platform, code)
    deletion = "mutation($input: IndustryRefInput!) { deleteIndustry(input: $input) { errors { message } } }"
    await platform.data(deletion, {"input": {"code": industry}})
    assert (await change_module(platform, "deleteModule", code))["errors"] == []


async def test_a_cascade_takes_it_away_everywhere(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    needy = await register(platform, unique("needy"), requires=[base])
    industry = await create_industry(platform, "crm", base, needy)
    both, one = sorted([await sign_up(platform) for _ in range(2)])
    await assign(platform, both, needy)
    await assign(platform, one, base)
    before = await platform_revision(platform)
    dry = await change_module(platform, "deleteModule", base, cascade="AUTO", dryRun=True)
    assert await platform_revision(platform) == before
    assert await module_codes(platform, both) == sorted([base, needy])
    assert await industry_codes(platform, industry) == ["crm", base, needy]
    payload = await change_module(platform, "deleteModule", base, cascade="AUTO")
    assert payload["errors"] == dry["errors"] == []
    assert payload["affected"] == dry["affected"]
    assert payload["affected"] == [
        step("UNASSIGN", needy, "DEPENDENT_OF", both),
        step("UNASSIGN", base, "REQUESTED", both),
        step("UNASSIGN", base, "REQUESTED", one),
        step("DEACTIVATE", needy, "DEPENDENT_OF"),
        step("DELETE", base, "REQUESTED"),
    ]
    # needy is switched off, base deleted, and the industry has lost a module
    assert (dry["revision"], payload["revision"]) == (before, before + 3)
    about = [each for each in await events_about(platform, needy) if each["type"] == "INDUSTRY_UPDATED"]
    assert [each["revision"] for each in about] == [before + 3]
    assert await module_codes(platform, both) == await module_codes(platform, one) == []
    assert await industry_codes(platform, industry) == ["crm", needy]
    assert await find_module(platform, needy, "isActive") == {"isActive": False}


async def test_a_cascade_is_told_in_every_stream(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    needy = await register(platform, unique("needy"), requires=[base])
    user = await sign_up(platform)
    await assign(platform, user, needy)
    await change_module(platform, "deleteModule", base, cascade="AUTO")
    events = await events_of(platform, user)
    assert [(each["type"], each["moduleCode"], each["revision"]) for each in events] == [
        ("ORGANIZATION_CREATED", None, 1),
        ("ASSIGNED", base, 2),
        ("ASSIGNED", needy, 3),
        ("UNASSIGNED", needy, 4),
        ("UNASSIGNED", base, 5),
    ]
    registry = [each for each in await events_about(platform, base) if each["organizationId"] is None]
    assert [each["type"] for each in registry] == ["REGISTERED", "DELETED"]
    registry = [each for each in await events_about(platform, needy) if each["organizationId"] is None]
    assert [each["type"] for each in registry] == ["REGISTERED", "DEACTIVATED"]


async def test_a_higher_version_revives_a_deleted_module(platform: Platform) -> None:
    code, user = await register(platform, unique("phoenix"), "1.0.0", visibility="PRIVATE"), await sign_up(platform)
    await change_module(platform, "deleteModule", code)
    before = await platform_revision(platform)
    same = await try_register(platform, manifest(code, "1.0.0"))
    (error,) = same["errors"]
    assert (error["__typename"], error["path"], error["pointer"]) == (
        "AlreadyExistsError",
        ["input", "manifest"],
        "/version",
    )
    assert await find_module(platform, code) is None
    assert await platform_revision(platform) == before
    payload = await try_register(platform, manifest(code, "1.1.0"), tier="INTERNAL")
    assert payload["errors"] == []
    assert payload["module"]["tier"] == "INTERNAL"
    assert payload["module"]["visibility"] == "PUBLIC"
    found = await find_module(platform, code, "isActive latestVersion { number } versions { nodes { number } }")
    assert found == {
        "isActive": True,
        "latestVersion": {"number": "1.1.0"},
        "versions": {"nodes": [{"number": "1.1.0"}, {"number": "1.0.0"}]},
    }
    assert (await assign(platform, user, code))["errors"] == []
