"""Switching modules on and off for the whole platform."""

from typing import Any

from tests.support.platform import Platform
from tests.support.stories import (
    admin_of,
    assign,
    change_module,
    events_about,
    events_of,
    find_module,
    module_codes,
    organization_revision,
    platform_revision,
    register,
    sign_up,
    unique,
)


def step(action: str, module: str, cause: str, organization: str | None = None) -> dict[str, Any]:
    return {"action": action, "module": module, "organizationId": organization, "cause": cause}


async def chain_of_three(platform: Platform) -> tuple[str, str, str]:
    """Three modules: the last needs the middle one, which needs the first."""
    base = await register(platform, unique("base"))
    middle = await register(platform, unique("middle"), requires=[base])
    top = await register(platform, unique("top"), requires=[middle])
    return base, middle, top


async def is_active(platform: Platform, *codes: str) -> list[bool]:
    return [(await find_module(platform, code, "isActive"))["isActive"] for code in codes]


async def test_switching_off_reaches_the_registry_and_every_user(platform: Platform) -> None:
    code = await register(platform, unique("switched"))
    users = sorted([await sign_up(platform) for _ in range(2)])
    bystander = await sign_up(platform)
    for user in users:
        await assign(platform, user, code)
    before = await platform_revision(platform)
    payload = await change_module(platform, "deactivateModule", code)
    assert payload == {
        "module": {"code": code, "isActive": False, "revision": before + 1},
        "revision": before + 1,
        "affected": [
            step("DEACTIVATE", code, "REQUESTED"),
            *(step("DEACTIVATE", code, "REQUESTED", user) for user in users),
        ],
        "errors": [],
    }
    event = (await events_about(platform, code))[-3:]
    registry = next(each for each in event if each["organizationId"] is None)
    assert (registry["type"], registry["revision"]) == ("DEACTIVATED", before + 1)
    assert registry["payload"]["module"]["is_active"] is False
    for user in users:
        last = (await events_of(platform, user))[-1]
        assert (last["type"], last["moduleCode"], last["revision"]) == ("STATE_CHANGED", code, 3)
        assert last["payload"]["is_available"] is False
        assert last["payload"]["assignment"]["revision"] == 3
        assert await organization_revision(platform, user) == 3
    assert [each["type"] for each in await events_of(platform, bystander)] == ["ORGANIZATION_CREATED"]


async def test_a_switched_off_module_is_assigned_but_not_available(platform: Platform) -> None:
    code, user = await register(platform, unique("switched")), await sign_up(platform)
    await assign(platform, user, code)
    query = "query($id: ID!, $code: String!) { organization(id: $id) { module(code: $code) { state isAvailable } } }"
    variables = {"id": user, "code": code}
    await change_module(platform, "deactivateModule", code)
    off = await platform.data(query, variables, token=admin_of(user))
    assert off["organization"]["module"] == {"state": "ACTIVE", "isAvailable": False}
    payload = await change_module(platform, "activateModule", code)
    assert payload["affected"] == [step("ACTIVATE", code, "REQUESTED"), step("ACTIVATE", code, "REQUESTED", user)]
    on = await platform.data(query, variables, token=admin_of(user))
    assert on["organization"]["module"] == {"state": "ACTIVE", "isAvailable": True}
    last = (await events_of(platform, user))[-1]
    assert (last["type"], last["payload"]["is_available"]) == ("STATE_CHANGED", True)
    assert [each["type"] for each in await events_about(platform, code) if each["organizationId"] is None] == [
        "REGISTERED",
        "DEACTIVATED",
        "ACTIVATED",
    ]


async def test_switching_off_again_is_a_success_without_an_event(platform: Platform) -> None:
    code, user = await register(platform, unique("switched")), await sign_up(platform)
    await assign(platform, user, code)
    for mutation, wanted in (("activateModule", True), ("deactivateModule", False), ("deactivateModule", False)):
        first = await change_module(platform, mutation, code)
        before, events = await platform_revision(platform), await events_about(platform, code)
        again = await change_module(platform, mutation, code)
        assert first["errors"] == again["errors"] == []
        assert again["affected"] == []
        assert again["module"] == first["module"]
        assert again["module"]["isActive"] is wanted
        assert again["revision"] == await platform_revision(platform) == before
        assert await events_about(platform, code) == events


async def test_dependents_are_refused_or_switched_off_first(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    before = await platform_revision(platform)
    refused = await change_module(platform, "deactivateModule", base)
    (error,) = refused["errors"]
    assert (refused["module"], refused["revision"], refused["affected"]) == (None, None, [])
    assert (error["__typename"], error["path"]) == ("DependencyError", ["input", "code"])
    assert error["chain"] == [base, top, middle]
    assert await is_active(platform, base, middle, top) == [True, True, True]
    assert await platform_revision(platform) == before
    done = await change_module(platform, "deactivateModule", base, cascade="AUTO")
    assert done["affected"] == [
        step("DEACTIVATE", top, "DEPENDENT_OF"),
        step("DEACTIVATE", middle, "DEPENDENT_OF"),
        step("DEACTIVATE", base, "REQUESTED"),
    ]
    assert done["revision"] == before + 3
    assert await is_active(platform, base, middle, top) == [False, False, False]
    switched = [(await events_about(platform, each))[-1] for each in (top, middle, base)]
    assert [each["revision"] for each in switched] == [before + 1, before + 2, before + 3]


async def test_the_users_of_dependents_are_told_why(platform: Platform) -> None:
    base, middle, _ = await chain_of_three(platform)
    user = await sign_up(platform)
    await assign(platform, user, middle)
    done = await change_module(platform, "deactivateModule", base, cascade="AUTO")
    mine = {each["module"]: each["cause"] for each in done["affected"] if each["organizationId"] == user}
    assert mine == {base: "REQUESTED", middle: "DEPENDENT_OF"}
    told = (await events_of(platform, user))[-2:]
    assert sorted((each["type"], each["moduleCode"]) for each in told) == [
        ("STATE_CHANGED", base),
        ("STATE_CHANGED", middle),
    ]
    assert [each["payload"]["is_available"] for each in told] == [False, False]


async def test_switching_on_takes_what_is_needed_along(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    await change_module(platform, "deactivateModule", base, cascade="AUTO")
    before = await platform_revision(platform)
    refused = await change_module(platform, "activateModule", top)
    (error,) = refused["errors"]
    assert (error["__typename"], error["path"], error["chain"]) == (
        "DependencyError",
        ["input", "code"],
        [top, base, middle],
    )
    assert await is_active(platform, base, middle, top) == [False, False, False]
    assert await platform_revision(platform) == before
    done = await change_module(platform, "activateModule", top, cascade="AUTO")
    assert done["affected"] == [
        step("ACTIVATE", base, "DEPENDENCY_OF"),
        step("ACTIVATE", middle, "DEPENDENCY_OF"),
        step("ACTIVATE", top, "REQUESTED"),
    ]
    assert await is_active(platform, base, middle, top) == [True, True, True]


async def test_a_dry_run_says_the_same_and_changes_nothing(platform: Platform) -> None:
    base, middle, top = await chain_of_three(platform)
    user = await sign_up(platform)
    await assign(platform, user, top)
    for mutation, code in (("deactivateModule", base), ("activateModule", top)):
        before, own = await platform_revision(platform), await organization_revision(platform, user)
        active = await is_active(platform, base, middle, top)
        dry = await change_module(platform, mutation, code, cascade="AUTO", dryRun=True)
        assert dry["errors"] == []
        assert dry["revision"] == await platform_revision(platform) == before
        assert await organization_revision(platform, user) == own
        assert await is_active(platform, base, middle, top) == active
        real = await change_module(platform, mutation, code, cascade="AUTO")
        assert real["affected"] == dry["affected"]
        assert len(real["affected"]) == 6


async def test_a_switched_off_module_is_not_assigned(platform: Platform) -> None:
    code, user = await register(platform, unique("switched")), await sign_up(platform)
    needy = await register(platform, unique("needy"), requires=[code])
    await change_module(platform, "deactivateModule", code, cascade="AUTO")
    await change_module(platform, "activateModule", code)
    await change_module(platform, "activateModule", needy)
    await change_module(platform, "deactivateModule", code, cascade="AUTO")
    payload = await assign(platform, user, code, token=admin_of(user))
    assert payload["assignments"] == []
    assert payload["errors"] == [
        {
            "__typename": "StateTransitionError",
            "message": f"module '{code}' is switched off for the whole platform",
            "code": "STATE_TRANSITION",
            "path": ["input", "module"],
            "pointer": None,
        }
    ]
    assert await module_codes(platform, user) == []
    assert await organization_revision(platform, user) == 1


async def test_an_expected_revision_guards_the_switch(platform: Platform) -> None:
    code = await register(platform, unique("switched"))
    seen = (await find_module(platform, code, "revision"))["revision"]
    current = (await change_module(platform, "deactivateModule", code, expectedRevision=seen))["revision"]
    refused = await change_module(platform, "activateModule", code, expectedRevision=seen)
    (error,) = refused["errors"]
    assert (error["__typename"], error["currentRevision"]) == ("RevisionConflictError", current)
    assert await is_active(platform, code) == [False]


async def test_an_unknown_module_is_not_found(platform: Platform) -> None:
    for mutation in ("activateModule", "deactivateModule", "deleteModule"):
        payload = await change_module(platform, mutation, "no-such", cascade="AUTO")
        (error,) = payload["errors"]
        assert (error["__typename"], error["path"]) == ("NotFoundError", ["input", "code"])
