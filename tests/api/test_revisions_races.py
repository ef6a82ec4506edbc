"""Opposite changes at the same time: whoever is first, what is left fits together and the events tell it."""

import asyncio
from typing import Any

from tests.support.platform import Platform
from tests.support.stories import (
    assign,
    change_module,
    events_of,
    find_module,
    module_codes,
    register,
    sign_up,
    unassign,
    unique,
)


def replayed(events: list[Any]) -> list[str]:
    """The modules that an organization has when its events are believed, each of them possible where it stands."""
    there: set[str] = set()
    for number, event in enumerate(events, start=1):
        assert event["revision"] == number
        if event["type"] == "ASSIGNED":
            assert event["moduleCode"] not in there
            there.add(event["moduleCode"])
        elif event["type"] == "UNASSIGNED":
            assert event["moduleCode"] in there
            there.remove(event["moduleCode"])
    return sorted(there)


async def test_taking_a_dependency_away_while_it_is_needed_anew(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    for _ in range(8):
        organization = await sign_up(platform)
        await assign(platform, organization, base)
        assigned, unassigned = await asyncio.gather(
            assign(platform, organization, top), unassign(platform, organization, base)
        )
        assert (assigned["errors"], unassigned["errors"]) == ([], [])
        left = await module_codes(platform, organization)
        assert left in ([], sorted([base, top]))
        assert replayed(await events_of(platform, organization)) == left


async def test_refusing_removal_and_needing_anew(platform: Platform) -> None:
    base = await register(platform, unique("base"))
    top = await register(platform, unique("top"), requires=[base])
    for _ in range(8):
        organization = await sign_up(platform)
        await assign(platform, organization, base)
        assigned, unassigned = await asyncio.gather(
            assign(platform, organization, top), unassign(platform, organization, base, cascade="REFUSE")
        )
        assert assigned["errors"] == []
        assert [each["__typename"] for each in unassigned["errors"]] in ([], ["DependencyError"])
        assert await module_codes(platform, organization) == sorted([base, top])
        assert replayed(await events_of(platform, organization)) == sorted([base, top])


async def test_assigning_a_module_while_it_is_deleted(platform: Platform) -> None:
    organizations = [await sign_up(platform) for _ in range(4)]
    for _ in range(5):
        code = await register(platform, unique("doomed"))
        deleted, *assigned = await asyncio.gather(
            change_module(platform, "deleteModule", code, cascade="AUTO"),
            *(assign(platform, organization, code) for organization in organizations),
        )
        assert deleted["errors"] == []
        assert await find_module(platform, code) is None
        for payload in assigned:
            assert [each["__typename"] for each in payload["errors"]] in ([], ["NotFoundError"])
        for organization in organizations:
            assert await module_codes(platform, organization) == []
            assert replayed(await events_of(platform, organization)) == []


async def test_assigning_a_module_while_its_deletion_refuses_when_it_is_used(platform: Platform) -> None:
    organization = await sign_up(platform)
    for _ in range(5):
        code = await register(platform, unique("doomed"))
        deleted, assigned = await asyncio.gather(
            change_module(platform, "deleteModule", code), assign(platform, organization, code)
        )
        # exactly one of the two happened
        assert (deleted["errors"] == []) != (assigned["errors"] == [])
        is_there = code in await module_codes(platform, organization)
        assert is_there == (assigned["errors"] == [])
        assert (await find_module(platform, code) is not None) == is_there


async def test_assigning_a_module_while_it_is_switched_off(platform: Platform) -> None:
    query = "query($id: ID!, $m: String!) { organization(id: $id) { module(code: $m) { state isAvailable } } }"
    organization = await sign_up(platform)
    for _ in range(5):
        code = await register(platform, unique("doomed"))
        switched, assigned = await asyncio.gather(
            change_module(platform, "deactivateModule", code), assign(platform, organization, code)
        )
        assert switched["errors"] == []
        found = (await platform.data(query, {"id": organization, "m": code}))["organization"]["module"]
        told = [each["type"] for each in await events_of(platform, organization) if each["moduleCode"] == code]
        if assigned["errors"]:
            assert [each["__typename"] for each in assigned["errors"]] == ["StateTransitionError"]
            assert (found, told) == (None, [])
        else:
            assert found == {"state": "ACTIVE", "isAvailable": False}
            assert told == ["ASSIGNED", "STATE_CHANGED"]
