"""Signing up, renaming, companies."""

from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import admin_of, create_company, events_of, module_codes, sign_up

SIGN_UP = """mutation($input: SignUpOrganizationInput!) { signUpOrganization(input: $input) {
  organization { id name plan revision industry { code } modules { module { code } state isRequired } }
  revision errors { __typename message code path } } }"""


async def test_sign_up_with_an_industry(platform: Platform) -> None:
    payload = (await platform.data(SIGN_UP, {"input": {"name": " Acme ", "industryCode": "tech"}}))[
        "signUpOrganization"
    ]
    organization = payload["organization"]
    assert payload["errors"] == []
    assert (organization["name"], organization["plan"]) == ("Acme", "free")
    assert organization["industry"] == {"code": "tech"}
    assert payload["revision"] == organization["revision"] == 2
    codes = [each["module"]["code"] for each in organization["modules"]]
    assert codes == ["crm", "finance", "hr", "products", "projects"]
    assert {each["state"] for each in organization["modules"]} == {"ACTIVE"}
    events = await events_of(platform, organization["id"])
    assert [(each["type"], each["revision"]) for each in events] == [
        ("ORGANIZATION_CREATED", 1),
        ("INDUSTRY_APPLIED", 2),
    ]
    assert sorted(events[1]["payload"]["modules"]) == codes


async def test_sign_up_without_an_industry(platform: Platform) -> None:
    organization = await sign_up(platform)
    assert await module_codes(platform, organization) == []


async def test_a_refused_sign_up_leaves_nothing(platform: Platform) -> None:
    count = "{ organizations { totalCount } }"
    before = await platform.data(count)
    variables = {"input": {"name": "Nobody", "industryCode": "no-such"}}
    payload = (await platform.data(SIGN_UP, variables))["signUpOrganization"]
    assert payload["organization"] is None
    assert payload["revision"] is None
    assert payload["errors"] == [
        {
            "__typename": "NotFoundError",
            "message": "no industry 'no-such'",
            "code": "NOT_FOUND",
            "path": ["input", "industryCode"],
        }
    ]
    assert await platform.data(count) == before


async def test_only_the_platform_changes_a_plan(platform: Platform) -> None:
    organization = await sign_up(platform)
    query = """mutation($input: UpdateOrganizationInput!) { updateOrganization(input: $input) {
      organization { name plan } revision errors { __typename path } } }"""
    variables = {"input": {"organizationId": organization, "plan": "enterprise"}}
    refused = (await platform.data(query, variables, token=admin_of(organization)))["updateOrganization"]
    assert refused["errors"] == [{"__typename": "EntitlementError", "path": ["input", "plan"]}]
    done = (await platform.data(query, variables))["updateOrganization"]
    assert done["organization"]["plan"] == "enterprise"
    variables = {"input": {"organizationId": organization, "name": "Renamed"}}
    renamed = (await platform.data(query, variables, token=admin_of(organization)))["updateOrganization"]
    assert renamed["organization"] == {"name": "Renamed", "plan": "enterprise"}
    assert renamed["revision"] == 3


async def test_companies_are_paged_in_order(platform: Platform) -> None:
    organization = await sign_up(platform)
    made = [await create_company(platform, organization, f"Company {number}") for number in range(5)]
    query = """query($id: ID!, $after: String) { organization(id: $id) { companies(first: 2, after: $after) {
      nodes { id } pageInfo { hasNextPage endCursor } } } }"""
    seen: list[str] = []
    after = None
    for _ in range(3):
        page = (await platform.data(query, {"id": organization, "after": after}))["organization"]["companies"]
        seen += [each["id"] for each in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert seen == made
    assert page["pageInfo"]["hasNextPage"] is False


async def test_a_caller_bound_to_a_company_sees_no_other(platform: Platform) -> None:
    organization = await sign_up(platform)
    mine, other = [await create_company(platform, organization) for _ in range(2)]
    bound = token(Role.COMPANY_ADMIN, organization=organization, company=mine)
    query = (
        "query($a: ID!, $b: ID!, $o: ID!) { a: company(id: $a) { id } b: company(id: $b) { id }"
        " organization(id: $o) { companies { nodes { id } } } }"
    )
    seen = await platform.data(query, {"a": mine, "b": other, "o": organization}, token=bound)
    assert seen["a"] == {"id": mine}
    assert seen["b"] is None
    assert seen["organization"]["companies"]["nodes"] == [{"id": mine}]
