"""Whatever is sent, the answer is typed, no answer is a fault of ours, and nothing is half done."""

import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.platform import Platform
from tests.support.stories import ERRORS, assign, sign_up, state_of

UNKNOWN = "0198f7a0-0000-7000-8000-000000000000"
LONG = "x" * 100_000
PAYLOAD = f"revision {ERRORS}"
SET_CONFIG = (
    f"mutation($input: SetOrganizationConfigInput!) {{ payload: setOrganizationConfig(input: $input) {{ {PAYLOAD} }} }}"
)
INPUTS = {
    "registerModule": "RegisterModuleInput",
    "updateModule": "UpdateModuleInput",
    "activateModule": "ModuleRefInput",
    "deactivateModule": "ModuleRefInput",
    "deleteModule": "ModuleRefInput",
    "createIndustry": "CreateIndustryInput",
    "updateIndustry": "UpdateIndustryInput",
    "deleteIndustry": "IndustryRefInput",
    "signUpOrganization": "SignUpOrganizationInput",
    "updateOrganization": "UpdateOrganizationInput",
    "createCompany": "CreateCompanyInput",
    "assignModule": "AssignModuleInput",
    "unassignModule": "UnassignModuleInput",
    "applyIndustryTemplate": "ApplyIndustryTemplateInput",
    "bulkAssignModules": "BulkAssignModulesInput",
    "cancelOperation": "CancelOperationInput",
    "setOrganizationConfig": "SetOrganizationConfigInput",
    "setCompanyConfig": "SetCompanyConfigInput",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def organization(platform: Platform) -> str:
    """An organization that has the module hr."""
    organization = await sign_up(platform)
    await assign(platform, organization, "hr")
    return organization


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def before(platform: Platform, organization: str) -> Any:
    """The world as it was before the first bad request: none of them may change it."""
    return await world(platform, organization)


async def world(platform: Platform, organization: str) -> Any:
    """What a bad request must leave as it is."""
    query = (
        "{ organizations { totalCount } modules { totalCount } industries { totalCount }"
        ' module(code: "hr") { name description category tags isActive revision } }'
    )
    return await platform.data(query), await state_of(platform, organization)


async def mutate(platform: Platform, field: str, given: dict[str, Any]) -> Any:
    query = f"mutation($input: {INPUTS[field]}!) {{ payload: {field}(input: $input) {{ {PAYLOAD} }} }}"
    return (await platform.data(query, {"input": given}))["payload"]


async def send(platform: Platform, body: bytes) -> httpx.Response:
    headers = {"content-type": "application/json", "authorization": f"Bearer {platform.admin}"}
    return await platform.client.post(platform.url, content=body, headers=headers)


@pytest.mark.parametrize(
    ("field", "given", "kind", "path"),
    [
        ("assignModule", {"organizationId": "$", "module": "no-such"}, "NotFoundError", "module"),
        ("assignModule", {"organizationId": "$", "module": ""}, "NotFoundError", "module"),
        ("assignModule", {"organizationId": "$", "module": "hr' OR ''='"}, "NotFoundError", "module"),
        ("assignModule", {"organizationId": UNKNOWN, "module": "hr"}, "NotFoundError", "organizationId"),
        ("unassignModule", {"organizationId": "$", "module": "no-such"}, "NotFoundError", "module"),
        ("applyIndustryTemplate", {"organizationId": "$", "industryCode": "no"}, "NotFoundError", "industryCode"),
        ("signUpOrganization", {"name": "A", "industryCode": "no-such"}, "NotFoundError", "industryCode"),
        ("signUpOrganization", {"name": "A", "plan": "gold"}, "InvalidInputError", "plan"),
        ("updateModule", {"code": "no-such", "name": "A"}, "NotFoundError", "code"),
        ("activateModule", {"code": "no-such"}, "NotFoundError", "code"),
        ("deactivateModule", {"code": "no-such"}, "NotFoundError", "code"),
        ("deleteModule", {"code": "no-such"}, "NotFoundError", "code"),
        ("updateIndustry", {"code": "no-such", "name": "A"}, "NotFoundError", "code"),
        ("deleteIndustry", {"code": "no-such"}, "NotFoundError", "code"),
        ("setCompanyConfig", {"companyId": UNKNOWN, "module": "hr", "value": {}}, "NotFoundError", "companyId"),
        ("cancelOperation", {"operationId": UNKNOWN}, "NotFoundError", "operationId"),
        ("cancelOperation", {"operationId": LONG}, "NotFoundError", "operationId"),
        ("cancelOperation", {"operationId": UNKNOWN, "idempotencyKey": LONG}, "InvalidInputError", "idempotencyKey"),
        # ten thousand times too long
        ("assignModule", {"organizationId": "$", "module": LONG}, "NotFoundError", "module"),
        ("assignModule", {"organizationId": "$", "module": "crm", "version": LONG}, "DependencyError", "version"),
        ("setOrganizationConfig", {"organizationId": "$", "module": LONG, "value": {}}, "NotFoundError", "module"),
        (
            "setOrganizationConfig",
            {"organizationId": "$", "module": "hr", "value": {"probation_days": 1}, "reason": LONG},
            "InvalidInputError",
            "reason",
        ),
        ("signUpOrganization", {"name": LONG}, "InvalidInputError", "name"),
        ("signUpOrganization", {"name": "A", "plan": LONG}, "InvalidInputError", "plan"),
        ("signUpOrganization", {"name": "A", "industryCode": LONG}, "NotFoundError", "industryCode"),
        ("updateOrganization", {"organizationId": "$", "name": LONG}, "InvalidInputError", "name"),
        ("createCompany", {"organizationId": "$", "name": LONG}, "InvalidInputError", "name"),
        ("updateModule", {"code": "hr", "name": LONG}, "InvalidInputError", "name"),
        ("updateModule", {"code": "hr", "description": LONG}, "InvalidInputError", "description"),
        ("updateModule", {"code": "hr", "category": LONG}, "InvalidInputError", "category"),
        ("updateModule", {"code": "hr", "tags": [LONG]}, "InvalidInputError", "tags"),
        ("updateModule", {"code": LONG, "name": "A"}, "NotFoundError", "code"),
        ("createIndustry", {"code": "new", "name": LONG, "modules": []}, "InvalidInputError", "name"),
        ("createIndustry", {"code": LONG, "name": "A", "modules": []}, "InvalidInputError", "code"),
        # names are for people, on one line
        ("signUpOrganization", {"name": ""}, "InvalidInputError", "name"),
        ("signUpOrganization", {"name": " \t "}, "InvalidInputError", "name"),
        ("createCompany", {"organizationId": "$", "name": "two\nlines"}, "InvalidInputError", "name"),
    ],
)
async def test_what_is_unknown_or_too_long_is_named(
    platform: Platform, organization: str, before: Any, field: str, given: dict[str, Any], kind: str, path: str
) -> None:
    given = {key: organization if value == "$" else value for key, value in given.items()}
    payload = await mutate(platform, field, given)
    assert [(each["__typename"], each["path"]) for each in payload["errors"]] == [(kind, ["input", path])]
    assert payload["revision"] is None
    assert await world(platform, organization) == before


async def test_a_manifest_full_of_long_texts_is_refused_in_few_words(
    platform: Platform, organization: str, before: Any
) -> None:
    manifest = {"name": LONG, "version": "1.0.0", "display_name": LONG}
    payload = await mutate(platform, "registerModule", {"manifest": manifest})
    assert {each["__typename"] for each in payload["errors"]} == {"InvalidManifestError"}
    assert [each["pointer"] for each in payload["errors"]] == ["/display_name", "/name"]
    assert len(json.dumps(payload)) < 5_000
    assert await world(platform, organization) == before


@pytest.mark.parametrize(
    ("field", "name", "more"),
    [
        ("assignModule", "organizationId", {"module": "hr"}),
        ("unassignModule", "organizationId", {"module": "hr"}),
        ("applyIndustryTemplate", "organizationId", {"industryCode": "tech"}),
        ("setOrganizationConfig", "organizationId", {"module": "hr", "value": {}}),
        ("setCompanyConfig", "companyId", {"module": "hr", "value": {}}),
        ("createCompany", "organizationId", {"name": "A"}),
        ("updateOrganization", "organizationId", {"name": "A"}),
    ],
)
async def test_what_is_no_id_answers_like_an_unknown_one(
    platform: Platform, field: str, name: str, more: dict[str, Any]
) -> None:
    thing = name.removesuffix("Id")
    unknown = await mutate(platform, field, {name: UNKNOWN, **more})
    (error,) = unknown["errors"]
    assert (error["__typename"], error["message"]) == ("NotFoundError", f"no {thing} {UNKNOWN}")
    for no_id in ("x", "", "7", "../..", "0198f7a0", f"{UNKNOWN}0", "✓", "null"):
        answer = await mutate(platform, field, {name: no_id, **more})
        assert answer == {**unknown, "errors": [{**error, "message": f"no {thing} {no_id}"}]}


async def test_what_is_no_id_reads_as_nothing(platform: Platform) -> None:
    query = """query($id: ID!) { organization(id: $id) { id } company(id: $id) { id } operation(id: $id) { id }
      effectiveConfig(organizationId: $id, module: "hr") { values } events(organizationId: $id) { nodes { id } } }"""
    nothing: dict[str, Any] = {
        "organization": None,
        "company": None,
        "operation": None,
        "effectiveConfig": None,
        "events": {"nodes": []},
    }
    for given in (UNKNOWN, "x", "", LONG):
        assert await platform.data(query, {"id": given}) == nothing


def config_body(organization: str, value: str) -> bytes:
    given = f'{{"organizationId":"{organization}","module":"hr","value":{value}}}'
    return f'{{"query":{json.dumps(SET_CONFIG)},"variables":{{"input":{given}}}}}'.encode()


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        (r'{"probation_days":"\u0000"}', 400, "BAD_USER_INPUT"),
        (r'{"\u0000":1}', 400, "BAD_USER_INPUT"),
        (r'{"probation_days":"\ud800"}', 400, "BAD_USER_INPUT"),
        (r'{"\udfff":1}', 400, "BAD_USER_INPUT"),
        ('{"probation_days":1e400}', 400, "BAD_REQUEST"),
        ('{"probation_days":NaN}', 400, "BAD_REQUEST"),
        ('{"probation_days":-Infinity}', 400, "BAD_REQUEST"),
        (f'{{"probation_days":{"9" * 400}}}', 400, "BAD_REQUEST"),
        ("[" * 100_000 + "]" * 100_000, 400, "BAD_REQUEST"),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, 400, "BAD_REQUEST"),
        ("[" * 100_000, 400, "BAD_REQUEST"),
        (f'"{"x" * 300_000}"', 413, "PAYLOAD_TOO_LARGE"),
        ("null", 200, "BAD_USER_INPUT"),
    ],
)
async def test_json_that_nobody_could_keep_is_refused_at_the_door(
    platform: Platform, organization: str, before: Any, value: str, status: int, code: str
) -> None:
    response = await send(platform, config_body(organization, value))
    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (status, code)
    assert await world(platform, organization) == before


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63) - 1])
async def test_an_integer_beyond_64_bits_is_refused_with_its_place(
    platform: Platform, organization: str, before: Any, number: int
) -> None:
    inline = (
        f'mutation {{ payload: setOrganizationConfig(input: {{organizationId: "{organization}", module: "hr",'
        f" value: {{probation_days: {number}}}}}) {{ {PAYLOAD} }} }}"
    )
    (error,) = (await platform.data(inline))["payload"]["errors"]
    assert (error["__typename"], error["pointer"]) == ("InvalidInputError", "/probation_days")
    response = await send(platform, config_body(organization, f'{{"probation_days":{number}}}'))
    assert response.status_code == 200
    (error,) = response.json()["data"]["payload"]["errors"]
    assert error["pointer"] == "/probation_days"
    assert await world(platform, organization) == before


@pytest.mark.parametrize(
    "given",
    [
        {"expectedRevision": 2**31},
        {"expectedRevision": 1.5},
        {"expectedRevision": "1"},
        {"activate": "yes"},
        {"unknown": 1},
        {"module": None},
        {"module": ["hr"]},
        {"module": 7},
        {"organizationId": None},
        {"organizationId": {"id": 1}},
        {"organizationId": True},
        {"idempotencyKey": 5},
    ],
)
async def test_a_variable_of_the_wrong_type_is_the_callers_error(
    platform: Platform, organization: str, before: Any, given: dict[str, Any]
) -> None:
    query = "mutation($input: AssignModuleInput!) { assignModule(input: $input) { revision } }"
    variables = {"input": {"organizationId": organization, "module": "crm", **given}}
    assert await platform.code(query, variables) == "BAD_USER_INPUT"
    assert await world(platform, organization) == before


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ modules(first: 100000) { totalCount } }", "BAD_USER_INPUT"),
        ("{ organizations(first: 100000) { totalCount } }", "BAD_USER_INPUT"),
        ("{ industries(first: 0) { totalCount } }", "BAD_USER_INPUT"),
        ("{ events(first: -1) { nodes { id } } }", "BAD_USER_INPUT"),
        ("{ events(first: 2147483648) { nodes { id } } }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ modules(after: "garbage") { totalCount } }', "BAD_USER_INPUT"),
        ('{ events(after: "garbage") { nodes { id } } }', "BAD_USER_INPUT"),
        ("{ modules(filter: { tier: GOLD }) { totalCount } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ events(types: [NONE]) { nodes { id } } }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ module(code: "\\u0000") { code } }', "BAD_USER_INPUT"),
        ('{ module(code: "\\uD800") { code } }', "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ a" * 5_000 + " }" * 5_000, "GRAPHQL_PARSE_FAILED"),
    ],
)
async def test_a_query_that_asks_for_too_much_or_nonsense(platform: Platform, query: str, code: str) -> None:
    assert await platform.code(query) == code
