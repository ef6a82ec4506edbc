"""Reading effective configurations: three tiers as one, and where each value comes from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from app.seed import load_pack
from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import (
    LEAVES,
    admin_of,
    assign,
    create_company,
    effective_config,
    register,
    set_company_config,
    set_config,
    sign_up,
    try_register,
    unique,
)

TREE = {"a": {"b": 1, "c": [1, 2]}, "x/y": {"~z": True}, "empty": {}, "none": None, "ten": {"10": "t"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def financial(platform: Platform) -> str:
    """The sample of a partner's module, with the defaults USD, 0, INV, 30."""
    (module,) = load_pack("financial")["modules"]
    assert (await try_register(platform, module["manifest"], tier=module["tier"]))["errors"] == []
    return str(module["manifest"]["name"])


async def three_tiers(platform: Platform, financial: str) -> tuple[str, str]:
    """The golden example: an organization and its company, each with its layer."""
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    await assign(platform, organization, financial)
    tier_2 = {"currency": "EUR", "tax_rate": 0.20, "invoice_prefix": "ACME"}
    assert (await set_config(platform, organization, financial, tier_2, reason="moved to Europe"))["errors"] == []
    tier_3 = {"tax_rate": 0.19, "invoice_prefix": "ACME-DE"}
    as_admin = admin_of(organization)
    assert (await set_company_config(platform, company, financial, tier_3, token=as_admin))["errors"] == []
    return organization, company


async def test_the_golden_example(platform: Platform, financial: str) -> None:
    organization, company = await three_tiers(platform, financial)
    other = await create_company(platform, organization)
    of_organization = {"currency": "EUR", "tax_rate": 0.2, "invoice_prefix": "ACME", "payment_terms": 30}
    of_company = {"currency": "EUR", "tax_rate": 0.19, "invoice_prefix": "ACME-DE", "payment_terms": 30}
    assert await effective_config(platform, organization, financial) == {"values": of_organization, "revision": 4}
    assert await effective_config(platform, organization, financial, company) == {"values": of_company, "revision": 5}
    assert (await effective_config(platform, organization, financial, other))["values"] == of_organization


async def test_every_way_to_a_config_gives_the_same(platform: Platform, financial: str) -> None:
    organization, company = await three_tiers(platform, financial)
    query = """query($id: ID!, $company: ID!, $m: String!) {
      root: effectiveConfig(organizationId: $id, module: $m, companyId: $company) { ...c }
      organization(id: $id) { one: effectiveConfig(module: $m, companyId: $company) { ...c }
        all: effectiveConfigs(companyId: $company) { ...c }
        companies { nodes { all: effectiveConfigs { ...c } } } }
      company(id: $company) { one: effectiveConfig(module: $m) { ...c } all: effectiveConfigs { ...c } } }
    fragment c on EffectiveConfig {
      values revision module { code } organization { id } company { id } leaves { pointer } }"""
    variables = {"id": organization, "company": company, "m": financial}
    seen = await platform.data(query, variables, token=admin_of(organization))
    expected = seen["root"]
    assert expected["module"] == {"code": financial}
    assert (expected["organization"], expected["company"]) == ({"id": organization}, {"id": company})
    assert seen["organization"] == {
        "one": expected,
        "all": [expected],
        "companies": {"nodes": [{"all": [expected]}]},
    }
    assert seen["company"] == {"one": expected, "all": [expected]}


async def test_each_leaf_says_where_it_comes_from(platform: Platform, financial: str) -> None:
    organization, company = await three_tiers(platform, financial)
    leaves = (await effective_config(platform, organization, financial, company, fields=LEAVES))["leaves"]
    times = {each["pointer"]: datetime.fromisoformat(each.pop("setAt")) for each in leaves}
    for moment in times.values():
        assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(minutes=10)
    assert times["/payment_terms"] < times["/currency"] < times["/tax_rate"] == times["/invoice_prefix"]
    published = next(each["revision"] for each in leaves if each["pointer"] == "/payment_terms")
    by_organization = {"revision": 4, "setBy": "tester", "reason": "moved to Europe"}
    by_company = {"revision": 5, "setBy": "tester", "reason": None}
    default, tier_2 = {"layer": "MODULE"}, {"layer": "ORGANIZATION"}
    assert leaves == [
        {
            "pointer": "/currency",
            "value": "EUR",
            "layer": "ORGANIZATION",
            **by_organization,
            "shadowed": [{**default, "value": "USD"}],
        },
        {
            "pointer": "/invoice_prefix",
            "value": "ACME-DE",
            "layer": "COMPANY",
            **by_company,
            "shadowed": [{**tier_2, "value": "ACME"}, {**default, "value": "INV"}],
        },
        {
            "pointer": "/payment_terms",
            "value": 30,
            "layer": "MODULE",
            "revision": published,
            "setBy": None,
            "reason": None,
            "shadowed": [],
        },
        {
            "pointer": "/tax_rate",
            "value": 0.19,
            "layer": "COMPANY",
            **by_company,
            "shadowed": [{**tier_2, "value": 0.2}, {**default, "value": 0}],
        },
    ]


async def test_a_leaf_keeps_its_origin_until_its_value_changes(platform: Platform, financial: str) -> None:
    organization, _ = await three_tiers(platform, financial)
    again = {"currency": "EUR", "tax_rate": 0.21}
    await set_config(platform, organization, financial, again, reason="new rate", token=admin_of(organization))
    fields = "leaves { pointer layer revision reason }"
    leaves = (await effective_config(platform, organization, financial, fields=fields))["leaves"]
    assert [(each["pointer"], each["layer"], each["revision"], each["reason"]) for each in leaves[:2]] == [
        ("/currency", "ORGANIZATION", 4, "moved to Europe"),
        ("/invoice_prefix", "ORGANIZATION", 4, "moved to Europe"),
    ]
    assert leaves[3] == {"pointer": "/tax_rate", "layer": "ORGANIZATION", "revision": 6, "reason": "new rate"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tree(platform: Platform) -> tuple[str, str]:
    """An organization and a module with many kinds of values."""
    organization = await sign_up(platform)
    code = await register(platform, unique("tree"), configuration={"defaults": TREE})
    await assign(platform, organization, code)
    return organization, code


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("", TREE),
        ("/a", {"b": 1, "c": [1, 2]}),
        ("/a/b", 1),
        ("/a/c", [1, 2]),
        ("/a/c/1", 2),
        ("/x~1y/~0z", True),
        ("/empty", {}),
        ("/none", None),
        ("/ten/10", "t"),
        ("/a/c/2", None),
        ("/a/c/01", None),
        ("/a/c/-", None),
        ("/nowhere", None),
        ("/a/b/c", None),
        ("/", None),
    ],
)
async def test_value_follows_a_json_pointer(
    platform: Platform, tree: tuple[str, str], pointer: str, expected: Any
) -> None:
    organization, code = tree
    found = await effective_config(platform, organization, code, fields=f'value(pointer: "{pointer}")')
    assert found == {"value": expected}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (None, ["/a/b", "/a/c", "/empty", "/none", "/ten/10", "/x~1y/~0z"]),
        ("", ["/a/b", "/a/c", "/empty", "/none", "/ten/10", "/x~1y/~0z"]),
        ("/a", ["/a/b", "/a/c"]),
        ("/a/b", ["/a/b"]),
        ("/x~1y", ["/x~1y/~0z"]),
        ("/empt", []),
        ("/a/c/0", []),
        ("/nowhere", []),
    ],
)
async def test_leaves_are_those_at_or_below_a_prefix(
    platform: Platform, tree: tuple[str, str], prefix: str | None, expected: list[str]
) -> None:
    organization, code = tree
    argument = "null" if prefix is None else f'"{prefix}"'
    found = await effective_config(
        platform, organization, code, fields=f"leaves(pointerPrefix: {argument}) {{ pointer }}"
    )
    assert [each["pointer"] for each in found["leaves"]] == expected


@pytest.mark.parametrize("pointer", ["a", "a/b", "/a~", "/a~2b", " /a"])
@pytest.mark.parametrize("field", ['value(pointer: "%s")', 'leaves(pointerPrefix: "%s") { value }'])
async def test_what_is_no_pointer_is_the_callers_error(
    platform: Platform, tree: tuple[str, str], field: str, pointer: str
) -> None:
    organization, code = tree
    query = "query($id: ID!, $m: String!) { effectiveConfig(organizationId: $id, module: $m) { %s } }"
    assert await platform.code(query % field % pointer, {"id": organization, "m": code}) == "BAD_USER_INPUT"


async def test_nobody_reads_what_is_not_there_or_not_theirs(platform: Platform, financial: str) -> None:
    organization, company = await three_tiers(platform, financial)
    stranger, unknown = await sign_up(platform), "0198f7a0-0000-7000-8000-000000000000"
    query = """query($id: ID!, $m: String!, $company: ID) {
      effectiveConfig(organizationId: $id, module: $m, companyId: $company) { values } }"""
    nothing = {"effectiveConfig": None}
    for changed in ({"id": unknown}, {"m": "hr"}, {"m": "no-such"}, {"company": unknown}, {"company": "x"}):
        variables = {"id": organization, "m": financial, "company": company, **changed}
        assert await platform.data(query, variables) == nothing
    foreign = {"id": organization, "m": financial, "company": company}
    assert await platform.data(query, foreign, token=admin_of(stranger)) == nothing
    mixed = {"id": stranger, "m": financial, "company": company}
    assert await platform.data(query, mixed) == nothing


async def test_a_member_of_a_company_reads_its_own_alone(platform: Platform, financial: str) -> None:
    organization, company = await three_tiers(platform, financial)
    other = await create_company(platform, organization)
    query = """query($id: ID!, $company: ID!) { effectiveConfig(
      organizationId: $id, module: "financial", companyId: $company) { values } }"""
    bound = token(Role.MEMBER, organization=organization, company=company)
    own = await platform.data(query, {"id": organization, "company": company}, token=bound)
    assert own["effectiveConfig"]["values"]["invoice_prefix"] == "ACME-DE"
    foreign = await platform.data(query, {"id": organization, "company": other}, token=bound)
    assert foreign == {"effectiveConfig": None}
