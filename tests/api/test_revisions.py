"""The organization's revision: a caller's guard against others' changes, and the order of everything that happens."""

import asyncio
from typing import Any

import pytest

from tests.support.platform import Platform
from tests.support.stories import (
    assign,
    create_company,
    effective_config,
    events_of,
    module_codes,
    register,
    set_company_config,
    set_config,
    sign_up,
    state_of,
    unassign,
    unique,
)

CONFLICT = "errors { __typename code path ... on RevisionConflictError { currentRevision } }"
SET_CONFIG = (
    "mutation($input: SetOrganizationConfigInput!) { payload: setOrganizationConfig(input: $input) {"
    f" revision {CONFLICT} }} }}"
)
SET_COMPANY_CONFIG = (
    f"mutation($input: SetCompanyConfigInput!) {{ payload: setCompanyConfig(input: $input) {{ revision {CONFLICT} }} }}"
)
ASSIGN = f"mutation($input: AssignModuleInput!) {{ payload: assignModule(input: $input) {{ revision {CONFLICT} }} }}"
UNASSIGN = (
    f"mutation($input: UnassignModuleInput!) {{ payload: unassignModule(input: $input) {{ revision {CONFLICT} }} }}"
)
RENAME = (
    "mutation($input: UpdateOrganizationInput!) { payload: updateOrganization(input: $input) {"
    f" revision {CONFLICT} }} }}"
)


def conflict(current: int) -> list[dict[str, Any]]:
    return [
        {
            "__typename": "RevisionConflictError",
            "code": "REVISION_CONFLICT",
            "path": ["input", "expectedRevision"],
            "currentRevision": current,
        }
    ]


async def story(platform: Platform) -> tuple[str, str, str]:
    """Revs: 1 signed up, 2 company, 3 assigned, 4 tier 2 written, 5 tier 3 written, 6 another module."""
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    code = await register(platform, unique("free"))
    await assign(platform, organization, code)
    await set_config(platform, organization, code, {"a": 1})
    await set_company_config(platform, company, code, {"b": 1})
    assert (await assign(platform, organization, "hr"))["revision"] == 6
    return organization, company, code


@pytest.mark.parametrize(
    ("query", "touched", "more"),
    [
        (SET_CONFIG, 4, {"value": {"c": 3}}),
        (SET_CONFIG, 4, {"value": {"c": 3}, "dryRun": True}),
        (SET_COMPANY_CONFIG, 5, {"value": {"c": 3}}),
        (SET_COMPANY_CONFIG, 5, {"value": {"c": 3}, "dryRun": True}),
        (UNASSIGN, 4, {}),
        (UNASSIGN, 4, {"dryRun": True}),
        (RENAME, 1, {"name": "Renamed"}),
    ],
)
async def test_expected_revision_is_that_of_the_thing_or_later(
    platform: Platform, query: str, touched: int, more: dict[str, Any]
) -> None:
    organization, company, code = await story(platform)
    given = {"companyId": company} if query == SET_COMPANY_CONFIG else {"organizationId": organization}
    given |= more if query == RENAME else {"module": code, **more}
    before = await state_of(platform, organization)
    for wrong in (0, -1, touched - 1, 7, 2**31 - 1):
        payload = (await platform.data(query, {"input": {**given, "expectedRevision": wrong}}))["payload"]
        assert payload == {"revision": None, "errors": conflict(touched)}
    assert await state_of(platform, organization) == before
    payload = (await platform.data(query, {"input": {**given, "expectedRevision": touched}}))["payload"]
    assert payload == {"revision": 6 if "dryRun" in more else 7, "errors": []}


async def test_an_assignment_of_what_is_not_there_expects_the_organizations_revision(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    given = {"organizationId": organization, "module": code}
    for wrong in (0, 2):
        payload = (await platform.data(ASSIGN, {"input": {**given, "expectedRevision": wrong}}))["payload"]
        assert payload == {"revision": None, "errors": conflict(1)}
    assert await module_codes(platform, organization) == []
    payload = (await platform.data(ASSIGN, {"input": {**given, "expectedRevision": 1}}))["payload"]
    assert payload == {"revision": 2, "errors": []}


async def test_what_others_do_elsewhere_is_no_conflict(platform: Platform) -> None:
    organization, company, code = await story(platform)
    seen = await effective_config(platform, organization, code)
    await assign(platform, organization, "crm")
    await set_company_config(platform, company, code, {"b": 2})
    given = {"organizationId": organization, "module": code, "value": {"a": 2}}
    payload = (await platform.data(SET_CONFIG, {"input": {**given, "expectedRevision": seen["revision"]}}))["payload"]
    assert payload == {"revision": 9, "errors": []}


async def test_of_two_at_once_with_the_same_expected_revision_one_wins(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code)
    for rev in range(2, 7):
        writes = (
            set_config(platform, organization, code, {"by": writer, "rev": rev}, expectedRevision=rev)
            for writer in range(4)
        )
        payloads = await asyncio.gather(*writes)
        won = [number for number, each in enumerate(payloads) if not each["errors"]]
        lost = [each["errors"][0]["__typename"] for each in payloads if each["errors"]]
        assert (len(won), lost) == (1, ["RevisionConflictError"] * 3)
        assert payloads[won[0]]["revision"] == rev + 1
        found = await effective_config(platform, organization, code)
        assert found == {"values": {"by": won[0], "rev": rev}, "revision": rev + 1}
    assert len(await events_of(platform, organization)) == 7


async def test_twenty_at_once_are_numbered_without_a_gap_and_none_is_lost(platform: Platform) -> None:
    organization = await sign_up(platform)
    codes = [await register(platform, unique("free")) for _ in range(20)]
    payloads = await asyncio.gather(*(assign(platform, organization, code) for code in codes))
    assert [each["errors"] for each in payloads] == [[]] * 20
    revisions = {each["affected"][0]["module"]: each["revision"] for each in payloads}
    events = await events_of(platform, organization)
    assert [each["revision"] for each in events] == list(range(1, 22))
    assert {each["moduleCode"]: each["revision"] for each in events[1:]} == revisions
    assert await module_codes(platform, organization) == sorted(codes)


async def test_twenty_patches_at_once_of_one_config_all_stay(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code)
    writes = (set_config(platform, organization, code, {f"k{number}": number}) for number in range(20))
    payloads = await asyncio.gather(*writes)
    assert sorted(each["revision"] for each in payloads) == list(range(3, 23))
    found = await effective_config(platform, organization, code)
    assert found == {"values": {f"k{number}": number for number in range(20)}, "revision": 22}


async def test_an_answer_shows_what_it_wrote(platform: Platform) -> None:
    organization, code = await sign_up(platform), await register(platform, unique("free"))
    await assign(platform, organization, code)
    for number in range(10):
        payload = await set_config(platform, organization, code, {"n": number})
        assert payload["effectiveConfig"] == {"values": {"n": number}, "revision": number + 3}
        assert await effective_config(platform, organization, code) == payload["effectiveConfig"]
    assert (await unassign(platform, organization, code))["revision"] == 13
    assert await module_codes(platform, organization) == []
