"""CORE modules: everybody has them, from the start or from now on, and nobody can take them away."""

from tests.support.platform import Platform
from tests.support.stories import (
    admin_of,
    change_module,
    events_about,
    events_of,
    find_module,
    manifest,
    module_codes,
    organization_revision,
    platform_revision,
    register,
    sign_up,
    try_register,
    unassign,
    unique,
)


async def test_a_later_core_module_is_given_to_every_organization(platform: Platform) -> None:
    users = sorted([await sign_up(platform) for _ in range(3)])
    others = await organizations(platform)
    code = unique("core")
    payload = await try_register(platform, manifest(code, configuration={"defaults": {"zone": "UTC"}}), tier="CORE")
    assert payload["errors"] == []
    assert payload["module"]["tier"] == "CORE"
    assert payload["affected"] == [{"action": "ASSIGN", "module": code}] * len(others)
    for user in users:
        assert code in await module_codes(platform, user, as_token=admin_of(user))
        event = (await events_of(platform, user))[-1]
        assert (event["type"], event["moduleCode"]) == ("ASSIGNED", code)
        assert event["revision"] == await organization_revision(platform, user)
        assignment = event["payload"]["assignment"]
        assert (assignment["state"], assignment["tier"], assignment["version"]) == ("ACTIVE", "CORE", "1.0.0")
    told = [each for each in await events_about(platform, code) if each["type"] == "ASSIGNED"]
    assert sorted(each["organizationId"] for each in told) == sorted(others)
    query = "query($id: ID!, $code: String!) { organization(id: $id) { effectiveConfig(module: $code) { values } } }"
    config = await platform.data(query, {"id": users[0], "code": code})
    assert config["organization"]["effectiveConfig"] == {"values": {"zone": "UTC"}}


async def organizations(platform: Platform) -> list[str]:
    found = await platform.data("{ organizations(first: 200) { nodes { id } } }")
    return [each["id"] for each in found["organizations"]["nodes"]]


async def test_core_modules_are_there_at_signup(platform: Platform) -> None:
    base = await register(platform, unique("core-base"), tier="CORE")
    code = await register(platform, unique("core"), tier="CORE", requires=[base])
    organization = await sign_up(platform, industry="tech")
    codes = await module_codes(platform, organization, as_token=admin_of(organization))
    assert {base, code} < set(codes)
    events = await events_of(platform, organization)
    assert [each["revision"] for each in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "ORGANIZATION_CREATED"
    assert events[-1]["type"] == "INDUSTRY_APPLIED"
    assert {each["type"] for each in events[1:-1]} == {"ASSIGNED"}
    assigned = [each["moduleCode"] for each in events[1:-1]]
    assert assigned.index(base) < assigned.index(code)


async def test_a_new_version_of_a_core_module_is_no_new_assignment(platform: Platform) -> None:
    organization = await sign_up(platform)
    code = await register(platform, unique("core"), "1.0.0", tier="CORE")
    before = await organization_revision(platform, organization)
    payload = await try_register(platform, manifest(code, "1.1.0"))
    assert (payload["errors"], payload["affected"]) == ([], [])
    assert await organization_revision(platform, organization) == before


async def test_a_core_module_is_not_unassigned(platform: Platform) -> None:
    code, organization = await register(platform, unique("core"), tier="CORE"), await sign_up(platform)
    before = await organization_revision(platform, organization)
    for more in ({}, {"cascade": "REFUSE"}, {"cascade": "AUTO"}, {"dryRun": True}, {"token": admin_of(organization)}):
        payload = await unassign(platform, organization, code, **more)
        assert payload["errors"] == [
            {
                "__typename": "CoreModuleError",
                "message": f"{code}: a CORE module is always there and can't be taken away",
                "code": "CORE_MODULE",
                "path": ["input", "module"],
                "pointer": None,
            }
        ]
        assert (payload["affected"], payload["revision"]) == ([], None)
    assert code in await module_codes(platform, organization)
    assert await organization_revision(platform, organization) == before


async def test_a_core_module_is_neither_switched_off_nor_deleted(platform: Platform) -> None:
    base = await register(platform, unique("core-base"), tier="CORE")
    await register(platform, unique("core"), tier="CORE", requires=[base])
    before = await platform_revision(platform)
    for mutation in ("deactivateModule", "deleteModule"):
        for cascade in ("REFUSE", "AUTO"):
            payload = await change_module(platform, mutation, base, cascade=cascade)
            (error,) = payload["errors"]
            assert (error["__typename"], error["path"]) == ("CoreModuleError", ["input", "code"])
            assert payload["affected"] == []
    assert await find_module(platform, base, "isActive") == {"isActive": True}
    assert await platform_revision(platform) == before


async def test_what_a_core_module_needs_does_not_stop_being_core(platform: Platform) -> None:
    """An organization that takes an optional module out never loses a CORE one by the cascade."""
    core = await register(platform, unique("core"), tier="CORE")
    optional = await register(platform, unique("optional"), requires=[core])
    organization = await sign_up(platform)
    query = """mutation($input: AssignModuleInput!) { assignModule(input: $input) {
      affected { module } errors { message } } }"""
    done = await platform.data(query, {"input": {"organizationId": organization, "module": optional}})
    assert done["assignModule"] == {"affected": [{"module": optional}], "errors": []}
    payload = await unassign(platform, organization, optional)
    assert [each["module"] for each in payload["affected"]] == [optional]
    assert core in await module_codes(platform, organization)
    refused = await unassign(platform, organization, core, cascade="AUTO")
    assert [each["__typename"] for each in refused["errors"]] == ["CoreModuleError"]


async def test_a_new_version_of_a_core_module_may_not_need_an_optional_one(platform: Platform) -> None:
    code = await register(platform, unique("core"), tier="CORE")
    payload = await try_register(platform, manifest(code, "1.1.0", requires=["crm"]))
    assert [(each["__typename"], each["pointer"]) for each in payload["errors"]] == [
        ("DependencyError", "/dependencies/required_modules/0")
    ]
    found = await find_module(platform, code, "versions { nodes { number } }")
    assert found == {"versions": {"nodes": [{"number": "1.0.0"}]}}
