"""Putting an industry's template on an organization: all of it or nothing, below what the tenant says."""

from typing import Any

from tests.support.platform import Platform
from tests.support.stories import (
    ERRORS,
    admin_of,
    assign,
    create_company,
    effective_config,
    events_of,
    module_codes,
    organization_revision,
    register,
    set_company_config,
    set_config,
    sign_up,
    state_of,
    unassign,
    unique,
)

APPLY = (
    "mutation($input: ApplyIndustryTemplateInput!) { payload: applyIndustryTemplate(input: $input) {"
    " assignments { module { code } isRequired dependencyOf { code } revision }"
    " affected { action module cause organizationId }"
    f" revision {ERRORS} }} }}"
)
CREATE = f"mutation($input: CreateIndustryInput!) {{ payload: createIndustry(input: $input) {{ {ERRORS} }} }}"
UPDATE = f"mutation($input: UpdateIndustryInput!) {{ payload: updateIndustry(input: $input) {{ {ERRORS} }} }}"
# either both or none: only the merged whole can break it
PAIR = {
    "type": "object",
    "properties": {"user": {"type": "string"}, "secret": {"type": "string"}},
    "dependentRequired": {"user": ["secret"]},
}


async def create_industry(platform: Platform, *modules: dict[str, Any]) -> str:
    code = unique("industry")
    payload = (await platform.data(CREATE, {"input": {"code": code, "name": code, "modules": modules}}))["payload"]
    assert payload["errors"] == []
    return code


async def change_industry(platform: Platform, code: str, *modules: dict[str, Any]) -> None:
    payload = (await platform.data(UPDATE, {"input": {"code": code, "modules": modules}}))["payload"]
    assert payload["errors"] == []


async def apply(platform: Platform, organization: str, industry: str, **more: Any) -> Any:
    as_token = more.pop("token", "")
    variables = {"input": {"organizationId": organization, "industryCode": industry, **more}}
    return (await platform.data(APPLY, variables, token=as_token))["payload"]


async def test_a_template_is_assigned_as_a_whole_with_one_event(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    other = await register(platform, unique("other"))
    industry = await create_industry(platform, {"module": top, "isRequired": True}, {"module": other})
    organization = await sign_up(platform)
    payload = await apply(platform, organization, industry, token=admin_of(organization))
    assert (payload["errors"], payload["revision"]) == ([], 2)
    affected = [(each["action"], each["module"], each["cause"]) for each in payload["affected"]]
    assert affected.index(("ASSIGN", base, "DEPENDENCY_OF")) < affected.index(("ASSIGN", top, "INDUSTRY"))
    assert ("ASSIGN", other, "INDUSTRY") in affected
    assert len(affected) == 3
    shown = {each["module"]["code"]: each["isRequired"] for each in payload["assignments"]}
    assert (shown[top], shown[other]) == (True, False)
    events = await events_of(platform, organization)
    assert [(each["type"], each["revision"]) for each in events] == [
        ("ORGANIZATION_CREATED", 1),
        ("INDUSTRY_APPLIED", 2),
    ]
    assert sorted(events[1]["payload"]["modules"]) == sorted([base, top, other])
    assert await module_codes(platform, organization) == sorted([base, top, other])


async def test_a_module_beyond_the_plan_refuses_the_whole_template(platform: Platform) -> None:
    fine = await register(platform, unique("fine"))
    gated = await register(platform, unique("gated"), subscription_tier="premium")
    industry = await create_industry(platform, {"module": fine}, {"module": gated})
    organization = await sign_up(platform)
    before = await state_of(platform, organization)
    for dry_run in (True, False):
        payload = await apply(platform, organization, industry, dryRun=dry_run)
        assert payload["errors"] == [
            {
                "__typename": "EntitlementError",
                "message": f"module {gated} needs the plan premium; the organization has free",
                "code": "ENTITLEMENT",
                "path": ["input", "industryCode"],
                "pointer": None,
            }
        ]
        assert (payload["assignments"], payload["affected"], payload["revision"]) == ([], [], None)
    assert await state_of(platform, organization) == before


async def test_applied_again_it_changes_nothing(platform: Platform) -> None:
    organization = await sign_up(platform)
    first = await apply(platform, organization, "tech")
    before = await state_of(platform, organization)
    again = await apply(platform, organization, "tech")
    assert (again["errors"], again["affected"], again["revision"]) == ([], [], 2)
    assert again["assignments"] == first["assignments"]
    assert await state_of(platform, organization) == before


async def test_an_unknown_industry_is_not_found(platform: Platform) -> None:
    organization = await sign_up(platform)
    before = await state_of(platform, organization)
    inactive = await create_industry(platform, {"module": "hr"})
    await platform.data(UPDATE, {"input": {"code": inactive, "isActive": False}})
    for code in ("no-such", "", inactive):
        payload = await apply(platform, organization, code)
        assert [(each["__typename"], each["message"], each["path"]) for each in payload["errors"]] == [
            ("NotFoundError", f"no industry '{code}'", ["input", "industryCode"])
        ]
    assert await state_of(platform, organization) == before


async def test_its_config_is_a_layer_between_the_defaults_and_the_tenants(platform: Platform) -> None:
    defaults = {"currency": "USD", "terms": 30, "tags": ["a"]}
    code = await register(platform, unique("ledger"), configuration={"defaults": defaults})
    industry = await create_industry(
        platform, {"module": code, "defaultConfig": {"currency": "EUR", "terms": 14, "tags": []}}
    )
    organization = await sign_up(platform, industry=industry)
    await set_config(platform, organization, code, {"terms": 7})
    fields = "values leaves { pointer value layer setBy reason shadowed { layer value } }"
    found = await effective_config(platform, organization, code, fields=fields)
    assert found["values"] == {"currency": "EUR", "terms": 7, "tags": []}
    by_industry = {"layer": "INDUSTRY", "setBy": "tester", "reason": f"industry:{industry}"}
    assert found["leaves"][0] == {
        "pointer": "/currency",
        "value": "EUR",
        **by_industry,
        "shadowed": [{"layer": "MODULE", "value": "USD"}],
    }
    assert found["leaves"][2]["shadowed"] == [{"layer": "INDUSTRY", "value": 14}, {"layer": "MODULE", "value": 30}]
    assert [each["layer"] for each in found["leaves"]] == ["INDUSTRY", "INDUSTRY", "ORGANIZATION"]


async def test_a_changed_template_reaches_an_organization_when_applied_and_overwrites_nothing(
    platform: Platform,
) -> None:
    code = await register(platform, unique("ledger"), configuration={"defaults": {"currency": "USD", "terms": 30}})
    industry = await create_industry(platform, {"module": code, "defaultConfig": {"currency": "EUR", "on": 1}})
    organization = await sign_up(platform, industry=industry)
    await set_config(platform, organization, code, {"currency": "CHF"})
    changed = {"module": code, "isRequired": True, "defaultConfig": {"currency": "GBP", "terms": 14, "on": True}}
    added = await register(platform, unique("added"))
    await change_industry(platform, industry, changed, {"module": added})
    kept = {"currency": "CHF", "terms": 30, "on": 1}
    assert (await effective_config(platform, organization, code))["values"] == kept
    payload = await apply(platform, organization, industry)
    assert sorted((each["action"], each["module"], each["cause"]) for each in payload["affected"]) == [
        ("ASSIGN", added, "INDUSTRY"),
        ("UPDATE", code, "INDUSTRY"),
    ]
    found = await effective_config(platform, organization, code)
    assert found == {"values": {"currency": "CHF", "terms": 14, "on": True}, "revision": payload["revision"]}
    events = await events_of(platform, organization)
    assert (events[-1]["type"], events[-1]["revision"]) == ("INDUSTRY_APPLIED", payload["revision"])


async def test_one_becomes_true_in_a_changed_template(platform: Platform) -> None:
    code = await register(platform, unique("ledger"))
    industry = await create_industry(platform, {"module": code, "defaultConfig": {"on": 1}})
    organization = await sign_up(platform, industry=industry)
    await change_industry(platform, industry, {"module": code, "defaultConfig": {"on": True}})
    assert [each["action"] for each in (await apply(platform, organization, industry))["affected"]] == ["UPDATE"]
    assert (await effective_config(platform, organization, code))["values"] == {"on": True}


async def test_a_module_that_left_the_template_stays_with_the_organization(platform: Platform) -> None:
    one, two = await register(platform, unique("one")), await register(platform, unique("two"))
    industry = await create_industry(platform, {"module": one}, {"module": two})
    organization = await sign_up(platform, industry=industry)
    await change_industry(platform, industry, {"module": one})
    assert (await apply(platform, organization, industry))["affected"] == []
    assert await module_codes(platform, organization) == sorted([one, two])


async def test_a_module_that_was_taken_away_comes_back_only_when_applied(platform: Platform) -> None:
    organization = await sign_up(platform, industry="tech")
    await unassign(platform, organization, "hr")
    assert "hr" not in await module_codes(platform, organization)
    payload = await apply(platform, organization, "tech")
    assert [(each["action"], each["module"]) for each in payload["affected"]] == [("ASSIGN", "hr")]


async def test_a_template_that_would_break_the_tenants_config_is_refused(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), configuration={"defaults": {"secret": "s"}, "schema": PAIR})
    industry = await create_industry(platform, {"module": code})
    organization = await sign_up(platform, industry=industry)
    company = await create_company(platform, organization)
    free = await register(platform, unique("free"), configuration={"defaults": {}, "schema": PAIR})
    other = await create_industry(platform, {"module": free, "defaultConfig": {"secret": "of the template"}})
    await apply(platform, organization, other)
    await set_company_config(platform, company, free, {"user": "me"})
    await change_industry(platform, other, {"module": free, "defaultConfig": {}}, {"module": code})
    before = await state_of(platform, organization)
    payload = await apply(platform, organization, other)
    assert [(each["__typename"], each["path"], each["pointer"], each["message"]) for each in payload["errors"]] == [
        (
            "ConfigValidationError",
            ["input", "industryCode"],
            "/secret",
            f"{free}: with what company {company} sets: /secret is required.",
        )
    ]
    assert await state_of(platform, organization) == before


async def test_the_template_of_another_tenant_is_nobodys_business(platform: Platform) -> None:
    organization, stranger = await sign_up(platform), await sign_up(platform)
    payload = await apply(platform, organization, "tech", token=admin_of(stranger))
    assert [(each["__typename"], each["message"]) for each in payload["errors"]] == [
        ("NotFoundError", f"no organization {organization}")
    ]
    assert await organization_revision(platform, organization) == 1


async def test_a_module_that_was_assigned_before_keeps_its_config_over_the_templates(platform: Platform) -> None:
    code = await register(platform, unique("ledger"))
    industry = await create_industry(platform, {"module": code, "defaultConfig": {"a": 1, "b": 1}, "isRequired": True})
    organization = await sign_up(platform)
    await assign(platform, organization, code, config={"a": 2})
    payload = await apply(platform, organization, industry)
    assert [(each["action"], each["module"]) for each in payload["affected"]] == [("UPDATE", code)]
    assert payload["assignments"] == [
        {"module": {"code": code}, "isRequired": True, "dependencyOf": [], "revision": payload["revision"]}
    ]
    assert (await effective_config(platform, organization, code))["values"] == {"a": 2, "b": 1}


async def test_an_industry_leaf_keeps_its_origin(platform: Platform) -> None:
    code = await register(platform, unique("ledger"), configuration={"defaults": {"currency": "USD"}})
    industry = await create_industry(platform, {"module": code, "defaultConfig": {"currency": "EUR"}})
    organization = await sign_up(platform, industry=industry)
    await set_config(platform, organization, code, {"terms": 7})
    fields = "leaves { pointer layer revision setBy reason }"
    leaves = (await effective_config(platform, organization, code, fields=fields))["leaves"]
    reason = f"industry:{industry}"
    assert leaves[0] == {
        "pointer": "/currency",
        "layer": "INDUSTRY",
        "revision": 2,
        "setBy": "tester",
        "reason": reason,
    }
