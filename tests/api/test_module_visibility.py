"""Who sees which module: INTERNAL ones nobody but administrators, SHARED and PRIVATE ones those that have them."""

from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import (
    admin_of,
    assign,
    change_module,
    create_company,
    events_about,
    events_of,
    find_module,
    module_codes,
    organization_revision,
    register,
    set_config,
    sign_up,
    unassign,
    unique,
)
from tests.support.stream import messages_of


@dataclass(frozen=True)
class Stage:
    """An organization with a public module, and with an INTERNAL one that needs it and that another needs."""

    organization: str
    public: str
    internal: str
    industry: str
    tokens: tuple[str, ...]  # of everybody in the organization


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(platform: Platform) -> Stage:
    public = await register(platform, unique("public"))
    internal = await register(platform, unique("internal"), tier="INTERNAL", requires=[public])
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    await assign(platform, organization, public)
    await assign(platform, organization, internal)
    await set_config(platform, organization, internal, {"secret": 1})
    query = """mutation($input: CreateIndustryInput!) { createIndustry(input: $input) { errors { message } } }"""
    industry = unique("trade")
    modules = [{"module": internal}, {"module": public}]
    made = await platform.data(query, {"input": {"code": industry, "name": industry, "modules": modules}})
    assert made["createIndustry"]["errors"] == []
    tokens = (
        admin_of(organization),
        token(Role.MEMBER, organization=organization),
        token(Role.MODULE, organization=organization),
        token(Role.COMPANY_ADMIN, organization=organization, company=company),
    )
    return Stage(organization, public, internal, industry, tokens)


READS = """query($code: String!, $public: String!, $organization: ID!, $industry: String!) {
  module(code: $code) { code }
  modules(filter: { search: $code }) { nodes { code } totalCount }
  all: modules(first: 200) { nodes { code } }
  tier: modules(filter: { tier: INTERNAL }) { nodes { code } totalCount }
  public: module(code: $public) { dependents { code } all: dependents(transitive: true) { code } }
  organization(id: $organization) {
    modules { module { code } dependencyOf { code } } module(code: $code) { state }
    effectiveConfig(module: $code) { values } effectiveConfigs { module { code } } }
  effectiveConfig(organizationId: $organization, module: $code) { values }
  industry(code: $industry) { modules { module { code } } }
  events(organizationId: $organization, first: 200) { nodes { moduleCode payload } }
  about: events(moduleCode: $code) { nodes { type } } }"""


def variables_of(stage: Stage) -> dict[str, Any]:
    return {
        "code": stage.internal,
        "public": stage.public,
        "organization": stage.organization,
        "industry": stage.industry,
    }


async def test_an_internal_module_is_in_no_answer_to_a_tenant(platform: Platform, stage: Stage) -> None:
    for reader in stage.tokens:
        response = await platform.post(READS, variables_of(stage), token=reader)
        assert "errors" not in response.json()
        assert stage.internal not in response.text
        data = response.json()["data"]
        assert data["module"] is None
        assert data["modules"] == {"nodes": [], "totalCount": 0}
        assert data["tier"] == {"nodes": [], "totalCount": 0}
        assert data["public"] == {"dependents": [], "all": []}
        assert [each["module"]["code"] for each in data["organization"]["modules"]] == [stage.public]
        assert (data["organization"]["module"], data["organization"]["effectiveConfig"]) == (None, None)
        assert data["effectiveConfig"] is None
        assert [each["module"]["code"] for each in data["industry"]["modules"]] == [stage.public]
        assert data["about"]["nodes"] == []


async def test_an_administrator_sees_it_everywhere(platform: Platform, stage: Stage) -> None:
    data = await platform.data(READS, variables_of(stage))
    assert data["module"] == {"code": stage.internal}
    assert data["modules"] == {"nodes": [{"code": stage.internal}], "totalCount": 1}
    assert data["public"] == {"dependents": [{"code": stage.internal}], "all": [{"code": stage.internal}]}
    assert [each["module"]["code"] for each in data["organization"]["modules"]] == [stage.internal, stage.public]
    assert data["effectiveConfig"] == {"values": {"secret": 1}}
    assert [each["module"]["code"] for each in data["industry"]["modules"]] == [stage.internal, stage.public]
    assert [each["type"] for each in data["about"]["nodes"]] == [
        "REGISTERED",
        "ASSIGNED",
        "CONFIG_UPDATED",
        "INDUSTRY_CREATED",
    ]


async def test_anonymous_callers_do_not_see_it_in_an_industry(platform: Platform, stage: Stage) -> None:
    query = "query($code: String!) { industry(code: $code) { modules { module { code } } } }"
    data = await platform.data(query, {"code": stage.industry}, token=None)
    assert data["industry"]["modules"] == [{"module": {"code": stage.public}}]


async def test_a_dependency_that_is_internal_is_not_named(platform: Platform, stage: Stage) -> None:
    top = await register(platform, unique("top"), requires=[stage.internal])
    fields = "dependencies { module { code } } all: dependencies(transitive: true) { module { code } }"
    seen = await find_module(platform, top, fields, as_token=stage.tokens[0])
    assert seen == {"dependencies": [], "all": [{"module": {"code": stage.public}}]}


async def test_bulk_events_show_a_tenant_only_what_it_may_see(platform: Platform, stage: Stage) -> None:
    organization = await sign_up(platform, industry=stage.industry)
    admin = admin_of(organization)
    query = "{ events(first: 200) { nodes { type revision payload } } }"
    (created, applied) = (await platform.data(query, token=admin))["events"]["nodes"]
    assert (created["type"], created["revision"]) == ("ORGANIZATION_CREATED", 1)
    assert (applied["type"], applied["revision"]) == ("INDUSTRY_APPLIED", 2)
    assert applied["payload"]["modules"] == [stage.public]
    assert [each["module"] for each in applied["payload"]["assignments"]] == [stage.public]
    assert await events_about(platform, stage.internal, as_token=admin) == []
    assert [each["type"] for each in await events_about(platform, stage.public, as_token=admin)] == ["INDUSTRY_APPLIED"]


async def test_a_page_of_events_leads_on_although_all_of_it_is_hidden(platform: Platform, stage: Stage) -> None:
    organization = await sign_up(platform)
    await assign(platform, organization, stage.internal)
    await assign(platform, organization, "hr")
    query = """query($after: String) { events(first: 1, after: $after) {
      nodes { revision moduleCode } pageInfo { hasNextPage endCursor } } }"""
    seen: list[Any] = []
    after, more, pages = None, True, 0
    while more and pages < 10:
        page = (await platform.data(query, {"after": after}, token=admin_of(organization)))["events"]
        seen += page["nodes"]
        pages, after, more = pages + 1, page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert seen == [
        {"revision": 1, "moduleCode": None},
        {"revision": 2, "moduleCode": stage.public},
        {"revision": 4, "moduleCode": "hr"},
    ]


async def test_a_subscription_passes_over_internal_modules(platform: Platform, stage: Stage) -> None:
    organization = await sign_up(platform)
    await assign(platform, organization, stage.internal)
    await assign(platform, organization, "hr")
    query = """subscription($code: String) { moduleEvents(after: "v1:0", moduleCode: $code) {
      revision moduleCode module { code } payload } }"""
    messages = await messages_of(platform, query, {"code": None}, token=admin_of(organization), limit=3)
    assert stage.internal not in str(messages)
    events = [each["payload"]["data"]["moduleEvents"] for each in messages]
    assert [(each["revision"], each["moduleCode"]) for each in events] == [(1, None), (2, stage.public), (4, "hr")]
    (seen,) = await messages_of(platform, query, {"code": stage.internal}, limit=1)
    assert seen["payload"]["data"]["moduleEvents"]["module"] == {"code": stage.internal}


@pytest.mark.parametrize("change", ["assign", "unassign"])
async def test_a_tenant_can_not_tell_an_internal_module_from_none(
    platform: Platform, stage: Stage, change: str
) -> None:
    before = await organization_revision(platform, stage.organization)
    call = {"assign": assign, "unassign": unassign}[change]
    told = await call(platform, stage.organization, stage.internal, token=stage.tokens[0])
    unknown = await call(platform, stage.organization, "no-such", token=stage.tokens[0])
    assert [each["__typename"] for each in told["errors"]] == ["NotFoundError"]
    assert str(told).replace(stage.internal, "no-such") == str(unknown)
    assert await organization_revision(platform, stage.organization) == before


@pytest.mark.parametrize("more", [{}, {"dryRun": True}])
async def test_what_a_mutation_did_to_internal_modules_is_not_told(
    platform: Platform, stage: Stage, more: dict[str, Any]
) -> None:
    top = await register(platform, unique("top"), requires=[stage.internal])
    organization = await sign_up(platform)
    admin = admin_of(organization)
    given = await assign(platform, organization, top, token=admin, **more)
    assert given["errors"] == []
    assert [each["module"]["code"] for each in given["assignments"]] == sorted([stage.public, top])
    assert [each["module"] for each in given["affected"]] == [stage.public, top]
    await assign(platform, organization, top)
    taken = await unassign(platform, organization, stage.public, token=admin, **more)
    assert taken["errors"] == []
    assert [each["module"] for each in taken["affected"]] == [top, stage.public]


@pytest.mark.parametrize("visibility", ["PRIVATE", "SHARED"])
async def test_an_unshared_module_is_seen_by_those_that_have_it(platform: Platform, visibility: str) -> None:
    code = await register(platform, unique("own"), visibility=visibility)
    owner, other = await sign_up(platform), await sign_up(platform)
    await assign(platform, owner, code)
    listed = "query($code: String!) { modules(filter: { search: $code }) { nodes { code } totalCount } }"
    for reader, sees in ((admin_of(owner), True), (admin_of(other), False), ("", True)):
        found = await find_module(platform, code, as_token=reader)
        assert found == ({"code": code} if sees else None)
        page = (await platform.data(listed, {"code": code}, token=reader))["modules"]
        assert page == {"nodes": [{"code": code}] if sees else [], "totalCount": int(sees)}
    assert await module_codes(platform, owner, as_token=admin_of(owner)) == [code]


@pytest.mark.parametrize("visibility", ["PRIVATE", "SHARED"])
async def test_a_tenant_does_not_take_an_unshared_module(platform: Platform, visibility: str) -> None:
    code, organization = await register(platform, unique("own"), visibility=visibility), await sign_up(platform)
    query = """mutation($input: AssignModuleInput!) { assignModule(input: $input) { assignments { version }
      revision affected { module } errors { __typename message code path pointer } } }"""
    answers = []
    for module in (code, "no-such"):
        variables = {"input": {"organizationId": organization, "module": module}}
        answers.append(await platform.post(query, variables, token=admin_of(organization)))
    told, unknown = answers
    assert told.json()["data"]["assignModule"]["errors"][0]["__typename"] == "NotFoundError"
    assert told.content.replace(code.encode(), b"no-such") == unknown.content
    assert told.status_code == unknown.status_code
    assert await organization_revision(platform, organization) == 1
    await change_module(platform, "deactivateModule", code)
    again = await assign(platform, organization, code, token=admin_of(organization))
    assert [each["__typename"] for each in again["errors"]] == ["NotFoundError"]
    await change_module(platform, "activateModule", code)
    assert (await assign(platform, organization, code))["errors"] == []
    assert [each["type"] for each in await events_of(platform, organization)] == ["ORGANIZATION_CREATED", "ASSIGNED"]


async def test_a_refusal_does_not_name_an_internal_module(platform: Platform, stage: Stage) -> None:
    organization = await sign_up(platform)
    await assign(platform, organization, stage.internal)
    refused = await unassign(platform, organization, stage.public, cascade="REFUSE", token=admin_of(organization))
    assert [each["__typename"] for each in refused["errors"]] == ["DependencyError"]
    assert stage.internal not in str(refused)
    assert "(an internal module)" in refused["errors"][0]["message"]
