"""Industry templates: creating, changing and deleting them, and who sees them."""

from typing import Any

import pytest

from tests.support.platform import Platform
from tests.support.stories import (
    admin_of,
    change_module,
    module_codes,
    organization_revision,
    platform_revision,
    register,
    sign_up,
    unique,
)

FIELDS = """code name description isActive revision
  modules { module { code } isRequired defaultConfig displayOrder }"""
ERRORS = "errors { __typename message path pointer ... on RevisionConflictError { currentRevision } }"


async def change(platform: Platform, mutation: str, **fields: Any) -> Any:
    """The payload of createIndustry, updateIndustry or deleteIndustry."""
    kind = {"createIndustry": "CreateIndustry", "updateIndustry": "UpdateIndustry", "deleteIndustry": "IndustryRef"}
    query = (
        f"mutation($input: {kind[mutation]}Input!) {{ {mutation}(input: $input) {{"
        f" industry {{ {FIELDS} }} revision {ERRORS} }} }}"
    )
    return (await platform.data(query, {"input": fields}))[mutation]


async def create(platform: Platform, *modules: Any, **fields: Any) -> str:
    """Create an industry of these modules, each a code or an input, and return its code."""
    code = unique("trade")
    items = [{"module": each} if isinstance(each, str) else each for each in modules]
    payload = await change(platform, "createIndustry", **{"code": code, "name": code, "modules": items, **fields})
    assert payload["errors"] == []
    return code


async def read(platform: Platform, code: str, *, token: str | None = "") -> Any:
    query = f"query($code: String!) {{ industry(code: $code) {{ {FIELDS} }} }}"
    return (await platform.data(query, {"code": code}, token=token))["industry"]


async def codes_of(platform: Platform, code: str) -> list[str]:
    return [each["module"]["code"] for each in (await read(platform, code))["modules"]]


async def assert_refused(platform: Platform, mutation: str, errors: list[tuple[Any, ...]], **fields: Any) -> None:
    """Refused with exactly these errors (type, path, pointer), and nothing happened."""
    before = await platform_revision(platform)
    payload = await change(platform, mutation, **fields)
    assert [(each["__typename"], each["path"], each["pointer"]) for each in payload["errors"]] == errors
    assert (payload["industry"], payload["revision"]) == (None, None)
    assert await platform_revision(platform) == before


async def test_a_new_industry_is_its_modules_in_order(platform: Platform) -> None:
    before, code = await platform_revision(platform), unique("trade")
    schemed = await register(
        platform,
        unique("schemed"),
        configuration={"schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    )
    modules = [
        {"module": "hr", "displayOrder": 7},
        {"module": schemed, "displayOrder": 2, "isRequired": True, "defaultConfig": {"size": 3}},
        {"module": "crm", "displayOrder": 7},
    ]
    payload = await change(
        platform, "createIndustry", code=code, name=f" {code} ", description="A trade.", modules=modules
    )
    assert payload["errors"] == []
    assert payload["revision"] == before + 2
    assert payload["industry"] == {
        "code": code,
        "name": code,
        "description": "A trade.",
        "isActive": True,
        "revision": before + 2,
        "modules": [
            {"module": {"code": schemed}, "isRequired": True, "defaultConfig": {"size": 3}, "displayOrder": 2},
            {"module": {"code": "crm"}, "isRequired": False, "defaultConfig": {}, "displayOrder": 7},
            {"module": {"code": "hr"}, "isRequired": False, "defaultConfig": {}, "displayOrder": 7},
        ],
    }
    assert await read(platform, code) == payload["industry"]


async def test_without_an_order_the_modules_stand_as_listed(platform: Platform) -> None:
    code = await create(platform, "projects", "crm", "hr")
    assert await codes_of(platform, code) == ["projects", "crm", "hr"]
    assert [each["displayOrder"] for each in (await read(platform, code))["modules"]] == [0, 1, 2]


async def test_an_industry_may_be_empty(platform: Platform) -> None:
    assert await codes_of(platform, await create(platform)) == []


async def test_each_bad_module_is_named_by_its_place(platform: Platform) -> None:
    off = await register(platform, unique("off"))
    await change_module(platform, "deactivateModule", off)
    schemed = await register(
        platform,
        unique("schemed"),
        configuration={"schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    )
    code = unique("trade")
    modules = [
        {"module": "crm"},
        {"module": "no-such"},
        {"module": off},
        {"module": "crm"},
        {"module": schemed, "defaultConfig": {"size": "big"}},
        {"module": "hr", "defaultConfig": ["no", "object"]},
    ]
    errors: list[tuple[Any, ...]] = [
        ("NotFoundError", ["input", "modules", "1", "module"], None),
        ("StateTransitionError", ["input", "modules", "2", "module"], None),
        ("InvalidInputError", ["input", "modules", "3", "module"], None),
        ("ConfigValidationError", ["input", "modules", "4", "defaultConfig"], "/size"),
        ("InvalidInputError", ["input", "modules", "5", "defaultConfig"], ""),
    ]
    await assert_refused(platform, "createIndustry", errors, code=code, name=code, modules=modules)
    assert await read(platform, code) is None
    existing = await create(platform, "hr")
    await assert_refused(platform, "updateIndustry", errors, code=existing, modules=modules)
    assert await codes_of(platform, existing) == ["hr"]


@pytest.mark.parametrize("code", ["", "a", "Upper", "under_score", "1st", "a" * 64])
async def test_a_code_is_a_slug(platform: Platform, code: str) -> None:
    errors = [("InvalidInputError", ["input", "code"], None)]
    await assert_refused(platform, "createIndustry", errors, code=code, name=unique("trade"), modules=[])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
async def test_a_name_is_one_line(platform: Platform, name: str) -> None:
    errors = [("InvalidInputError", ["input", "name"], None)]
    await assert_refused(platform, "createIndustry", errors, code=unique("trade"), name=name, modules=[])
    await assert_refused(platform, "updateIndustry", errors, code="tech", name=name)


async def test_code_and_name_are_taken_once(platform: Platform) -> None:
    code, other = await create(platform, name=unique("Taken")), await create(platform)
    name = (await read(platform, code))["name"]
    by_code = [("AlreadyExistsError", ["input", "code"], None)]
    by_name = [("AlreadyExistsError", ["input", "name"], None)]
    await assert_refused(platform, "createIndustry", by_code, code=code, name=unique("trade"), modules=[])
    await assert_refused(platform, "createIndustry", by_name, code=unique("trade"), name=f" {name} ", modules=[])
    await assert_refused(platform, "updateIndustry", by_name, code=other, name=name)
    assert (await change(platform, "updateIndustry", code=code, name=name))["errors"] == []


async def test_an_update_changes_what_is_given(platform: Platform) -> None:
    code = await create(platform, "crm", "hr", description="Old.")
    before = await read(platform, code)
    payload = await change(platform, "updateIndustry", code=code, description="New.")
    assert payload["errors"] == []
    assert payload["industry"] == {**before, "description": "New.", "revision": payload["revision"]}
    assert payload["revision"] == await platform_revision(platform) > before["revision"]
    payload = await change(platform, "updateIndustry", code=code, modules=[{"module": "hr", "isRequired": True}])
    assert payload["industry"]["modules"] == [
        {"module": {"code": "hr"}, "isRequired": True, "defaultConfig": {}, "displayOrder": 0}
    ]
    assert payload["industry"]["description"] == "New."
    assert (await change(platform, "updateIndustry", code=code, modules=[]))["industry"]["modules"] == []


async def test_a_stale_update_is_refused(platform: Platform) -> None:
    code = await create(platform)
    seen = (await read(platform, code))["revision"]
    current = (await change(platform, "updateIndustry", code=code, description="Other."))["revision"]
    errors = [("RevisionConflictError", ["input", "expectedRevision"], None)]
    for mutation in ("updateIndustry", "deleteIndustry"):
        await assert_refused(platform, mutation, errors, code=code, expectedRevision=seen)
    payload = await change(platform, "updateIndustry", code=code, expectedRevision=seen)
    assert [each["currentRevision"] for each in payload["errors"]] == [current]
    assert (await read(platform, code))["description"] == "Other."
    assert (await change(platform, "deleteIndustry", code=code, expectedRevision=current))["errors"] == []


async def test_an_unknown_industry_is_not_found(platform: Platform) -> None:
    for mutation in ("updateIndustry", "deleteIndustry"):
        await assert_refused(platform, mutation, [("NotFoundError", ["input", "code"], None)], code="no-such")


async def test_a_deleted_industry_is_gone_and_its_code_and_name_are_free(platform: Platform) -> None:
    code = await create(platform, "crm", "hr")
    organization = await sign_up(platform, industry=code)
    before = await platform_revision(platform)
    payload = await change(platform, "deleteIndustry", code=code)
    assert (payload["industry"], payload["revision"], payload["errors"]) == (None, before + 1, [])
    assert await read(platform, code) is None
    assert await module_codes(platform, organization) == ["crm", "hr"]
    assert await organization_revision(platform, organization) == 2
    again = await change(platform, "createIndustry", code=code, name=code, modules=[{"module": "projects"}])
    assert again["errors"] == []
    assert await codes_of(platform, code) == ["projects"]


async def test_changes_of_industries_are_events_of_the_platform(platform: Platform) -> None:
    before, code = await platform_revision(platform), await create(platform, "crm")
    await change(platform, "updateIndustry", code=code, isActive=False)
    await change(platform, "deleteIndustry", code=code)
    query = """query($types: [ModuleEventType!]) { events(types: $types, first: 200) {
      nodes { type organizationId revision payload } } }"""
    types = ["INDUSTRY_CREATED", "INDUSTRY_UPDATED", "INDUSTRY_DELETED"]
    found = (await platform.data(query, {"types": types}))["events"]["nodes"]
    mine = [each for each in found if each["payload"]["industry"]["code"] == code]
    assert [(each["type"], each["organizationId"], each["revision"]) for each in mine] == [
        ("INDUSTRY_CREATED", None, before + 1),
        ("INDUSTRY_UPDATED", None, before + 2),
        ("INDUSTRY_DELETED", None, before + 3),
    ]
    states = [each["payload"]["industry"] for each in mine]
    assert [each["is_active"] for each in states] == [True, False, False]
    assert [each["is_deleted"] for each in states] == [False, False, True]
    assert [item["module"] for item in states[1]["modules"]] == ["crm"]


async def test_anybody_sees_active_industries_and_administrators_all(platform: Platform) -> None:
    shown, hidden = await create(platform, "crm"), await create(platform, "crm")
    await change(platform, "updateIndustry", code=hidden, isActive=False)
    member = admin_of(await sign_up(platform))
    query = "{ industries(first: 200) { nodes { code } totalCount } }"
    for token, sees_hidden in ((None, False), (member, False), ("", True)):
        page = (await platform.data(query, token=token))["industries"]
        codes = [each["code"] for each in page["nodes"]]
        assert codes == sorted(codes)
        assert page["totalCount"] == len(codes)
        assert {shown, "tech", "manufacturing"} < set(codes)
        assert (hidden in codes) is sees_hidden
        assert (await read(platform, shown, token=token))["code"] == shown
        assert (await read(platform, hidden, token=token) is not None) is sees_hidden


async def test_an_inactive_industry_is_not_for_signing_up(platform: Platform) -> None:
    code = await create(platform, "crm")
    await change(platform, "updateIndustry", code=code, isActive=False)
    query = """mutation($input: SignUpOrganizationInput!) { signUpOrganization(input: $input) {
      organization { id } errors { __typename path } } }"""
    variables = {"input": {"name": "Nobody", "industryCode": code}}
    expected = {"organization": None, "errors": [{"__typename": "NotFoundError", "path": ["input", "industryCode"]}]}
    assert (await platform.data(query, variables))["signUpOrganization"] == expected
    await change(platform, "updateIndustry", code=code, isActive=True)
    assert (await platform.data(query, variables))["signUpOrganization"]["errors"] == []
