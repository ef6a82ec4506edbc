"""What modules need of each other: as listed, as pulled in by an assignment, as taken out by its end."""

from typing import Any

from tests.support.platform import Platform
from tests.support.stories import (
    assign,
    change_module,
    events_of,
    find_module,
    module_codes,
    organization_revision,
    register,
    sign_up,
    unassign,
    unique,
)


async def chain_of_three(platform: Platform) -> tuple[str, str, str]:
    """Three modules: the last needs the middle one, which needs the first."""
    base = await register(platform, unique("base"))
    middle = await register(platform, unique("middle"), requires={base: "^1.0.0"})
    top = await register(platform, unique("top"), requires=[f"{middle}@>=1.0.0"])
    return base, middle, top


def steps(action: str, organization: str, *causes: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"action": action, "module": module, "organizationId": organization, "cause": cause} for module, cause in causes
    ]


async def versions_of(platform: Platform, organization: str) -> dict[str, str]:
    query = "query($id: ID!) { organization(id: $id) { modules { module { code } version } } }"
    modules = (await platform.data(query, {"id": organization}))["organization"]["modules"]
    return {each["module"]["code"]: each["version"] for each in modules}


async def test_dependencies_direct_and_transitive(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    extra = await register(platform, unique("extra"), requires=[base])
    both = await register(
        platform,
        unique("both"),
        dependencies={
            "required_modules": [{"name": top, "version": "~1.0.0"}],
            "optional_modules": {extra: "1.x", "no-such-module": "*"},
        },
    )
    fields = "range optional module { code }"
    found = await find_module(
        platform, both, f"dependencies {{ {fields} }} all: dependencies(transitive: true) {{ {fields} }}"
    )
    direct = [
        {"range": "~1.0.0", "optional": False, "module": {"code": top}},
        {"range": "1.x", "optional": True, "module": {"code": extra}},
    ]
    assert found["dependencies"] == direct
    assert found["all"] == [
        *direct,
        {"range": ">=1.0.0", "optional": False, "module": {"code": middle}},
        {"range": "^1.0.0", "optional": False, "module": {"code": base}},
    ]


async def test_dependents_direct_and_transitive(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    other = await register(platform, unique("other"), requires=[base])
    await register(platform, unique("modest"), dependencies={"optional_modules": [base]})
    found = await find_module(platform, base, "dependents { code } all: dependents(transitive: true) { code }")
    assert [each["code"] for each in found["dependents"]] == sorted([middle, other])
    assert [each["code"] for each in found["all"]] == sorted([middle, other, top])
    assert await find_module(platform, top, "dependents { code }") == {"dependents": []}


async def test_only_the_latest_version_counts(platform: Platform) -> None:
    base, code = await register(platform, unique("base")), unique("needy")
    await register(platform, code, "1.0.0", requires=[base])
    await register(platform, code, "2.0.0")
    assert await find_module(platform, code, "dependencies { range }") == {"dependencies": []}
    assert await find_module(platform, base, "dependents { code }") == {"dependents": []}


async def test_an_assignment_pulls_in_what_is_needed(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    organization = await sign_up(platform)
    payload = await assign(platform, organization, top)
    assert payload["errors"] == []
    assert payload["revision"] == 4
    assert payload["affected"] == steps(
        "ASSIGN", organization, (base, "DEPENDENCY_OF"), (middle, "DEPENDENCY_OF"), (top, "REQUESTED")
    )
    shown = {each["module"]["code"]: each for each in payload["assignments"]}
    assert {code: each["dependencyOf"] for code, each in shown.items()} == {
        base: [{"code": middle}],
        middle: [{"code": top}],
        top: [],
    }
    assert {each["state"] for each in shown.values()} == {"ACTIVE"}
    events = (await events_of(platform, organization))[1:]
    assert [(each["type"], each["moduleCode"], each["revision"]) for each in events] == [
        ("ASSIGNED", base, 2),
        ("ASSIGNED", middle, 3),
        ("ASSIGNED", top, 4),
    ]
    assert [each["payload"]["assignment"]["is_requested"] for each in events] == [False, False, True]


async def test_what_is_there_is_not_pulled_in_again(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    organization = await sign_up(platform)
    await assign(platform, organization, base)
    payload = await assign(platform, organization, top)
    assert payload["affected"] == steps("ASSIGN", organization, (middle, "DEPENDENCY_OF"), (top, "REQUESTED"))
    query = (
        "query($id: ID!, $code: String!) { organization(id: $id) { module(code: $code) { dependencyOf { code } } } }"
    )
    found = await platform.data(query, {"id": organization, "code": base})
    assert found["organization"]["module"] == {"dependencyOf": []}


async def test_an_unassignment_takes_dependents_out_first(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    organization = await sign_up(platform)
    await assign(platform, organization, top)
    await assign(platform, organization, "crm")
    payload = await unassign(platform, organization, base)
    assert payload["errors"] == []
    assert payload["revision"] == 8
    assert payload["affected"] == steps(
        "UNASSIGN", organization, (top, "DEPENDENT_OF"), (middle, "DEPENDENT_OF"), (base, "REQUESTED")
    )
    assert await module_codes(platform, organization) == ["crm"]
    events = (await events_of(platform, organization))[-3:]
    assert [(each["type"], each["moduleCode"], each["revision"]) for each in events] == [
        ("UNASSIGNED", top, 6),
        ("UNASSIGNED", middle, 7),
        ("UNASSIGNED", base, 8),
    ]


async def test_an_unassignment_may_refuse_instead(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    organization = await sign_up(platform)
    await assign(platform, organization, top)
    payload = await unassign(platform, organization, base, cascade="REFUSE")
    assert payload["affected"] == []
    assert payload["errors"] == [
        {
            "__typename": "DependencyError",
            "message": f"{top}, {middle} need {base}; take them away first, or use cascade AUTO",
            "code": "DEPENDENCY",
            "path": ["input", "module"],
            "pointer": None,
        }
    ]
    assert await module_codes(platform, organization) == sorted([base, middle, top])
    assert await organization_revision(platform, organization) == 4
    done = await unassign(platform, organization, top, cascade="REFUSE")
    assert done["affected"] == steps("UNASSIGN", organization, (top, "REQUESTED"))


async def test_the_newest_version_that_fits_is_chosen(platform: Platform) -> None:
    base = unique("base")
    for number in ("1.0.0", "1.4.0", "1.10.0", "2.0.0", "1.11.0-rc.1"):
        await register(platform, base, number)
    needy = await register(platform, unique("needy"), requires={base: "^1.2.0"})
    organization = await sign_up(platform)
    await assign(platform, organization, needy)
    assert await versions_of(platform, organization) == {base: "1.10.0", needy: "1.0.0"}
    free = await sign_up(platform)
    await assign(platform, free, base)
    assert await versions_of(platform, free) == {base: "2.0.0"}


async def test_a_choice_is_taken_back_when_it_leads_nowhere(platform: Platform) -> None:
    base, left, right = unique("base"), unique("left"), unique("right")
    for number in ("1.0.0", "2.0.0"):
        await register(platform, base, number)
    await register(platform, left, "1.0.0", requires={base: "^1.0.0"})
    await register(platform, left, "1.1.0", requires={base: "^2.0.0"})
    await register(platform, right, "1.0.0", requires={base: "^1.0.0"})
    both = await register(platform, unique("both"), requires=[left, right])
    organization = await sign_up(platform)
    assert (await assign(platform, organization, both))["errors"] == []
    assert await versions_of(platform, organization) == {base: "1.0.0", both: "1.0.0", left: "1.0.0", right: "1.0.0"}


async def test_a_conflict_names_the_chain_that_leads_to_it(platform: Platform) -> None:
    base = unique("base")
    for number in ("1.0.0", "2.0.0"):
        await register(platform, base, number)
    middle = await register(platform, unique("middle"), requires={base: "^2.0.0"})
    top = await register(platform, unique("top"), requires=[middle])
    organization = await sign_up(platform)
    await assign(platform, organization, base, version="1.0.0")
    query = """mutation($input: AssignModuleInput!) { assignModule(input: $input) { affected { module } revision
      errors { __typename message path ... on DependencyError { chain } } } }"""
    variables = {"input": {"organizationId": organization, "module": top}}
    payload = (await platform.data(query, variables))["assignModule"]
    assert payload == {
        "affected": [],
        "revision": None,
        "errors": [
            {
                "__typename": "DependencyError",
                "message": (
                    f"{top} 1.0.0 → {middle} 1.0.0 wants {base} ^2.0.0, but {base} 1.0.0 is assigned;"
                    " there are 2.0.0, 1.0.0."
                ),
                "path": ["input", "module"],
                "chain": [top, middle, base],
            }
        ],
    }
    assert await versions_of(platform, organization) == {base: "1.0.0"}
    assert await organization_revision(platform, organization) == 2


async def test_an_optional_dependency_is_not_pulled_in(platform: Platform) -> None:
    extra = await register(platform, unique("extra"))
    modest = await register(platform, unique("modest"), dependencies={"optional_modules": [extra]})
    organization = await sign_up(platform)
    await assign(platform, organization, modest)
    assert await module_codes(platform, organization) == [modest]
    await assign(platform, organization, extra)
    taken = await unassign(platform, organization, extra)
    assert [each["module"] for each in taken["affected"]] == [extra]


async def test_a_dependency_that_is_switched_off_is_said(platform: Platform) -> None:
    base, code = await register(platform, unique("base")), unique("needy")
    await register(platform, code, "1.0.0", requires=[base])
    await register(platform, code, "2.0.0")
    await change_module(platform, "deactivateModule", base)
    organization = await sign_up(platform)
    payload = await assign(platform, organization, code, version="1.0.0")
    (error,) = payload["errors"]
    assert (error["__typename"], error["path"]) == ("DependencyError", ["input", "module"])
    assert error["message"] == f"{code} 1.0.0 wants {base} *, but it is deactivated."
    assert await organization_revision(platform, organization) == 1
