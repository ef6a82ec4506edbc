"""What a version of a module brings into the graph: registered, checked, approved. The graph itself never notices."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from auth.actor import Role
from tests.federation.install import require_composer
from tests.support.platform import Platform, token
from tests.support.stories import register, sign_up, unique
from tests.support.subgraphs import (
    HEAD,
    Services,
    activated,
    active,
    codes,
    composing,
    current,
    done,
    module_of,
    mutate,
    prefix_of,
    read,
    registered,
    running_services,
    sdl_of,
    settled,
)

URL = "https://module.example.com/graphql"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(platform: Platform) -> AsyncIterator[Services]:
    require_composer()
    async with running_services() as running, composing(platform):
        yield running


def given(module: str, **more: Any) -> dict[str, Any]:
    return {"module": module, "version": "1.0.0", "sdl": sdl_of(module), "routingUrl": URL, **more}


async def events_of(platform: Platform, module: str) -> list[tuple[str, str]]:
    """Type and state of what the platform's stream says of a module's subgraphs."""
    query = """query($code: String) { events(moduleCode: $code, types: [SUBGRAPH_CHANGED], first: 50) {
      nodes { type payload } } }"""
    nodes = (await platform.data(query, {"code": module}))["events"]["nodes"]
    return [(node["type"], node["payload"]["subgraph"]["state"]) for node in nodes]


async def test_a_registration_is_checked_stamped_and_activated(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    before = await current(platform)
    checked = await registered(platform, services, module)
    assert (checked["state"], checked["findings"], checked["requestedBy"]) == ("CHECKED", [], "tester")
    assert checked["sdlSha256"] == hashlib.sha256(services.sdl[module].encode()).hexdigest()
    assert {each["criticality"] for each in checked["changes"]} == {"SAFE"}
    assert (await current(platform))["sha256"] == before["sha256"]
    found = await activated(platform, checked)
    assert (found["state"], found["findings"]) == ("ACTIVE", [])
    query = "query($code: String!) { module(code: $code) { subgraph { id stampedSdl sdl module { code } } } }"
    shown = (await platform.data(query, {"code": module}))["module"]["subgraph"]
    assert (shown["id"], shown["module"], shown["sdl"]) == (found["id"], {"code": module}, services.sdl[module])
    gated = [line.split(":")[0].strip() for line in shown["stampedSdl"].splitlines() if f'"module:{module}"' in line]
    member = prefix_of(module).replace("P", "p")
    assert {member, f"{member}Items"} <= set(gated)
    after = await current(platform)
    assert after["version"] == before["version"] + 1
    (mine,) = (each for each in after["inputs"] if each["name"] == module)
    assert mine == {"name": module, "subgraphId": found["id"], "version": "1.0.0", "url": services.url(module)}
    assert prefix_of(module) in after["publicSdl"]
    assert [state for _, state in await events_of(platform, module)] == ["CHECKING", "CHECKED", "ACTIVATING", "ACTIVE"]


def misused(module: str, name: str) -> str:
    """An SDL that is wrong in one way."""
    own = prefix_of(module)
    good = sdl_of(module)
    return {
        "does not parse": "type Query {",
        "has no @link": good.removeprefix(HEAD),
        "names an unknown directive": good.replace("number: Int", "number: Int @nonsense"),
        "redefines a platform type": f"{good}type Module {{ code: String }}\n",
        "makes a gated field non-null": good.replace(f"[{own}!] ", f"[{own}!]! "),
    }[name]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("does not parse", "SYNTAX_ERROR"),
        ("has no @link", "LINK_MISSING"),
        ("names an unknown directive", "INVALID_DIRECTIVE"),
        ("redefines a platform type", "TYPE_TAKEN"),
        ("makes a gated field non-null", "NON_NULL_FIELD"),
    ],
)
async def test_bad_sdl_fails_with_a_finding_at_its_line(
    platform: Platform, services: Services, name: str, code: str
) -> None:
    module = await module_of(platform)
    before = await current(platform)
    found = await registered(platform, services, module, misused(module, name))
    assert found["state"] == "FAILED"
    wrong = [each for each in found["findings"] if each["severity"] == "ERROR"]
    assert code in [each["code"] for each in wrong], wrong
    assert all(each["line"] is not None for each in wrong), wrong
    refused = await mutate(platform, "activateSubgraph", {"id": found["id"]})
    (error,) = refused["errors"]
    assert (error["__typename"], error["allowed"]) == ("StateTransitionError", ["CHECKING"])
    assert await current(platform) == before


async def test_a_private_address_fails_whoever_is_there(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    private = given(module, routingUrl="http://169.254.169.254/latest")
    subgraph = await settled(platform, await done(platform, "registerSubgraph", private))
    assert (subgraph["state"], codes(subgraph)) == ("FAILED", ["ROUTING_URL_PRIVATE"])


async def test_a_service_that_is_down_may_be_registered_and_not_activated(
    platform: Platform, services: Services
) -> None:
    module = await module_of(platform)
    before = await current(platform)
    url = services.url(module)
    checked = await settled(platform, await done(platform, "registerSubgraph", given(module, routingUrl=url)))
    assert (checked["state"], codes(checked)) == ("CHECKED", ["~SERVICE_UNAVAILABLE"])
    failed = await activated(platform, checked)
    assert (failed["state"], codes(failed)) == ("FAILED", ["SERVICE_UNAVAILABLE"])
    services.sdl[module] = sdl_of(module, fields="another: Int")
    again = await settled(platform, await done(platform, "registerSubgraph", given(module, routingUrl=url)))
    assert (again["id"], again["state"], codes(again)) == (checked["id"], "CHECKED", ["~SERVICE_SDL_DIFFERS"])
    failed = await activated(platform, again)
    assert (failed["state"], codes(failed)) == ("FAILED", ["SERVICE_SDL_DIFFERS"])
    assert await current(platform) == before
    services.sdl[module] = sdl_of(module)
    await settled(platform, await done(platform, "registerSubgraph", given(module, routingUrl=url)))
    assert (await activated(platform, checked))["state"] == "ACTIVE"


async def test_two_modules_that_clash_only_together(platform: Platform, services: Services) -> None:
    """Each composes with what is there; whoever comes second is refused, by name, when it is activated."""
    first, second = await module_of(platform), await module_of(platform)
    shared = 'type {} @key(fields: "id") {{ id: ID! same: {} }}\n'
    name = prefix_of(unique("shared"))
    one = await registered(platform, services, first, sdl_of(first, more=shared.format(name, "Int")))
    two = await registered(platform, services, second, sdl_of(second, more=shared.format(name, "String")))
    assert (one["state"], two["state"]) == ("CHECKED", "CHECKED")
    assert (await activated(platform, one))["state"] == "ACTIVE"
    before = await current(platform)
    failed = await activated(platform, two)
    assert failed["state"] == "FAILED"
    assert any(f"{name}.same" in each["message"] for each in failed["findings"]), failed["findings"]
    assert await current(platform) == before


async def test_a_breaking_change_waits_for_an_approval(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    first = await active(platform, services, module, sdl_of(module, fields="number: Int gone: Int"))
    await register(platform, module, "2.0.0")
    second = await registered(platform, services, module, version="2.0.0")
    gone = f"{prefix_of(module)}.gone"
    assert second["state"] == "NEEDS_APPROVAL"
    assert [each["path"] for each in second["changes"] if each["criticality"] == "BREAKING"] == [gone]
    refused = await mutate(platform, "activateSubgraph", {"id": second["id"]})
    assert [each["__typename"] for each in refused["errors"]] == ["StateTransitionError"]
    stale = {"id": second["id"], "expectedRevision": first["revision"]}
    conflict = await mutate(platform, "approveSubgraph", stale)
    assert [each["__typename"] for each in conflict["errors"]] == ["RevisionConflictError"]
    approved = await done(platform, "approveSubgraph", {"id": second["id"], "reason": "nobody used it"})
    assert (approved["state"], approved["approvedBy"]) == ("CHECKED", "tester")
    assert (await activated(platform, approved))["state"] == "ACTIVE"
    assert (await read(platform, first["id"]))["state"] == "RETIRED"
    # what would break now was shown to nobody: the first version lacks nothing, but the graph has moved on
    await register(platform, module, "3.0.0")
    third = await registered(platform, services, module, sdl_of(module, fields="number: Int new: Int"), version="3.0.0")
    await activated(platform, third)
    services.sdl[module] = sdl_of(module)
    back = await activated(platform, approved)
    assert (back["state"], back["approvedBy"]) == ("NEEDS_APPROVAL", None)
    assert [each["path"] for each in back["changes"] if each["criticality"] == "BREAKING"] == [
        f"{prefix_of(module)}.new"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("routingUrl", "ftp://module.example.com/graphql"),
        ("routingUrl", "module.example.com"),
        ("routingUrl", "https://user:secret@module.example.com/"),
        ("routingUrl", "https://module.example.com/a b"),
        ("routingUrl", "https://module.example.com/" + "a" * 2048),
        ("sdl", ""),
        ("sdl", "# " + "a" * 192 * 1024),
    ],
)
async def test_what_has_no_form_is_not_kept(platform: Platform, field: str, value: str) -> None:
    module = await module_of(platform)
    payload = await mutate(platform, "registerSubgraph", given(module, **{field: value}))
    found = [(each["__typename"], each["path"]) for each in payload["errors"]]
    assert (payload["subgraph"], found) == (None, [("InvalidInputError", ["input", field])])
    assert await events_of(platform, module) == []


async def test_five_megabytes_are_refused_unread(platform: Platform) -> None:
    module = await module_of(platform)
    query = "mutation($input: RegisterSubgraphInput!) { registerSubgraph(input: $input) { revision } }"
    response = await platform.post(query, {"input": given(module, sdl="#" * 5_000_000)})
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_only_known_modules_and_versions_are_registered(platform: Platform) -> None:
    module = await module_of(platform)
    for wrong, field in ((given("no-such"), "module"), (given(module, version="9.9.9"), "version")):
        (error,) = (await mutate(platform, "registerSubgraph", wrong))["errors"]
        assert (error["__typename"], error["path"]) == ("NotFoundError", ["input", field])
    (error,) = (await mutate(platform, "registerSubgraph", given("platform")))["errors"]
    assert (error["__typename"], error["path"]) == ("InvalidInputError", ["input", "module"])


async def test_the_same_again_changes_nothing_and_another_is_refused(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    first = await registered(platform, services, module)
    wanted = given(module, routingUrl=services.url(module))
    again = await done(platform, "registerSubgraph", wanted)
    assert again == first
    (error,) = (await mutate(platform, "registerSubgraph", {**wanted, "routingUrl": URL}))["errors"]
    assert (error["__typename"], error["path"]) == ("AlreadyExistsError", ["input", "version"])
    assert len(await events_of(platform, module)) == 2


async def test_one_key_registers_and_activates_once(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    subgraph = await registered(platform, services, module)
    asked = {"id": subgraph["id"], "idempotencyKey": unique("key")}
    first, second = await mutate(platform, "activateSubgraph", asked), await mutate(platform, "activateSubgraph", asked)
    assert (first["errors"], second["errors"], first["revision"]) == ([], [], second["revision"])
    await settled(platform, subgraph)
    assert [state for _, state in await events_of(platform, module)].count("ACTIVATING") == 1


async def test_tenants_are_shown_no_subgraph(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    subgraph = await active(platform, services, module)
    bearer = token(Role.ORGANIZATION_ADMIN, organization=await sign_up(platform))
    query = "query($code: String!) { module(code: $code) { code subgraph { sdl } subgraphs { nodes { sdl } } } }"
    seen = (await platform.data(query, {"code": module}, token=bearer))["module"]
    assert seen == {"code": module, "subgraph": None, "subgraphs": {"nodes": []}}
    query = "query($id: ID!) { subgraph(id: $id) { sdl } }"
    assert await platform.code(query, {"id": subgraph["id"]}, token=bearer) == "FORBIDDEN"
    assert await platform.code("{ supergraph { sdl } }", token=bearer) == "FORBIDDEN"


async def test_a_modules_own_service_keeps_its_subgraph_and_no_other(platform: Platform, services: Services) -> None:
    module, other = await module_of(platform), await module_of(platform)
    theirs = await registered(platform, services, other)
    query = """mutation($input: CreateModuleApiKeyInput!) { createModuleApiKey(input: $input) {
      secret errors { message } } }"""
    made = await platform.data(query, {"input": {"module": module, "name": "ci"}})
    key = made["createModuleApiKey"]["secret"]
    services.sdl[module] = sdl_of(module)
    wanted = given(module, routingUrl=services.url(module))
    async with asyncio.timeout(20):  # until the process has heard of the key
        while (await platform.post("{ viewer { subject } }", token=key)).status_code == 401:
            await asyncio.sleep(0.1)
    payload = await mutate(platform, "registerSubgraph", wanted, token=key)
    assert (payload["errors"], payload["subgraph"]["state"]) == ([], "CHECKING")
    checked = await settled(platform, payload["subgraph"])
    assert (await mutate(platform, "activateSubgraph", {"id": checked["id"]}, token=key))["errors"] == []
    assert (await settled(platform, checked))["state"] == "ACTIVE"
    show = "query($id: ID!) { subgraph(id: $id) { sdl } }"
    assert await platform.data(show, {"id": checked["id"]}, token=key) == {"subgraph": {"sdl": services.sdl[module]}}
    assert await platform.data(show, {"id": theirs["id"]}, token=key) == {"subgraph": None}
    for name, asked in (
        ("registerSubgraph", given(other)),
        ("activateSubgraph", {"id": theirs["id"]}),
        ("deactivateSubgraph", {"module": other}),
    ):
        (error,) = (await mutate(platform, name, asked, token=key))["errors"]
        assert error["__typename"] == "NotFoundError", name
    # nor does it break its clients: it could take all out, and put something else in
    (error,) = (await mutate(platform, "deactivateSubgraph", {"module": module}, token=key))["errors"]
    assert (error["__typename"], error["path"]) == ("StateTransitionError", ["input", "module"])
    assert "administrators" in error["message"]
    assert (await read(platform, checked["id"]))["state"] == "ACTIVE"
    approve = "mutation($id: ID!) { approveSubgraph(input: {id: $id}) { revision } }"
    assert await platform.code(approve, {"id": theirs["id"]}, token=key) == "FORBIDDEN"


async def test_fifty_modules_show_their_subgraphs_with_one_statement(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    await active(platform, services, module)
    query = "query($first: Int) { modules(first: $first) { nodes { subgraph { id } subgraphs { nodes { id } } } } }"
    counts = []
    for first in (1, 50):
        with platform.statements() as sent:
            await platform.data(query, {"first": first})
        about = [each for each in sent.texts if "subgraph_versions" in each and "lease_until <" not in each]
        assert not any("stamped_sdl" in each for each in about)
        counts.append(len(about))
    assert counts == [2, 2]


async def test_a_module_goes_only_after_its_types(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    subgraph = await active(platform, services, module)
    query = """mutation($input: ModuleRefInput!) { deleteModule(input: $input) { errors { __typename message } } }"""
    asked = {"input": {"code": module, "cascade": "AUTO"}}
    (error,) = (await platform.data(query, asked))["deleteModule"]["errors"]
    assert error["__typename"] == "DependencyError"
    assert "deactivateSubgraph" in error["message"]
    # switched off for everybody it stays in the graph: entitlement denies it, and clients' documents stay valid
    switch = "mutation($input: ModuleRefInput!) { deactivateModule(input: $input) { errors { message } } }"
    assert (await platform.data(switch, {"input": {"code": module}}))["deactivateModule"]["errors"] == []
    assert prefix_of(module) in (await current(platform))["publicSdl"]
    retired = await settled(platform, await done(platform, "deactivateSubgraph", {"module": module}))
    assert (retired["id"], retired["state"]) == (subgraph["id"], "RETIRED")
    assert prefix_of(module) not in (await current(platform))["publicSdl"]
    assert (await platform.data(query, asked))["deleteModule"]["errors"] == []
    (error,) = (await mutate(platform, "activateSubgraph", {"id": subgraph["id"]}))["errors"]
    assert error["__typename"] == "NotFoundError"


async def test_a_slow_service_holds_nobody_up(platform: Platform, services: Services) -> None:
    slow, quick = await module_of(platform), await module_of(platform)
    subgraph = await registered(platform, services, slow)
    services.delay[slow] = 20
    asked = await done(platform, "activateSubgraph", {"id": subgraph["id"]})
    await registered(platform, services, quick)
    assert (await read(platform, subgraph["id"]))["state"] == "ACTIVATING"  # it is still asked
    failed = await settled(platform, asked)
    assert (failed["state"], codes(failed)) == ("FAILED", ["SERVICE_UNAVAILABLE"])
