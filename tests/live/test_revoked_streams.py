"""Streams of a token that is revoked: they end, in whatever process they are, and nobody else's does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from auth.actor import Role
from tests.live.clients import SECONDS, Subscriber, opened_socket, over_sse, over_websocket, revisions, subscribe
from tests.live.conftest import ONE_BROKER, Live
from tests.support.platform import Platform, running_platform, token
from tests.support.stopwatch import stopwatch
from tests.support.stories import admin_of, rename, sign_up

pytestmark = ONE_BROKER
REVOKE = """mutation($input: RevokeTokensInput!) { revokeTokens(input: $input) { revokedAt errors { code } } }"""
HERE_SECONDS, ELSEWHERE_SECONDS = 1.0, 5.0


@asynccontextmanager
async def replica_of(platform: Platform) -> AsyncIterator[Platform]:
    async with running_platform(platform.backends, roles=frozenset({"api", "live"})) as replica:
        yield replica


async def revoke(platform: Platform, organization: str, subject: str) -> None:
    """By the organization's administrator."""
    payload = (await platform.data(REVOKE, {"input": {"subject": subject}}, token=admin_of(organization)))[
        "revokeTokens"
    ]
    assert payload["errors"] == []


def member(organization: str, subject: str = "leaver") -> str:
    return token(Role.MEMBER, organization=organization, subject=subject)


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """How the server closes it, after whatever else it says."""
    with pytest.raises(ConnectionClosed) as ended:
        async with asyncio.timeout(SECONDS):
            while True:
                await socket.recv()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


async def ended(stream: Subscriber) -> None:
    """An event stream is told why, and is complete."""
    async with asyncio.timeout(SECONDS):
        kind, payload = await stream.hear()
        assert (kind, payload.get("data")) == ("next", None)
        (error,) = payload["errors"]
        assert (error["message"], error["extensions"]) == ("token revoked", {"code": "UNAUTHENTICATED"})
        assert await stream.hear() == ("complete", None)


async def test_its_own_streams_end_everywhere_and_no_others(live: Live) -> None:
    organization, other = await sign_up(live.platform), await sign_up(live.platform)
    async with replica_of(live.platform) as replica, AsyncExitStack() as stack:
        untouched: list[tuple[str, Subscriber]] = []
        sockets: list[ClientConnection] = []
        streams: list[Subscriber] = []
        for platform in (live.platform, replica):
            for name, bearer in (
                (organization, member(organization, "colleague")),
                (other, member(other)),
                (organization, token(subject="leaver")),
            ):
                for over in (over_websocket, over_sse):
                    opened = over(platform, token=bearer, organization=name, after="v1:0")
                    untouched.append((name, await stack.enter_async_context(opened)))
            gone = member(organization)
            sockets.append(await stack.enter_async_context(opened_socket(platform, token=gone)))
            await subscribe(sockets[-1], organization=organization, after="v1:0")
            assert json.loads(await sockets[-1].recv())["type"] == "next"
            streams.append(await stack.enter_async_context(over_sse(platform, token=gone, after="v1:0")))
            await streams[-1].take(1)
        for _, each in untouched:
            assert revisions(await each.take(1)) == [1]

        await revoke(live.platform, organization, "leaver")
        with stopwatch() as watch:
            assert await closed(sockets[0]) == (4403, "token revoked")
            await ended(streams[0])
            assert watch.seconds < HERE_SECONDS
            assert await closed(sockets[1]) == (4403, "token revoked")
            await ended(streams[1])
        assert watch.seconds < ELSEWHERE_SECONDS

        for name in (organization, other):
            await rename(live.platform, name)
        for _, each in untouched:
            assert revisions(await each.take(1)) == [2]


async def test_a_socket_on_which_nothing_runs_is_closed_too(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with opened_socket(live.platform, token=member(organization)) as socket:
        await revoke(live.platform, organization, "leaver")
        assert await closed(socket) == (4403, "token revoked")


async def test_the_revoked_token_opens_nothing_and_a_new_one_goes_on_where_the_stream_was(live: Live) -> None:
    organization = await sign_up(live.platform)
    gone = member(organization)
    async with over_websocket(live.platform, token=gone, after="v1:0") as subscriber:
        (event,) = await subscriber.take(1)
        await revoke(live.platform, organization, "leaver")
    await rename(live.platform, organization)
    assert await refusal_of(live.platform, gone) == (4403, "token revoked; ask for a new one")
    response = await live.platform.post("subscription { moduleEvents { id } }", token=gone, accept="text/event-stream")
    assert (response.status_code, response.json()["errors"][0]["extensions"]) == (401, {"code": "UNAUTHENTICATED"})
    await asyncio.sleep(1)  # until the next second begins: tokens carry no smaller time
    fresh = over_websocket(live.platform, token=member(organization), after=event["cursor"])
    async with fresh as subscriber:
        assert revisions(await subscriber.take(1)) == [2]


async def refusal_of(platform: Platform, bearer: str) -> Any:
    with pytest.raises(ConnectionClosed) as ended:
        async with asyncio.timeout(SECONDS), opened_socket(platform, token=bearer):
            pass
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason
