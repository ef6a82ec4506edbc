"""What nobody asked for by id does not come along either: lists, counts, the caller's own view, events."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from auth.actor import Role
from auth.policy import POLICY
from auth.tokens import TOKEN_ROLES
from tests.support.platform import Platform, token
from tests.support.stories import (
    admin_of,
    assign,
    create_company,
    register,
    set_company_config,
    set_config,
    sign_up,
    unique,
)
from tests.tenancy.calls import answer

TENANT_ROLES = (Role.ORGANIZATION_ADMIN, Role.COMPANY_ADMIN, Role.MEMBER, Role.MODULE)
VIEWER = "{ viewer { subject roles organization { id } company { id } } }"
EVENTS = "{ events(first: 200) { nodes { type organizationId companyId revision } } }"


@dataclass(frozen=True)
class Neighbours:
    """A has a private module, secrets and two companies; B has none of it, and a company of its own."""

    a: str
    a_companies: list[str]
    b: str
    b_company: str
    private: str
    public: str

    def bearer(self, role: Role) -> str:
        company = self.b_company if role is Role.COMPANY_ADMIN else None
        return token(role, organization=self.b, company=company)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def neighbours(platform: Platform) -> Neighbours:
    public = await register(platform, unique("shared-by-both"))
    private = await register(platform, unique("confidential"), visibility="PRIVATE", requires={public: "^1"})
    a, b = await sign_up(platform, name="Secretive"), await sign_up(platform, name="Curious")
    companies = [await create_company(platform, a, f"Secretive company {number}") for number in range(2)]
    own = await create_company(platform, b, "Curious company")
    await assign(platform, a, private)
    await assign(platform, b, public)
    await set_config(platform, a, public, {"word": "secretive-organization"})
    for company in companies:
        await set_company_config(platform, company, public, {"word": "secretive-company"})
    return Neighbours(a=a, a_companies=companies, b=b, b_company=own, private=private, public=public)


LISTS = {
    "Query.viewer": {},
    "Query.modules": {"first": 50},
    "Query.industries": {"first": 10},
    "Query.events": {"first": 50},
}


@pytest.mark.parametrize("role", TENANT_ROLES)
async def test_lists_hold_nothing_of_a_neighbour(platform: Platform, neighbours: Neighbours, role: Role) -> None:
    for field, arguments in LISTS.items():
        text = (await answer(platform, field, arguments, token=neighbours.bearer(role), depth=2)).decode()
        assert "errors" not in json.loads(text), text[:500]
        for secret in (neighbours.a, *neighbours.a_companies, neighbours.private, "ecretive"):
            assert secret not in text, field
    seen = await answer(platform, "Query.organization", {"id": neighbours.a}, token=admin_of(neighbours.a), depth=2)
    for secret in (neighbours.a, *neighbours.a_companies, neighbours.private, "ecretive"):
        assert secret in seen.decode()


def test_every_list_that_tenants_may_ask_for_is_looked_into() -> None:
    asked = {field for field in POLICY if field.startswith("Query.") and field.endswith("s")}
    tenants = {field for field in asked if POLICY[field] != frozenset({Role.SUPER_ADMIN})}
    assert tenants == LISTS.keys() - {"Query.viewer"}


@pytest.mark.parametrize("role", TENANT_ROLES)
async def test_a_private_module_is_nowhere_for_those_who_have_not_got_it(
    platform: Platform, neighbours: Neighbours, role: Role
) -> None:
    query = """query($code: String!, $public: String!, $entities: [_Any!]!) { module(code: $code) { code }
      modules(filter: {search: $code}) { totalCount nodes { code } }
      open: module(code: $public) { dependents { code } all: dependents(transitive: true) { code } }
      _entities(representations: $entities) { ... on Module { code } } }"""
    variables = {
        "code": neighbours.private,
        "public": neighbours.public,
        "entities": [{"__typename": "Module", "code": neighbours.private}],
    }
    nothing: dict[str, Any] = {
        "module": None,
        "modules": {"totalCount": 0, "nodes": []},
        "open": {"dependents": [], "all": []},
        "_entities": [None],
    }
    assert await platform.data(query, variables, token=neighbours.bearer(role)) == nothing
    it = {"code": neighbours.private}
    assert await platform.data(query, variables, token=admin_of(neighbours.a)) == {
        "module": it,
        "modules": {"totalCount": 1, "nodes": [it]},
        "open": {"dependents": [it], "all": [it]},
        "_entities": [it],
    }


@pytest.mark.parametrize("role", TENANT_ROLES)
async def test_who_uses_a_module_is_for_the_platform(platform: Platform, neighbours: Neighbours, role: Role) -> None:
    query = "query($code: String!) { module(code: $code) { assignments { totalCount nodes { organization { id } } } } }"
    variables = {"code": neighbours.public}
    (error,) = await platform.errors(query, variables, token=neighbours.bearer(role))
    assert (error["path"], error["extensions"]) == (["module", "assignments"], {"code": "FORBIDDEN"})
    found = (await platform.data(query, variables))["module"]["assignments"]
    assert found["totalCount"] == 2
    assert [each["organization"]["id"] for each in found["nodes"]] == [neighbours.a, neighbours.b]


@pytest.mark.parametrize("role", sorted(TOKEN_ROLES))
async def test_the_viewer_is_who_the_token_says(platform: Platform, neighbours: Neighbours, role: Role) -> None:
    is_platform = role is Role.SUPER_ADMIN
    bearer = token(role, subject="me") if is_platform else neighbours.bearer(role)
    assert (await platform.data(VIEWER, token=bearer))["viewer"] == {
        "subject": "me" if is_platform else "tester",
        "roles": [role.value],
        "organization": None if is_platform else {"id": neighbours.b},
        "company": {"id": neighbours.b_company} if role is Role.COMPANY_ADMIN else None,
    }


@pytest.mark.parametrize("role", TENANT_ROLES)
async def test_a_token_that_names_anothers_company_opens_nothing(
    platform: Platform, neighbours: Neighbours, role: Role
) -> None:
    """A company of another organization in a token, however it came there, is nobody's."""
    bearer = token(role, organization=neighbours.b, company=neighbours.a_companies[0])
    assert (await platform.data(VIEWER, token=bearer))["viewer"]["company"] is None
    query = "query($id: ID!) { company(id: $id) { id } }"
    for company in (*neighbours.a_companies, neighbours.b_company):
        assert (await platform.data(query, {"id": company}, token=bearer)) == {"company": None}


async def events(platform: Platform, bearer: str) -> list[tuple[str, str, str]]:
    nodes: list[dict[str, Any]] = (await platform.data(EVENTS, token=bearer))["events"]["nodes"]
    return [(each["type"], each["organizationId"], each["companyId"]) for each in nodes]


@pytest.mark.parametrize("role", TENANT_ROLES)
async def test_events_are_ones_own(platform: Platform, neighbours: Neighbours, role: Role) -> None:
    b, company = neighbours.b, neighbours.b_company
    assert await events(platform, neighbours.bearer(role)) == [
        ("ORGANIZATION_CREATED", b, None),
        ("COMPANY_CREATED", b, company),
        ("ASSIGNED", b, None),
    ]


async def test_a_company_hears_of_its_organization_and_itself(platform: Platform, neighbours: Neighbours) -> None:
    a, (first, second) = neighbours.a, neighbours.a_companies
    whole = [
        ("ORGANIZATION_CREATED", a, None),
        ("COMPANY_CREATED", a, first),
        ("COMPANY_CREATED", a, second),
        ("ASSIGNED", a, None),
        ("ASSIGNED", a, None),
        ("CONFIG_UPDATED", a, None),
        ("CONFIG_UPDATED", a, first),
        ("CONFIG_UPDATED", a, second),
    ]
    assert await events(platform, admin_of(a)) == whole
    for company, other in ((first, second), (second, first)):
        bearer = token(Role.COMPANY_ADMIN, organization=a, company=company)
        assert await events(platform, bearer) == [each for each in whole if each[2] != other]


async def test_the_platform_hears_of_everybody(platform: Platform, neighbours: Neighbours) -> None:
    seen = await events(platform, platform.admin)
    assert {None, neighbours.a, neighbours.b} <= {organization for _, organization, _ in seen}
