"""Heartbeats tell where a stream is, also when its filter hides everything: who resumes from there misses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from graph.limits import Limits
from tests.live.clients import SUBSCRIPTION, opened_socket, over_websocket, revisions, subscribe
from tests.live.conftest import ONE_BROKER, Live
from tests.live.quick import Door, door
from tests.support.platform import Platform
from tests.support.stories import assign, rename, sign_up

pytestmark = ONE_BROKER
QUICK = Limits(heartbeat_seconds=0.3)
SECONDS = 10.0


@pytest.fixture
async def quick(live: Live) -> AsyncIterator[Door]:
    async with door(live, QUICK) as opened:
        yield opened


async def cursors(socket: ClientConnection, until: dict[str, str]) -> dict[str, str]:
    """Of heartbeats, until one says this; there is nothing but heartbeats to hear."""
    async with asyncio.timeout(SECONDS):
        while True:
            message = json.loads(await socket.recv())
            assert message["type"] == "ping", message
            if message["payload"]["cursors"] == until:
                return until


async def test_a_stream_that_shows_nothing_tells_where_it_is(live: Live, quick: Door) -> None:
    organization, quiet = await sign_up(live.platform), await sign_up(live.platform)
    async with opened_socket(quick.platform) as socket:
        await subscribe(socket, "hidden", organization=organization, types=["UNASSIGNED"])
        await subscribe(socket, "quiet", organization=quiet)
        await cursors(socket, {"hidden": "v1:1", "quiet": "v1:1"})
        for _ in range(3):
            await rename(live.platform, organization)
        await cursors(socket, {"hidden": "v1:4", "quiet": "v1:1"})
    await rename(live.platform, organization)
    async with over_websocket(live.platform, organization=organization, after="v1:4") as subscriber:
        assert revisions(await subscriber.take(1)) == [5]


async def test_a_stream_that_has_just_spoken_needs_no_heartbeat(live: Live, quick: Door) -> None:
    organization = await sign_up(live.platform)
    async with opened_socket(quick.platform) as socket:
        await subscribe(socket, "heard", organization=organization, after="v1:1")
        await subscribe(socket, "hidden", organization=organization, types=["UNASSIGNED"], after="v1:1")
        has_spoken, heartbeats, revision = False, 0, 1
        async with asyncio.timeout(SECONDS):
            while heartbeats < 4:
                revision = await rename(live.platform, organization)
                while True:
                    message = json.loads(await socket.recv())
                    if message["type"] == "next":
                        has_spoken = True
                        break
                    told = message["payload"]["cursors"]
                    assert has_spoken == ("heard" not in told)
                    assert "hidden" in told
                    has_spoken, heartbeats = False, heartbeats + 1
                assert (message["id"], message["payload"]["data"]["moduleEvents"]["revision"]) == ("heard", revision)


async def test_an_administrators_stream_of_everything_has_cursors_too(live: Live, quick: Door) -> None:
    organization = await sign_up(live.platform)
    async with opened_socket(quick.platform) as socket:
        await subscribe(socket, types=["UNASSIGNED"])
        async with asyncio.timeout(SECONDS):
            first = json.loads(await socket.recv())["payload"]["cursors"]["1"]
    await assign(live.platform, organization, "hr")
    async with over_websocket(live.platform, types=["ASSIGNED"], after=first) as subscriber:
        while True:  # those around the cursor may come again
            (event,) = await subscriber.take(1)
            if event["organizationId"] == organization:
                break


@asynccontextmanager
async def lines_of(
    platform: Platform, *, last_event_id: str | None = None, **variables: Any
) -> AsyncIterator[AsyncIterator[str]]:
    headers = {"authorization": f"Bearer {platform.admin}", "accept": "text/event-stream"}
    if last_event_id is not None:
        headers["last-event-id"] = last_event_id
    body = {"query": SUBSCRIPTION, "variables": variables}
    async with (
        asyncio.timeout(SECONDS),
        httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client,
        client.stream("POST", platform.url, json=body, headers=headers) as response,
    ):
        assert response.status_code == 200
        yield response.aiter_lines()


async def block(lines: AsyncIterator[str]) -> list[str]:
    """The lines up to the next blank one."""
    found: list[str] = []
    async for line in lines:
        if not line:
            return found
        found.append(line)
    raise AssertionError("the stream has ended")


async def test_an_event_stream_numbers_its_events_and_its_heartbeats(live: Live, quick: Door) -> None:
    organization = await sign_up(live.platform)
    async with lines_of(quick.platform, organization=organization, types=["ASSIGNED"], after="v1:0") as lines:
        assert await block(lines) == [":"]
        while (found := await block(lines)) != ["id: v1:1", ":"]:
            assert found == [":"]  # before the stream has begun
        await rename(live.platform, organization)
        while (found := await block(lines)) != ["id: v1:2", ":"]:
            assert found == ["id: v1:1", ":"]
        await assign(live.platform, organization, "hr")
        while (found := await block(lines))[-1] == ":":
            pass
        assert found[:2] == ["id: v1:3", "event: next"]
        event = json.loads(found[2].removeprefix("data: "))["data"]["moduleEvents"]
        assert (event["revision"], event["type"]) == (3, "ASSIGNED")


@pytest.mark.parametrize(("last", "first"), [("v1:2", 3), ("v1:4", 5)])
async def test_last_event_id_resumes_and_comes_before_after(live: Live, quick: Door, last: str, first: int) -> None:
    organization = await sign_up(live.platform)
    for _ in range(4):
        await rename(live.platform, organization)
    async with lines_of(quick.platform, last_event_id=last, organization=organization, after="v1:0") as lines:
        while (found := await block(lines))[-1].endswith(":"):
            pass
    assert found[:2] == [f"id: v1:{first}", "event: next"]


async def test_a_last_event_id_of_another_kind_is_named(live: Live, quick: Door) -> None:
    organization = await sign_up(live.platform)
    async with lines_of(quick.platform, last_event_id="nonsense", organization=organization) as lines:
        assert await block(lines) == [":"]
        kind, data = await block(lines)
        assert await block(lines) == ["event: complete", "data:"]
    (error,) = json.loads(data.removeprefix("data: "))["errors"]
    assert kind == "event: next"
    assert error["message"] == "Last-Event-ID is not the cursor of an event"
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
