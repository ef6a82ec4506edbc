"""graphql-transport-ws: messages and close codes, through a real client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from graph.limits import Limits
from tests.transport.probe import SECRET, Actor, Server, running_server

pytestmark = pytest.mark.asyncio
PROTOCOL = Subprotocol("graphql-transport-ws")


@asynccontextmanager
async def opened(server: Server, **options: Any) -> AsyncIterator[ClientConnection]:
    async with asyncio.timeout(30), connect(server.ws_url, subprotocols=[PROTOCOL], proxy=None, **options) as socket:
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def initialise(socket: ClientConnection, payload: dict[str, Any] | None = None) -> None:
    await say(socket, type="connection_init", payload=payload)
    assert await hear(socket) == {"type": "connection_ack"}


async def ask(socket: ClientConnection, query: str, *, id: str = "1") -> dict[str, Any]:
    await say(socket, type="subscribe", id=id, payload={"query": query})
    return await hear(socket)


async def closing(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await socket.recv()
    frame = closed.value.rcvd
    assert frame is not None
    return frame.code, frame.reason


async def test_a_subscription_from_start_to_end() -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await initialise(socket)
        assert await ask(socket, "subscription { count(to: 2) }") == {
            "id": "1",
            "type": "next",
            "payload": {"data": {"count": 1}},
        }
        assert (await hear(socket))["payload"] == {"data": {"count": 2}}
        assert await hear(socket) == {"id": "1", "type": "complete"}


async def test_each_operation_has_a_context_of_its_own() -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await initialise(socket)
        for number in (1, 2):
            answer = await ask(socket, "{ contextNumber }")
            assert answer["payload"] == {"data": {"contextNumber": number}}
            assert await hear(socket) == {"id": "1", "type": "complete"}


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"Authorization": "Bearer alice-token"}, "alice"),
        ({"authorization": "bearer alice-token"}, "alice"),
        ({"AUTHORIZATION": "Bearer alice-token"}, "alice"),
        ({"token": "alice-token"}, "alice"),
        ({"Token": "Bearer alice-token"}, "alice"),
        ({"other": 1}, "anonymous"),
        (None, "anonymous"),
    ],
)
async def test_the_first_message_says_who_is_calling(payload: dict[str, Any] | None, name: str) -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await initialise(socket, payload)
        assert (await ask(socket, "{ whoami }"))["payload"] == {"data": {"whoami": name}}


async def test_so_may_the_handshake() -> None:
    headers = {"authorization": "Bearer alice-token"}
    async with running_server(Limits()) as server, opened(server, additional_headers=headers) as socket:
        await initialise(socket)
        assert (await ask(socket, "{ whoami }"))["payload"] == {"data": {"whoami": "alice"}}


@pytest.mark.parametrize("payload", [{"Authorization": "Bearer no"}, {"token": "no"}, {"token": 1}, {"token": ""}])
async def test_a_bad_token_is_forbidden(payload: dict[str, Any]) -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await say(socket, type="connection_init", payload=payload)
        assert (await closing(socket))[0] == 4403


async def test_a_fault_in_authentication_says_nothing() -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await say(socket, type="connection_init", payload={"token": "crash"})
        assert await closing(socket) == (1011, "Internal error")


async def test_initialisation_has_a_deadline() -> None:
    async with running_server(Limits(init_seconds=1.0)) as server, opened(server) as socket:
        await say(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}
        assert await closing(socket) == (4408, "Connection initialisation timeout")


async def test_the_socket_ends_with_its_token() -> None:
    actors = {"short": Actor("bob", expires_at=time.time() + 2)}
    async with running_server(Limits(), actors=actors) as server, opened(server) as socket:
        await initialise(socket, {"token": "short"})
        assert (await ask(socket, "subscription { forever }"))["type"] == "next"
        assert await closing(socket) == (4403, "token expired")
        await server.log.closed.wait()


async def test_the_protocol_is_kept_to() -> None:
    subscribe = {"type": "subscribe", "id": "1", "payload": {"query": "subscription { forever }"}}
    cases: list[tuple[bool, list[Any], int]] = [
        (False, [subscribe], 4401),
        (True, [{"type": "connection_init"}], 4429),
        (True, [subscribe, subscribe], 4409),
        (True, [{"type": "nonsense"}], 4400),
        (True, [{"type": 1}], 4400),
        (True, [[]], 4400),
        (True, [{"type": "subscribe", "payload": {"query": "{hello}"}}], 4400),
        (True, [{"type": "subscribe", "id": "1"}], 4400),
        (True, [{"type": "subscribe", "id": "1", "payload": {"query": 1}}], 4400),
        (True, [{"type": "complete"}], 4400),
        (False, [{"type": "connection_init", "payload": []}], 4400),
    ]
    async with running_server(Limits()) as server:
        for is_initialised, messages, code in cases:
            async with opened(server) as socket:
                if is_initialised:
                    await initialise(socket)
                for message in messages:
                    await socket.send(json.dumps(message))
                assert (await closing(socket))[0] == code, messages


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", 4400),
        (b"{}", 4400),
        ("[" * 65 + "]" * 65, 4400),
        ("[" * 100_000, 4400),
        ('{"type":"\\ud800"}', 4400),
        ('{"type":"ping"}'.ljust(262_145), 1009),
        ("é" * 131_073, 1009),
    ],
)
async def test_bad_frames_close_the_socket(frame: str | bytes, code: int) -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await initialise(socket)
        await socket.send(frame)
        assert (await closing(socket))[0] == code


async def test_a_frame_at_the_limit_is_read() -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await socket.send('{"type":"ping"}'.ljust(262_144))
        assert await hear(socket) == {"type": "pong"}


@pytest.mark.parametrize("protocols", [["graphql-ws"], None])
async def test_other_protocols_are_not_spoken(protocols: list[Subprotocol] | None) -> None:
    async with running_server(Limits()) as server:
        with pytest.raises(Exception) as refused:
            async with connect(server.ws_url, subprotocols=protocols, proxy=None) as socket:
                await socket.recv()
        if isinstance(refused.value, ConnectionClosed):
            assert refused.value.rcvd is not None
            assert refused.value.rcvd.code == 4406
        else:
            assert "subprotocol" in str(refused.value)


async def test_subscriptions_per_connection_at_the_boundary() -> None:
    async with running_server(Limits(subscriptions_per_connection=2)) as server, opened(server) as socket:
        await initialise(socket)
        for number in ("1", "2"):
            assert (await ask(socket, "subscription { forever }", id=number))["type"] == "next"
        refused = await ask(socket, "subscription { forever }", id="3")
        assert (refused["type"], refused["id"]) == ("error", "3")
        assert refused["payload"][0]["extensions"] == {
            "code": "LIMIT_EXCEEDED",
            "rule": "subscriptions_per_connection",
            "limit": 2,
            "actual": 3,
        }
        await say(socket, type="complete", id="1")
        assert (await ask(socket, "subscription { forever }", id="3"))["type"] == "next"


async def test_errors_before_execution_end_the_operation_not_the_socket() -> None:
    async with running_server(Limits(depth=1)) as server, opened(server) as socket:
        await initialise(socket)
        for query, code in (
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
            ("{ thing { name } }", "LIMIT_EXCEEDED"),
            ("subscription($n: Int!) { count(to: $n) }", "BAD_USER_INPUT"),
        ):
            answer = await ask(socket, query)
            assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", code)
        await say(socket, type="subscribe", id="1", payload={"query": "{hello}", "variables": {"a": "\0"}})
        assert (await hear(socket))["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert (await ask(socket, "{ hello }"))["payload"] == {"data": {"hello": "world"}}


async def test_errors_inside_a_stream_are_masked() -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await initialise(socket)
        assert (await ask(socket, "subscription { breaks }"))["payload"] == {"data": {"breaks": 1}}
        broken = await hear(socket)
        assert broken["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert SECRET not in json.dumps(broken)
        assert await hear(socket) == {"id": "1", "type": "complete"}


async def test_the_deadline_holds_for_queries() -> None:
    async with running_server(Limits(execution_seconds=0.1)) as server, opened(server) as socket:
        await initialise(socket)
        answer = await ask(socket, "{ slow }")
        assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", "TIMEOUT")


@pytest.mark.parametrize("leave", ["complete", "close", "abort"])
async def test_generators_are_closed_promptly(leave: str) -> None:
    async with running_server(Limits()) as server, opened(server) as socket:
        await initialise(socket)
        assert (await ask(socket, "subscription { forever }"))["type"] == "next"
        if leave == "complete":
            await say(socket, type="complete", id="1")
        elif leave == "close":
            await socket.close()
        else:
            socket.transport.abort()
        await server.log.closed.wait()
