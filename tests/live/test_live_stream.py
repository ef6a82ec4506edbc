"""moduleEvents: what a subscriber hears, and what it does not. Over WebSockets and Server-Sent Events alike."""

import asyncio
from uuid import uuid4

import pytest

from auth.actor import Role
from tests.live.clients import OVER, Event, Subscriber, over_sse, over_websocket, revisions
from tests.live.conftest import Live
from tests.support.platform import token
from tests.support.stopwatch import stopwatch
from tests.support.stories import (
    admin_of,
    assign,
    create_company,
    events_of,
    rename,
    set_company_config,
    set_config,
    sign_up,
    unassign,
)


@pytest.mark.parametrize("transport", OVER)
async def test_every_event_in_order_once_and_within_two_seconds(live: Live, transport: str) -> None:
    organization = await sign_up(live.platform)
    async with OVER[transport](live.platform, organization=organization, after="v1:1") as subscriber:
        for revision in range(2, 12):
            assert await rename(live.platform, organization) == revision
            with stopwatch() as watch:
                (event,) = await subscriber.take(1)
            assert watch.seconds < 2
            assert (event["revision"], event["type"]) == (revision, "ORGANIZATION_UPDATED")
        await subscriber.nothing_else()


async def test_an_event_is_the_same_live_and_from_the_log(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with over_websocket(live.platform, organization=organization, after="v1:1") as subscriber:
        await assign(live.platform, organization, "hr", config={"probation_days": 7})
        (heard,) = await subscriber.take(1)
    async with over_websocket(live.platform, organization=organization, after="v1:1") as subscriber:
        assert await subscriber.take(1) == [heard]
    assert heard["organizationId"] == organization
    assert (heard["type"], heard["moduleCode"], heard["companyId"]) == ("ASSIGNED", "hr", None)
    assert heard["payload"]["assignment"]["config"] == {"probation_days": 7}
    logged = (await events_of(live.platform, organization))[-1]
    assert (logged["id"], logged["payload"]) == (heard["id"], heard["payload"])


@pytest.mark.parametrize("transport", OVER)
async def test_without_after_it_begins_now(live: Live, transport: str) -> None:
    organization = await sign_up(live.platform)
    for _ in range(3):
        await rename(live.platform, organization)
    async with OVER[transport](live.platform, organization=organization) as subscriber:
        first = await hear_the_first(live, subscriber, organization)
        assert first["revision"] > 4
        current = (await events_of(live.platform, organization))[-1]["revision"]
        rest = await subscriber.take(current - first["revision"])
    assert revisions(rest) == list(range(first["revision"] + 1, current + 1))


async def test_one_organizations_events_reach_nobody_else(live: Live) -> None:
    mine, other = await sign_up(live.platform), await sign_up(live.platform)
    async with over_websocket(live.platform, token=admin_of(mine), after="v1:1") as subscriber:
        await rename(live.platform, other)
        await rename(live.platform, mine)
        (event,) = await subscriber.take(1)
        assert (event["organizationId"], event["revision"]) == (mine, 2)
        await subscriber.nothing_else()


@pytest.mark.parametrize("transport", OVER)
async def test_another_tenant_answers_like_an_unknown_one(live: Live, transport: str) -> None:
    mine, other = await sign_up(live.platform), await sign_up(live.platform)
    answers = []
    for asked in (other, str(uuid4()), "no-id-at-all"):
        async with OVER[transport](live.platform, token=admin_of(mine), organization=asked) as subscriber:
            async with asyncio.timeout(30):
                answer = await subscriber.hear()
        answers.append(str(answer).replace(asked, "ID"))
    assert len(set(answers)) == 1, answers
    assert "NOT_FOUND" in answers[0]


async def test_only_the_wanted_module_and_types(live: Live) -> None:
    organization = await sign_up(live.platform)
    of_hr = over_websocket(live.platform, organization=organization, module="hr", after="v1:1")
    unassigned = over_websocket(live.platform, organization=organization, types=["UNASSIGNED"], after="v1:1")
    both = over_sse(live.platform, organization=organization, module="hr", types=["CONFIG_UPDATED"], after="v1:1")
    async with of_hr as one, unassigned as two, both as three:
        for module in ("crm", "hr"):
            assert (await assign(live.platform, organization, module))["errors"] == []
        assert (await set_config(live.platform, organization, "hr", {"probation_days": 9}))["errors"] == []
        for module in ("crm", "hr"):
            assert (await unassign(live.platform, organization, module))["errors"] == []
        assert [(event["type"], event["moduleCode"]) for event in await one.take(3)] == [
            ("ASSIGNED", "hr"),
            ("CONFIG_UPDATED", "hr"),
            ("UNASSIGNED", "hr"),
        ]
        assert [event["moduleCode"] for event in await two.take(2)] == ["crm", "hr"]
        assert [event["type"] for event in await three.take(1)] == ["CONFIG_UPDATED"]
        for subscriber in (one, two, three):
            await subscriber.nothing_else(0.2)


async def test_a_company_hears_of_itself_and_of_its_organization_only(live: Live) -> None:
    organization = await sign_up(live.platform)
    mine, other = [await create_company(live.platform, organization) for _ in range(2)]
    bound = token(Role.COMPANY_ADMIN, organization=organization, company=mine)
    async with over_websocket(live.platform, token=bound, after="v1:0") as subscriber:
        await assign(live.platform, organization, "hr")
        for company in (other, mine):
            changed = await set_company_config(live.platform, company, "hr", {"probation_days": 3})
            assert changed["errors"] == []
        heard = [(event["type"], event["companyId"]) for event in await subscriber.take(4)]
        await subscriber.nothing_else()
    assert heard == [
        ("ORGANIZATION_CREATED", None),
        ("COMPANY_CREATED", mine),
        ("ASSIGNED", None),
        ("CONFIG_UPDATED", mine),
    ]


async def hear_the_first(live: Live, subscriber: Subscriber, organization: str) -> Event:
    """Nothing tells a client that its subscription has begun but the first event: make some until it comes."""
    first = asyncio.create_task(subscriber.take(1))
    while not first.done():
        await rename(live.platform, organization)
        await asyncio.wait({first}, timeout=0.05)
    (event,) = await first
    return event
