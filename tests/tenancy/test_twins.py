"""Another organization's thing and a thing that nobody has answer alike, byte for byte, wherever an id is taken.

Three organizations with the same modules, companies and configurations: A is asked about, B asks, C shows that the
same question gets an answer when the thing is one's own.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from auth.actor import Role
from auth.policy import POLICY
from tests.support.platform import Platform, token
from tests.support.stories import (
    admin_of,
    assign,
    create_company,
    events_of,
    register,
    set_company_config,
    set_config,
    sign_up,
    unique,
)
from tests.tenancy.calls import NOBODY, answer, call, codes, id_arguments

ASKING = (Role.ORGANIZATION_ADMIN, Role.COMPANY_ADMIN, Role.MEMBER, Role.MODULE)
SNAPSHOT = """query($id: ID!) { organization(id: $id) { name plan revision industry { code }
  modules { module { code } version state config revision } companies { nodes { id name } }
  effectiveConfigs { values revision } } events(organizationId: $id, first: 200) { nodes { id revision } } }"""
ORGANIZATION, COMPANY, MINE = "<organization>", "<company>", "<my organization>"


@dataclass(frozen=True)
class Tenant:
    organization: str
    company: str

    def bearer(self, role: Role) -> str:
        company = self.company if role is Role.COMPANY_ADMIN else None
        return token(role, organization=self.organization, company=company)


@dataclass(frozen=True)
class Case:
    """A field, the places of its ids, and arguments in which names stand for ids."""

    field: str
    places: tuple[str, ...]
    arguments: dict[str, Any]

    def asked(self, *, organization: str, company: str, mine: str, module: str) -> dict[str, Any]:
        text = json.dumps(self.arguments)
        for name, value in ((ORGANIZATION, organization), (COMPANY, company), (MINE, mine), ("<module>", module)):
            text = text.replace(name, value)
        filled: dict[str, Any] = json.loads(text)
        return filled


def mutation(which: str, place: str = "organizationId", thing: Any = ORGANIZATION, **more: Any) -> Case:
    field = f"Mutation.{which}"
    return Case(field=field, places=(f"{field}.input.{place}",), arguments={"input": {place: thing, **more}})


def reading(field: str, *names: str, **arguments: Any) -> Case:
    return Case(field=field, places=tuple(f"{field}.{name}" for name in names), arguments=arguments)


MODULE = "<module>"
CASES = [
    reading("Query.organization", "id", id=ORGANIZATION),
    reading("Query.company", "id", id=COMPANY),
    reading("Query.effectiveConfig", "organizationId", organizationId=ORGANIZATION, module=MODULE),
    reading("Query.effectiveConfig", "companyId", organizationId=ORGANIZATION, module=MODULE, companyId=COMPANY),
    reading("Query.effectiveConfig", "companyId", organizationId=MINE, module=MODULE, companyId=COMPANY),
    reading("Query.events", "organizationId", organizationId=ORGANIZATION),
    reading("Query.operation", "id", id=ORGANIZATION),
    reading("Query.subgraph", "id", id=ORGANIZATION),
    mutation("replayDeadEvent", "eventId", ORGANIZATION, consumer="relay"),
    reading("Query._entities", representations=[{"__typename": "Organization", "id": ORGANIZATION}]),
    reading("Query._entities", representations=[{"__typename": "Company", "id": COMPANY}]),
    reading("Subscription.moduleEvents", "organizationId", organizationId=ORGANIZATION, after="v1:0"),
    reading("Subscription.effectiveConfigChanged", "organizationId", organizationId=ORGANIZATION, module=MODULE),
    reading("Subscription.effectiveConfigChanged", "companyId", organizationId=MINE, module=MODULE, companyId=COMPANY),
    reading("Subscription.operationProgress", "id", id=ORGANIZATION),
    mutation("updateOrganization", name="Taken over"),
    mutation("createCompany", name="Planted"),
    mutation("assignModule", module="crm"),
    mutation("assignModule", module="no-such"),
    mutation("assignModule", module="crm", dryRun=True),
    mutation("setOrganizationConfig", module=MODULE, value={"a": 9}),
    mutation("setOrganizationConfig", module=MODULE, value={"a": 9}, expectedRevision=1),
    mutation("setOrganizationConfig", module=MODULE, value={"a": 9}, idempotencyKey="shared"),
    mutation("setCompanyConfig", "companyId", COMPANY, module=MODULE, value={"a": 9}),
    mutation("setCompanyConfig", "companyId", COMPANY, module=MODULE, value={"a": 9}, dryRun=True),
    mutation("applyIndustryTemplate", industryCode="tech"),
    mutation("unassignModule", module=MODULE),
    mutation("revokeTokens", subject="nobody at all"),
    mutation("revokeModuleApiKey", "id", ORGANIZATION),
    mutation("approveSubgraph", "id", ORGANIZATION),
    mutation("activateSubgraph", "id", ORGANIZATION),
    mutation("bulkAssignModules", "organizationIds", [ORGANIZATION], modules=["crm"]),
    mutation("cancelOperation", "operationId"),
]
# Arguments of fields that are not roots: asked in test_an_argument_inside_is_no_door_either.
INSIDE = {"Organization.effectiveConfig.companyId", "Organization.effectiveConfigs.companyId"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def module(platform: Platform) -> str:
    return await register(platform, unique("twin"))


async def tenant(platform: Platform, module: str) -> Tenant:
    organization = await sign_up(platform, name="Twin")
    company = await create_company(platform, organization, "Twin company")
    await assign(platform, organization, module)
    await set_config(platform, organization, module, {"a": 1}, idempotencyKey="shared")
    await set_company_config(platform, company, module, {"a": 2})
    return Tenant(organization=organization, company=company)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def a(platform: Platform, module: str) -> Tenant:
    return await tenant(platform, module)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def b(platform: Platform, module: str) -> Tenant:
    return await tenant(platform, module)


def may_administer(field: str) -> bool:
    return Role.ORGANIZATION_ADMIN in POLICY.get(field, set(Role))


def name_of(case: Case) -> str:
    return f"{case.field}({json.dumps(case.arguments)})"


def test_every_place_that_takes_an_id_is_asked() -> None:
    assert id_arguments() == {place for case in CASES for place in case.places} | INSIDE


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_anothers_thing_and_nobodys_answer_alike(
    platform: Platform, a: Tenant, b: Tenant, module: str, case: Case
) -> None:
    before = await platform.data(SNAPSHOT, {"id": a.organization})
    for role in ASKING:
        bearer = b.bearer(role)
        asked = {"mine": b.organization, "module": module}
        theirs = case.asked(organization=a.organization, company=a.company, **asked)
        nobodys = case.asked(organization=NOBODY, company=NOBODY, **asked)
        answered = await answer(platform, case.field, theirs, token=bearer)
        for known in (a.organization, a.company):
            answered = answered.replace(known.encode(), NOBODY.encode())
        assert answered == await answer(platform, case.field, nobodys, token=bearer), role
        body = json.loads(answered)
        allowed = POLICY.get(case.field)
        assert ("FORBIDDEN" in codes(body)) == (allowed is not None and role not in allowed), role
    assert await platform.data(SNAPSHOT, {"id": a.organization}) == before


@pytest.mark.parametrize("case", [case for case in CASES if may_administer(case.field)], ids=name_of)
async def test_ones_own_thing_answers_otherwise(platform: Platform, module: str, case: Case) -> None:
    """The other half: were every answer empty, the twins would be alike for nothing."""
    c = await tenant(platform, module)
    asked, bearer = {"mine": c.organization, "module": module}, admin_of(c.organization)
    own = case.asked(organization=c.organization, company=c.company, **asked)
    nobodys = case.asked(organization=NOBODY, company=NOBODY, **asked)
    answered = await answer(platform, case.field, own, token=bearer)
    for known in (c.organization, c.company):
        answered = answered.replace(known.encode(), NOBODY.encode())
    assert answered != await answer(platform, case.field, nobodys, token=bearer)
    assert codes(json.loads(answered)) == []


async def test_an_argument_inside_is_no_door_either(platform: Platform, a: Tenant, b: Tenant, module: str) -> None:
    query = """query($id: ID!, $company: ID!, $module: String!) { organization(id: $id) {
      effectiveConfig(module: $module, companyId: $company) { values }
      effectiveConfigs(companyId: $company) { values } }
    }"""

    async def ask(tenant: Tenant, company: str) -> Any:
        variables = {"id": tenant.organization, "company": company, "module": module}
        return (await platform.data(query, variables, token=admin_of(tenant.organization)))["organization"]

    nothing: dict[str, Any] = {"effectiveConfig": None, "effectiveConfigs": []}
    assert await ask(b, a.company) == await ask(b, NOBODY) == nothing
    own = {"values": {"a": 2}}
    assert await ask(b, b.company) == {"effectiveConfig": own, "effectiveConfigs": [own]}


async def test_a_caller_of_one_company_meets_its_sibling_like_nobodys(
    platform: Platform, a: Tenant, module: str
) -> None:
    sibling = await create_company(platform, a.organization, "Sibling")
    await set_company_config(platform, sibling, module, {"a": 3})
    before = await events_of(platform, a.organization)
    bearer = a.bearer(Role.COMPANY_ADMIN)
    for case in CASES:
        if COMPANY not in json.dumps(case.arguments):
            continue
        asked = {"organization": a.organization, "mine": a.organization, "module": module}
        theirs = await answer(platform, case.field, case.asked(company=sibling, **asked), token=bearer)
        nobodys = await answer(platform, case.field, case.asked(company=NOBODY, **asked), token=bearer)
        assert theirs.replace(sibling.encode(), NOBODY.encode()) == nobodys, case.field
    assert await events_of(platform, a.organization) == before


async def test_an_idempotency_key_of_another_organization_is_free(
    platform: Platform, a: Tenant, b: Tenant, module: str
) -> None:
    """Had keys no owner, the same key with the same words would answer with the other's result."""
    for each in (a, b):
        for _ in range(2):
            done = await set_config(
                platform, each.organization, module, {"k": 1}, idempotencyKey="both", token=admin_of(each.organization)
            )
            assert done["errors"] == []
            events = await events_of(platform, each.organization)
            assert done["revision"] == events[-1]["revision"]


def test_calls_ask_for_what_could_leak() -> None:
    query, _ = call("Query.organization", {"id": NOBODY})
    for field in ("name", "modules", "companies", "effectiveConfigs", "revision"):
        assert field in query
