"""Manifests that are refused: every problem at once, each with its place, and nothing is written."""

from typing import Any

import pytest

from auth.actor import Role
from tests.support.platform import Platform, token
from tests.support.stories import find_module, manifest, platform_revision, register, sign_up, try_register, unique

VALIDATE = "query($manifest: JSON!) { validateManifest(manifest: $manifest) { __typename path pointer } }"
REGISTER = """mutation($input: RegisterModuleInput!) { registerModule(input: $input) { module { code } revision
  errors { __typename message path pointer ... on DependencyError { chain } } } }"""


async def refusals(platform: Platform, document: Any, **more: Any) -> list[Any]:
    """The errors of a registration that is refused as a whole."""
    before = await platform_revision(platform)
    payload = (await platform.data(REGISTER, {"input": {"manifest": document, **more}}))["registerModule"]
    assert (payload["module"], payload["revision"]) == (None, None)
    assert await platform_revision(platform) == before
    found: list[Any] = payload["errors"]
    assert all(each["path"] == ["input", "manifest"] for each in found)
    return found


async def dependency_refusal(platform: Platform, document: Any, **more: Any) -> tuple[str, list[str], str]:
    """Pointer, chain and message of the only error, which is about dependencies."""
    (error,) = await refusals(platform, document, **more)
    assert error["__typename"] == "DependencyError"
    return error["pointer"], error["chain"], error["message"]


@pytest.mark.parametrize("document", [[], ["a"], "text", "", 1, True])
async def test_a_manifest_is_an_object(platform: Platform, document: Any) -> None:
    (error,) = await refusals(platform, document)
    assert (error["__typename"], error["pointer"]) == ("InvalidManifestError", "")


async def test_a_null_manifest_is_refused_by_the_schema(platform: Platform) -> None:
    assert await platform.code(REGISTER, {"input": {"manifest": None}}) == "BAD_USER_INPUT"
    literal = "mutation { registerModule(input: { manifest: null }) { revision } }"
    assert await platform.code(literal) == "GRAPHQL_VALIDATION_FAILED"


async def test_all_problems_are_told_at_once(platform: Platform) -> None:
    code = unique("broken")
    document = {
        "name": code,
        "version": "1.0",
        "tags": "not a list",
        "is_core": True,
        "is_internal": True,
        "permissions": [f"{code}:read", "elsewhere:read", f"{code}:"],
        "dependencies": {"platform_version": "not a range", "required_modules": ["crm@nope", code]},
        "configuration": {
            "defaults": {"size": "big"},
            "schema": {"type": "object", "properties": {"size": {"type": "integer"}}},
        },
    }
    expected = [
        ("InvalidManifestError", "/tags"),
        ("InvalidManifestError", "/version"),
        ("InvalidManifestError", "/permissions/1"),
        ("InvalidManifestError", "/permissions/2"),
        ("InvalidManifestError", "/is_internal"),
        ("InvalidManifestError", "/dependencies/platform_version"),
        ("InvalidManifestError", "/dependencies/required_modules/0"),
        ("DependencyError", "/dependencies/required_modules/1"),
        ("InvalidManifestError", "/configuration/defaults/size"),
    ]
    found = [(each["__typename"], each["pointer"]) for each in await refusals(platform, document)]
    assert sorted(found) == sorted(expected)
    assert await find_module(platform, code) is None


@pytest.mark.parametrize("name", ["", "a", "Upper", "under_score", "1st", "a" * 64, "ä-b", "a b", 7, None])
async def test_a_code_is_a_slug(platform: Platform, name: Any) -> None:
    (error,) = await refusals(platform, {"name": name, "version": "1.0.0"})
    assert (error["__typename"], error["pointer"]) == ("InvalidManifestError", "/name")


async def test_name_and_version_are_required(platform: Platform) -> None:
    found = [(each["__typename"], each["pointer"]) for each in await refusals(platform, {})]
    assert sorted(found) == [("InvalidManifestError", "/name"), ("InvalidManifestError", "/version")]


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "latest", "", 1.0])
async def test_a_version_is_semver(platform: Platform, version: Any) -> None:
    (error,) = await refusals(platform, {"name": unique("versioned"), "version": version})
    assert (error["__typename"], error["pointer"]) == ("InvalidManifestError", "/version")


async def test_a_schema_that_is_none_is_refused_with_its_place(platform: Platform) -> None:
    schema = {"type": "object", "properties": {"size": {"type": "no-such-type"}}}
    document = manifest(unique("schemed"), configuration={"schema": schema})
    found = await refusals(platform, document)
    assert [each["pointer"] for each in found] == ["/configuration/schema/properties/size/type"]


async def test_an_unknown_dependency_is_refused(platform: Platform) -> None:
    code = unique("needy")
    pointer, chain, message = await dependency_refusal(platform, manifest(code, requires=["crm", "no-such@^1.0.0"]))
    assert pointer == "/dependencies/required_modules/1"
    assert chain == [code, "no-such"]
    assert message == f"{code} needs no-such, which is not registered."


async def test_an_optional_dependency_need_not_exist(platform: Platform) -> None:
    document = manifest(unique("modest"), dependencies={"optional_modules": ["no-such@^1.0.0"]})
    assert (await try_register(platform, document))["errors"] == []


async def test_a_range_that_nothing_satisfies_is_refused(platform: Platform) -> None:
    base, code = await register(platform, unique("base"), "1.4.0"), unique("needy")
    await register(platform, base, "1.5.0")
    pointer, chain, message = await dependency_refusal(platform, manifest(code, requires={base: "^2.0.0"}))
    assert pointer == f"/dependencies/required_modules/{base}"
    assert chain == [code, base]
    assert message == f"{code} needs {base} ^2.0.0; there are 1.5.0, 1.4.0."


async def test_a_cycle_is_refused_with_its_path(platform: Platform) -> None:
    first = await register(platform, unique("first"))
    second = await register(platform, unique("second"), requires=[first])
    third = await register(platform, unique("third"), requires=[{"name": second, "version": "^1.0.0"}])
    document = manifest(first, "1.1.0", requires=["crm", f"{third}@*"])
    pointer, chain, message = await dependency_refusal(platform, document)
    assert pointer == "/dependencies/required_modules/1"
    assert chain == [first, third, second, first]
    assert f"{first} → {third} → {second} → {first}" in message
    versions = await find_module(platform, first, "versions { nodes { number } }")
    assert versions == {"versions": {"nodes": [{"number": "1.0.0"}]}}


async def test_a_module_may_not_need_itself(platform: Platform) -> None:
    code = unique("selfish")
    pointer, chain, _ = await dependency_refusal(platform, manifest(code, requires=[code]))
    assert (pointer, chain) == ("/dependencies/required_modules/0", [code, code])


async def test_a_core_module_may_not_need_an_optional_one(platform: Platform) -> None:
    code = unique("core")
    pointer, chain, message = await dependency_refusal(platform, manifest(code, requires=["crm"]), tier="CORE")
    assert (pointer, chain) == ("/dependencies/required_modules/0", [code, "crm"])
    assert message == f"{code} is CORE and may need CORE modules only; crm is OPTIONAL."
    assert await find_module(platform, code) is None


async def test_the_defaults_of_a_core_module_must_be_complete(platform: Platform) -> None:
    schema = {"type": "object", "required": ["zone"], "properties": {"zone": {"type": "string"}}}
    document = manifest(unique("core"), configuration={"schema": schema})
    (error,) = await refusals(platform, document, tier="CORE")
    assert (error["__typename"], error["pointer"]) == ("InvalidManifestError", "/configuration/defaults/zone")
    assert (await try_register(platform, document))["errors"] == []


async def test_a_core_module_is_in_every_plan(platform: Platform) -> None:
    """Otherwise nobody on a lower plan could sign up any more."""
    document = manifest(unique("core"), subscription_tier="premium")
    (error,) = await refusals(platform, document, tier="CORE")
    assert (error["__typename"], error["pointer"]) == ("InvalidManifestError", "/subscription_tier")
    await sign_up(platform, plan="free")


async def test_validation_says_the_same_and_writes_nothing(platform: Platform) -> None:
    code = unique("checked")
    before = await platform_revision(platform)
    member = token(Role.MEMBER, organization=await sign_up(platform))
    assert await platform.data(VALIDATE, {"manifest": manifest(code)}, token=member) == {"validateManifest": []}
    document = {"name": code, "version": "one", "permissions": ["elsewhere:read"]}
    told = (await platform.data(VALIDATE, {"manifest": document}, token=member))["validateManifest"]
    assert told == [
        {"__typename": "InvalidManifestError", "path": ["manifest"], "pointer": "/version"},
        {"__typename": "InvalidManifestError", "path": ["manifest"], "pointer": "/permissions/0"},
    ]
    said = [(each["__typename"], each["pointer"]) for each in await refusals(platform, document)]
    assert said == [(each["__typename"], each["pointer"]) for each in told]
    assert await platform_revision(platform) == before
    assert await find_module(platform, code) is None


@pytest.mark.parametrize("document", [[], "text", 3])
async def test_validation_of_what_is_no_object(platform: Platform, document: Any) -> None:
    (error,) = (await platform.data(VALIDATE, {"manifest": document}))["validateManifest"]
    assert error == {"__typename": "InvalidManifestError", "path": ["manifest"], "pointer": ""}
