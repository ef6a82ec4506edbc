"""The graphql-transport-ws protocol. Never holds: fields, HTTP.

Credentials travel in the first message or the handshake's Authorization header, never in a cookie, so that a page of
another origin gains nothing by opening a socket.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.transport import execution
from app.transport.body import GraphQLRequest, decode_json, read_parameters
from app.transport.execution import Service
from app.transport.refusal import Refused
from graph.limits import limit_error
from graph.masking import BAD_USER_INPUT, ApiError, fault

PROTOCOL = "graphql-transport-ws"
REASON_BYTES_MAX = 123  # what a close frame has room for


@dataclass(kw_only=True)
class SocketClosed(Exception):
    """Raised to close the socket with a code of the protocol."""

    code: int
    reason: str


@dataclass(kw_only=True)
class Connection:
    """One socket and what runs on it."""

    service: Service
    socket: WebSocket
    actor: Any = None
    is_initialised: bool = False
    is_acknowledged: bool = False
    operations: dict[str, asyncio.Task[None]] = field(default_factory=dict)


async def serve(service: Service, scope: Scope, *, receive: Receive, send: Send) -> None:
    """Speak the protocol until one side closes; then end every operation."""
    socket = WebSocket(scope, receive=receive, send=send)
    if PROTOCOL not in scope.get("subprotocols", ()):
        await socket.accept()
        await socket.close(4406, "Subprotocol not acceptable")
        return
    await socket.accept(subprotocol=PROTOCOL)
    connection = Connection(service=service, socket=socket)
    try:
        await _converse(connection)
    except SocketClosed as closed:
        await _close(connection, closed.code, closed.reason)
    except WebSocketDisconnect:
        pass
    except Exception as error:  # noqa: BLE001 - an unforeseen fault ends this socket, and says no more than that
        fault(error)
        await _close(connection, 1011, "Internal error")
    finally:
        tasks = list(connection.operations.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _converse(connection: Connection) -> None:
    # One deadline at a time: first for the initialisation, then for the token.
    deadline = asyncio.timeout(connection.service.limits.init_seconds)
    try:
        async with deadline:
            while True:
                message = await _receive(connection)
                if message["type"] == "connection_init":
                    await _initialise(connection, message)
                    seconds = execution.seconds_left(connection.actor)
                    loop_time = asyncio.get_running_loop().time()
                    deadline.reschedule(None if seconds is None else loop_time + seconds)
                else:
                    await _handle(connection, message)
    except TimeoutError:
        if not deadline.expired():
            raise
        if connection.is_acknowledged:
            # 4403 and not 4401: clients take 4401 for final, and this one may come back with a fresh token.
            raise SocketClosed(code=4403, reason="token expired") from None
        raise SocketClosed(code=4408, reason="Connection initialisation timeout") from None


async def _receive(connection: Connection) -> dict[str, Any]:
    frame = await connection.socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1005))
    text = frame.get("text")
    if text is None:
        raise SocketClosed(code=4400, reason="Messages must be text")
    limits = connection.service.limits
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > limits.body_bytes:
        raise SocketClosed(code=1009, reason=f"Messages are limited to {limits.body_bytes} bytes")
    try:
        message = decode_json(data, limits=limits)
    except Refused as refused:
        raise SocketClosed(code=4400, reason=refused.message) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise SocketClosed(code=4400, reason="Messages must be JSON objects with a type")
    return message


async def _initialise(connection: Connection, message: Mapping[str, Any]) -> None:
    if connection.is_initialised:
        raise SocketClosed(code=4429, reason="Too many initialisation requests")
    connection.is_initialised = True
    given = message.get("payload")
    if not isinstance(given, dict | None):
        raise SocketClosed(code=4400, reason="The payload of connection_init must be an object")
    try:
        connection.actor = await execution.identify(connection.service, _token(connection, given or {}))
    except ApiError as error:
        raise SocketClosed(code=4403, reason=error.message) from None
    connection.is_acknowledged = True
    await _send(connection, {"type": "connection_ack"})


def _token(connection: Connection, given: Mapping[str, Any]) -> str | None:
    for name, value in given.items():
        if name.lower() not in ("authorization", "token") or value is None:
            continue
        if not isinstance(value, str):
            raise ApiError("UNAUTHENTICATED", f"The value of {name} must be a string.")
        is_bare = name.lower() == "token" and not value.lower().startswith("bearer ")
        return value if is_bare else execution.bearer_token(value)
    return execution.bearer_token(connection.socket.headers.get("authorization"))


async def _handle(connection: Connection, message: Mapping[str, Any]) -> None:
    match message["type"]:
        case "ping":
            await _send(connection, {"type": "pong"})
        case "pong":
            pass
        case "subscribe":
            await _subscribe(connection, message)
        case "complete":
            task = connection.operations.pop(_operation_id(message), None)
            if task is not None:
                task.cancel()
        case other:
            raise SocketClosed(code=4400, reason=f"Unknown message type: {other}")


def _operation_id(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise SocketClosed(code=4400, reason="The message must have an id")
    return operation_id


async def _subscribe(connection: Connection, message: Mapping[str, Any]) -> None:
    if not connection.is_acknowledged:
        raise SocketClosed(code=4401, reason="Unauthorized")
    operation_id = _operation_id(message)
    if operation_id in connection.operations:
        raise SocketClosed(code=4409, reason=f"Subscriber for {operation_id} already exists")
    limits = connection.service.limits
    if len(connection.operations) >= limits.subscriptions_per_connection:
        error = limit_error(
            "subscriptions_per_connection",
            limit=limits.subscriptions_per_connection,
            actual=len(connection.operations) + 1,
        )
        await _send_errors(connection, operation_id, [error])
        return
    try:
        request = read_parameters(message.get("payload"), limits=limits)
    except Refused as refused:
        if refused.code != BAD_USER_INPUT:
            raise SocketClosed(code=4400, reason=refused.message) from None
        await _send_errors(connection, operation_id, [GraphQLError(refused.message, extensions={"code": refused.code})])
        return
    connection.operations[operation_id] = asyncio.create_task(_run(connection, operation_id, request=request))


async def _run(connection: Connection, operation_id: str, *, request: GraphQLRequest) -> None:
    """One operation, with a context of its own: loaders must not outlive it on a socket that stays open for hours."""
    service = connection.service
    try:
        context = service.context_for(HTTPConnection(connection.socket.scope), connection.actor)
        async with aclosing(execution.results(service, request, context=context)) as results:
            is_first = True
            async for result in results:
                if is_first and execution.is_request_error(result):
                    _forget(connection, operation_id)
                    await _send_errors(connection, operation_id, result.errors or [])
                    return
                is_first = False
                await _send(connection, {"id": operation_id, "type": "next", "payload": execution.payload(result)})
        _forget(connection, operation_id)
        await _send(connection, {"id": operation_id, "type": "complete"})
    except WebSocketDisconnect:
        return
    except Exception as error:  # noqa: BLE001 - for example the context could not be made
        _forget(connection, operation_id)
        await _send_errors(connection, operation_id, [fault(error)])


def _forget(connection: Connection, operation_id: str) -> None:
    """Free the id before the last message: the client may use it again as soon as it reads that."""
    if connection.operations.get(operation_id) is asyncio.current_task():
        del connection.operations[operation_id]


async def _send_errors(connection: Connection, operation_id: str, errors: Sequence[GraphQLError]) -> None:
    formatted = [error.formatted for error in errors]
    await _send(connection, {"id": operation_id, "type": "error", "payload": formatted})


async def _send(connection: Connection, message: Mapping[str, object]) -> None:
    if connection.socket.application_state is not WebSocketState.CONNECTED:
        raise WebSocketDisconnect(1006)
    await connection.socket.send_text(execution.encode(message).decode())


async def _close(connection: Connection, code: int, reason: str) -> None:
    if connection.socket.application_state is WebSocketState.CONNECTED:
        short = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        await connection.socket.close(code, short)
