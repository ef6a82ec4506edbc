"""What a module's service may do with its key: keep its own module. All else is not there for it, or not its to do."""

import json
from typing import Any

import pytest
import pytest_asyncio

from auth.actor import Role
from auth.policy import POLICY
from tests.services.services import call_instance, create_key, module_with_key
from tests.support.platform import KEY, Platform, token
from tests.support.stories import admin_of, assign, find_module, manifest, register, set_config, sign_up, unique
from tests.tenancy.calls import answer, codes

REGISTER = """mutation($input: RegisterModuleInput!) { registerModule(input: $input) {
  module { code } revision errors { __typename code message path } } }"""
# Fields of others' that a module's service may call, each with the argument that names the module.
SUBGRAPHS = {
    "Mutation.registerSubgraph": {
        "version": "1.0.0",
        "sdl": "type Query { a: Int }",
        "routingUrl": "http://127.0.0.1:9",
    },
    "Mutation.deactivateSubgraph": {},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(platform: Platform) -> tuple[str, str]:
    return await module_with_key(platform)


async def try_register(platform: Platform, key: str, document: Any, **more: Any) -> Any:
    return (await platform.data(REGISTER, {"input": {"manifest": document, **more}}, token=key))["registerModule"]


async def test_a_service_adds_versions_to_its_own_module(platform: Platform, own: tuple[str, str]) -> None:
    code, key = own
    payload = await try_register(platform, key, manifest(code, "1.1.0"))
    assert (payload["module"], payload["errors"]) == ({"code": code}, [])
    shown = await find_module(platform, code, "latestVersion { number } isActive tier", as_token=key)
    assert shown == {"latestVersion": {"number": "1.1.0"}, "isActive": True, "tier": "OPTIONAL"}


async def test_anothers_module_answers_like_one_there_is_not(platform: Platform, own: tuple[str, str]) -> None:
    _, key = own
    other, hidden = (
        await register(platform, unique("other")),
        await register(platform, unique("other"), tier="INTERNAL"),
    )
    before = await find_module(platform, other, "revision versions { totalCount }")
    for code in (other, hidden, "not-there"):
        no_module = {"__typename": "NotFoundError", "code": "NOT_FOUND", "message": f"no module {code!r}"}
        payload = await try_register(platform, key, manifest(code, "9.0.0"), tier="CORE")
        assert payload["errors"] == [{**no_module, "path": ["input", "manifest"]}]
        for action in ("register", "heartbeat", "deregister"):
            said = {"version": "1"} if action == "register" else {}
            payload = await call_instance(platform, action, key, module=code, url="http://127.0.0.1:9", **said)
            assert payload["errors"] == [{**no_module, "path": ["input", "module"]}]
        for field, arguments in SUBGRAPHS.items():
            body = json.loads(await answer(platform, field, {"input": {"module": code, **arguments}}, token=key))
            (found,) = body["data"].values()
            assert [each["message"] for each in found["errors"]] == [f"no module {code!r}"], field
    assert await find_module(platform, other, "revision versions { totalCount }") == before


async def test_it_makes_no_module_and_gives_its_own_to_nobody(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    payload = await try_register(platform, key, manifest(code, "2.0.0"), tier="CORE")
    assert [(each["code"], each["path"]) for each in payload["errors"]] == [("INVALID_INPUT", ["input", "tier"])]
    await platform.data("mutation($i: ModuleRefInput!) { deleteModule(input: $i) { revision } }", {"i": {"code": code}})
    # the key goes with its module, within two seconds; even before that it can't bring it back
    response = await platform.post(
        REGISTER, {"input": {"manifest": manifest(code, "3.0.0"), "tier": "CORE"}}, token=key
    )
    if response.status_code == 200:
        assert [each["code"] for each in response.json()["data"]["registerModule"]["errors"]] == ["NOT_FOUND"]
    assert await find_module(platform, code) is None


async def test_its_own_module_it_sees_whatever_it_is_and_no_other_that_is_hidden(platform: Platform) -> None:
    code, key = await module_with_key(platform, visibility="PRIVATE")
    hidden = await register(platform, unique("hidden"), visibility="PRIVATE")
    organization = await sign_up(platform)
    await assign(platform, organization, hidden)
    shown = await find_module(platform, code, "code instances { url } apiKeys { id }", as_token=key)
    assert shown == {"code": code, "instances": [], "apiKeys": None}
    assert await find_module(platform, hidden, as_token=key) is None
    public = await register(platform, unique("public"))
    assert await find_module(platform, public, "code instances { url }", as_token=key) == {
        "code": public,
        "instances": None,
    }


@pytest.mark.parametrize(
    "field", sorted(field for field, roles in POLICY.items() if roles and Role.MODULE_SERVICE not in roles)
)
async def test_no_field_about_tenants_is_for_a_service(platform: Platform, own: tuple[str, str], field: str) -> None:
    body = json.loads(await answer(platform, field, None, token=own[1]))
    assert codes(body) == ["FORBIDDEN"]
    assert not any((body.get("data") or {}).values())


async def test_nothing_of_a_tenant_is_reached_through_what_it_may_see(platform: Platform) -> None:
    code, key = await module_with_key(platform)
    organization = await sign_up(platform)
    await assign(platform, organization, code)
    await set_config(platform, organization, code, {"secret": "tenants-own"})
    query = """query($code: String!, $e: [_Any!]!) { module(code: $code) { assignments { nodes { state } } }
      _entities(representations: $e) { __typename } viewer { organization { id } company { id } } }"""
    entities = [{"__typename": "Organization", "id": organization}, {"__typename": "Module", "code": code}]
    body = (await platform.post(query, {"code": code, "e": entities}, token=key)).json()
    assert sorted(codes(body)) == ["FORBIDDEN", "FORBIDDEN"]
    assert "tenants-own" not in json.dumps(body)
    assert (body["data"] or {}).get("module") is None


async def test_a_token_cannot_claim_to_be_a_service(platform: Platform, own: tuple[str, str]) -> None:
    organization = await sign_up(platform)
    bearer = token(Role.MODULE_SERVICE, organization=organization, key=KEY)
    response = await platform.post("{ viewer { subject } }", token=bearer)
    assert response.status_code == 401
    assert response.json()["errors"][0]["message"].startswith("the token has no role that is known here")


async def test_an_answer_kept_for_one_service_is_not_anothers(platform: Platform) -> None:
    keys = [await module_with_key(platform, visibility="PRIVATE") for _ in range(2)]
    query = '{ modules(first: 50, filter: {search: "serviced-"}) { nodes { code } } }'
    for _ in range(2):
        for code, key in keys:
            found = [each["code"] for each in (await platform.data(query, token=key))["modules"]["nodes"]]
            others = {each for each, _ in keys} - {code}
            assert code in found
            assert not others & set(found)
    organization = await sign_up(platform)
    found = (await platform.data(query, token=admin_of(organization)))["modules"]["nodes"]
    assert not {each for each, _ in keys} & {each["code"] for each in found}


async def test_an_administrator_keeps_any_module(platform: Platform) -> None:
    code = await register(platform, unique("serviced"))
    payload = await call_instance(
        platform, "register", platform.admin, module=code, url="http://127.0.0.1:9", version="1"
    )
    assert payload["errors"] == []
    payload = await call_instance(
        platform, "register", platform.admin, module="no-such", url="http://127.0.0.1:9", version="1"
    )
    assert [each["message"] for each in payload["errors"]] == ["no module 'no-such'"]
    assert (await create_key(platform, "no-such"))["errors"][0]["message"] == "no module 'no-such'"
