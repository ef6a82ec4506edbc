"""One WebSocket with real subscriptions on it: how many, and for how long."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed

from auth.actor import Role
from auth.tokens import LEEWAY_SECONDS
from graph.limits import Limits
from tests.live.clients import SECONDS, opened_socket, over_sse, subscribe
from tests.live.conftest import ONE_BROKER, Live
from tests.support.platform import token
from tests.support.stories import rename, sign_up

pytestmark = ONE_BROKER
MOST = Limits().subscriptions_per_connection


async def test_one_subscription_too_many_is_refused_and_the_others_go_on(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with asyncio.timeout(60), opened_socket(live.platform) as socket:
        for number in range(MOST + 1):
            await subscribe(socket, str(number), organization=organization, after="v1:1")
        refused = json.loads(await socket.recv())
        assert (refused["id"], refused["type"]) == (str(MOST), "error")
        assert [error["extensions"] for error in refused["payload"]] == [
            {"code": "LIMIT_EXCEEDED", "rule": "subscriptions_per_connection", "limit": MOST, "actual": MOST + 1}
        ]
        await rename(live.platform, organization)
        heard = [json.loads(await socket.recv()) for _ in range(MOST)]
        assert {message["type"] for message in heard} == {"next"}
        assert sorted(int(message["id"]) for message in heard) == list(range(MOST))
        assert {message["payload"]["data"]["moduleEvents"]["revision"] for message in heard} == {2}


async def test_of_a_hundred_and_one_subscriptions_the_first_live_and_the_others_are_refused(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with asyncio.timeout(60), opened_socket(live.platform) as socket:
        for number in range(101):
            await subscribe(socket, str(number), organization=organization, after="v1:1")
        refused = [json.loads(await socket.recv()) for _ in range(101 - MOST)]
        assert [int(message["id"]) for message in refused] == list(range(MOST, 101))
        assert {(message["type"], message["payload"][0]["extensions"]["rule"]) for message in refused} == {
            ("error", "subscriptions_per_connection")
        }
        for revision in (2, 3):
            await rename(live.platform, organization)
            heard = [json.loads(await socket.recv()) for _ in range(MOST)]
            assert sorted(int(message["id"]) for message in heard) == list(range(MOST))
            assert {message["payload"]["data"]["moduleEvents"]["revision"] for message in heard} == {revision}


async def test_an_expired_token_ends_the_socket(live: Live) -> None:
    organization = await sign_up(live.platform)
    # sooner than its leeway is over: that is for clocks, and not for streams
    bearer = token(Role.ORGANIZATION_ADMIN, organization=organization, seconds=3)
    async with asyncio.timeout(LEEWAY_SECONDS - 5), opened_socket(live.platform, token=bearer) as socket:
        await subscribe(socket, after="v1:0")
        message = json.loads(await socket.recv())
        assert message["payload"]["data"]["moduleEvents"]["revision"] == 1
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "token expired")


async def test_an_expired_token_ends_an_event_stream(live: Live) -> None:
    organization = await sign_up(live.platform)
    bearer = token(Role.ORGANIZATION_ADMIN, organization=organization, seconds=3)
    async with over_sse(live.platform, token=bearer, after="v1:0") as subscriber:
        await subscriber.take(1)
        assert await subscriber.error() == {"code": "UNAUTHENTICATED"}
        async with asyncio.timeout(SECONDS):
            assert (await subscriber.hear())[0] == "complete"


async def test_a_token_that_has_expired_opens_nothing(live: Live) -> None:
    organization = await sign_up(live.platform)
    bearer = token(Role.ORGANIZATION_ADMIN, organization=organization, seconds=-LEEWAY_SECONDS - 1)
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(SECONDS), opened_socket(live.platform, token=bearer):
            pass
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
