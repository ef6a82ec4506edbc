"""Resuming: a connection may break at any moment, and the next one goes on where it was."""

import asyncio
import random
from uuid import UUID

import pytest

from tests.live.clients import OVER, over_websocket, revisions
from tests.live.conftest import Live
from tests.live.tables import execute
from tests.support.stories import register, rename, sign_up, unique

EVENTS = 300
WRITERS = 4


@pytest.mark.parametrize("transport", OVER)
async def test_a_cursor_that_is_too_old_tells_what_is_kept(live: Live, transport: str) -> None:
    organization = await sign_up(live.platform)
    for _ in range(4):
        await rename(live.platform, organization)
    await forget(live, organization, until=3)
    for after in ("v1:0", "v1:2"):
        async with OVER[transport](live.platform, organization=organization, after=after) as subscriber:
            told = await subscriber.error()
        assert told == {"code": "RESUME_GAP", "minRevision": 4, "currentRevision": 5}
    async with OVER[transport](live.platform, organization=organization, after="v1:3") as subscriber:
        assert revisions(await subscriber.take(2)) == [4, 5]


async def test_a_cursor_of_the_future_is_refused(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with over_websocket(live.platform, organization=organization, after="v1:2") as subscriber:
        assert await subscriber.error() == {"code": "RESUME_GAP", "minRevision": 1, "currentRevision": 1}


@pytest.mark.parametrize(
    "after",
    [
        "",
        "garbage",
        "v2:1",
        "v1:",
        "v1:-1",
        "v1:1:2",
        "v1:1:2:3",
        "v1:1:2:00000000-0000-0000-0000-000000000000:4",
        "v1:1.5",
        "v1:٣",
        "v1:99999999999999999999",
        "v1:1:x",
    ],
)
async def test_what_is_no_cursor_is_refused(live: Live, after: str) -> None:
    async with over_websocket(live.platform, after=after) as subscriber:
        assert (await subscriber.error())["code"] == "BAD_USER_INPUT"


async def test_an_administrator_resumes_over_all_streams(live: Live) -> None:
    one, two = await sign_up(live.platform), await sign_up(live.platform)
    async with over_websocket(live.platform, organization=one, after="v1:0") as subscriber:
        (event,) = await subscriber.take(1)
    cursor = event["cursor"]
    expected = {(one, 1), (two, 1)}
    for _ in range(5):
        for organization in (one, two):
            expected.add((organization, await rename(live.platform, organization)))
    heard: set[tuple[str, int]] = set()
    while expected - heard:
        async with over_websocket(live.platform, after=cursor) as subscriber:
            goal = min(len(expected & heard) + 2, len(expected))
            while len(expected & heard) < goal:  # those around the cursor come again
                (event,) = await subscriber.take(1)
                heard.add((event["organizationId"], event["revision"]))
                cursor = event["cursor"]
            subscriber.drop()


async def test_an_administrator_hears_the_platforms_stream_too(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with over_websocket(live.platform, organization=organization, after="v1:0") as subscriber:
        (event,) = await subscriber.take(1)
    code = unique("heard")
    registrations = over_websocket(live.platform, types=["REGISTERED"], module=code, after=event["cursor"])
    async with registrations as subscriber:
        await register(live.platform, code)
        (registered,) = await subscriber.take(1)
    assert (registered["organizationId"], registered["moduleCode"]) == (None, code)


async def test_over_all_streams_each_event_comes_once_in_a_connection(live: Live) -> None:
    organizations = [await sign_up(live.platform) for _ in range(4)]
    async with over_websocket(live.platform, organization=organizations[0], after="v1:0") as subscriber:
        (event,) = await subscriber.take(1)
    async with over_websocket(live.platform, types=["ORGANIZATION_UPDATED"], after=event["cursor"]) as subscriber:
        writers = [asyncio.create_task(write(live, organization, 15)) for organization in organizations]
        heard: dict[str, list[int]] = {organization: [] for organization in organizations}
        while sum(map(len, heard.values())) < 15 * len(organizations):
            (event,) = await subscriber.take(1)
            heard.get(event["organizationId"], []).append(event["revision"])
        await asyncio.gather(*writers)
        for revision_list in heard.values():
            assert revision_list == list(range(2, 17))


async def test_nothing_is_lost_or_repeated_over_many_connections(live: Live) -> None:
    organization = await sign_up(live.platform)
    share = EVENTS // WRITERS
    writers = [asyncio.create_task(write(live, organization, share)) for _ in range(WRITERS)]
    heard = await asyncio.gather(*(follow(live, organization, transport) for transport in OVER))
    await asyncio.gather(*writers)
    for found, connections in heard:
        assert found == list(range(1, EVENTS + 2))
        assert connections > 10


async def write(live: Live, organization: str, count: int) -> None:
    for _ in range(count):
        await rename(live.platform, organization)


async def follow(live: Live, organization: str, transport: str) -> tuple[list[int], int]:
    """Follow until the last event, with connections that break after a few; all that was heard, nothing left out."""
    chance = random.Random(transport)
    heard: list[int] = []
    cursor, connections = "v1:0", 0
    while len(heard) < EVENTS + 1:
        connections += 1
        async with OVER[transport](live.platform, organization=organization, after=cursor) as subscriber:
            for event in await subscriber.take(min(chance.randint(1, 30), EVENTS + 1 - len(heard))):
                heard.append(event["revision"])
                cursor = event["cursor"]
            subscriber.drop()
    return heard, connections


async def forget(live: Live, organization: str, *, until: int) -> None:
    """What retention does to a log, as the database's owner."""
    statement = "DELETE FROM event_log WHERE organization_id = $1 AND rev <= $2"
    await execute(live.database, statement, UUID(organization), until)
