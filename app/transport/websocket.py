"""The graphql-transport-ws protocol. Never holds: fields, HTTP.

Credentials travel in the first message or the handshake's Authorization header, never in a cookie, so that a page of
another origin gains nothing by opening a socket.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from app.transport.body import Caller, decode_json, read_parameters
from app.transport.refusal import Refused
from app.transport.server import EXTENSION, SocketProtocol
from app.transport.sharing import Sharing
from app.transport.socket import Connection, Operation
from app.transport.trusted import CLIENT_HEADER, NOT_FOUND, REQUIRED
from graph.limits import limit_error
from graph.masking import BAD_USER_INPUT, ApiError, fault

PROTOCOL = "graphql-transport-ws"
# What is wrong with one operation ends that one; what is no GraphQL at all ends the socket.
OF_THE_OPERATION = frozenset({BAD_USER_INPUT, NOT_FOUND, REQUIRED})


@dataclass(kw_only=True)
class SocketClosed(Exception):
    """Raised to close the socket with a code of the protocol."""

    code: int
    reason: str


async def serve(sharing: Sharing, scope: Scope, *, receive: Receive, send: Send) -> None:
    """Speak the protocol until one side closes; then end every operation."""
    socket: SocketProtocol = scope["extensions"][EXTENSION]
    await receive()  # the connection itself
    if PROTOCOL not in scope.get("subprotocols", ()):
        await send({"type": "websocket.accept"})
        socket.end(4406, "Subprotocol not acceptable")
        return
    await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
    connection = Connection(sharing, socket, scope, receive=receive)
    try:
        await _converse(connection)
    except SocketClosed as closed:
        connection.end(closed.code, closed.reason)
    except WebSocketDisconnect:
        pass
    except Exception as error:  # noqa: BLE001 - an unforeseen fault ends this socket, and says no more than that
        fault(error)
        connection.end(1011, "Internal error")
    finally:
        sharing.service.connections.remove(connection)
        connection.close()


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
                    _handle(connection, message)
    except TimeoutError:
        if not deadline.expired():
            raise
        if connection.is_acknowledged:
            # 4403 and not 4401: clients take 4401 for final, and this one may come back with a fresh token.
            raise SocketClosed(code=4403, reason="token expired") from None
        raise SocketClosed(code=4408, reason="Connection initialisation timeout") from None


async def _receive(connection: Connection) -> dict[str, Any]:
    # who does not take answers in is not heard either
    await connection.writable()
    frame = await connection.receive()
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
    connection.client = _client(connection, given or {})
    connection.is_acknowledged = True
    connection.service.connections.add(connection)
    connection.write({"type": "connection_ack"})


def _token(connection: Connection, given: Mapping[str, Any]) -> str | None:
    for name, value in given.items():
        if name.lower() not in ("authorization", "token") or value is None:
            continue
        if not isinstance(value, str):
            raise ApiError("UNAUTHENTICATED", f"The value of {name} must be a string.")
        is_bare = name.lower() == "token" and not value.lower().startswith("bearer ")
        return value if is_bare else execution.bearer_token(value)
    return execution.bearer_token(connection.handshake.headers.get("authorization"))


def _client(connection: Connection, given: Mapping[str, Any]) -> str:
    """A page cannot set headers on its handshake, so the name may also come in the first message."""
    name = next((value for key, value in given.items() if key.lower() == CLIENT_HEADER), None)
    return name if isinstance(name, str) else connection.handshake.headers.get(CLIENT_HEADER, "")


def _handle(connection: Connection, message: Mapping[str, Any]) -> None:
    match message["type"]:
        case "ping":
            connection.write({"type": "pong"})
        case "pong":
            pass
        case "subscribe":
            _subscribe(connection, message)
        case "complete":
            operation = connection.operations.pop(_operation_id(message), None)
            if operation is not None:
                operation.cancel()
        case other:
            raise SocketClosed(code=4400, reason=f"Unknown message type: {other}")


def _operation_id(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise SocketClosed(code=4400, reason="The message must have an id")
    return operation_id


def _subscribe(connection: Connection, message: Mapping[str, Any]) -> None:
    if not connection.is_acknowledged:
        raise SocketClosed(code=4401, reason="Unauthorized")
    operation_id = _operation_id(message)
    if operation_id in connection.operations:
        raise SocketClosed(code=4409, reason=f"Subscriber for {operation_id} already exists")
    limits, count = connection.service.limits, len(connection.operations)
    try:
        if count >= limits.subscriptions_per_connection:
            raise limit_error(
                "subscriptions_per_connection", limit=limits.subscriptions_per_connection, actual=count + 1
            )
        caller = Caller(connection.service.trusted, connection.client)
        request = read_parameters(message.get("payload"), limits=limits, caller=caller)
    except GraphQLError as error:
        _send_errors(connection, operation_id, [error])
        return
    except Refused as refused:
        if refused.code not in OF_THE_OPERATION:
            raise SocketClosed(code=4400, reason=refused.message) from None
        _send_errors(connection, operation_id, [GraphQLError(refused.message, extensions={"code": refused.code})])
        return
    operation = Operation(connection, operation_id, request)
    connection.operations[operation_id] = operation
    operation.task = asyncio.create_task(_run(connection, operation))


def _send_errors(connection: Connection, operation_id: str, errors: Sequence[GraphQLError]) -> None:
    connection.write({"id": operation_id, "type": "error", "payload": [error.formatted for error in errors]})


async def _run(connection: Connection, operation: Operation) -> None:
    """Find out what it is, with a context of its own: loaders must not outlive an operation on a long-lived socket."""
    service, sharing = connection.service, connection.sharing
    try:
        if not await sharing.join(operation):
            context = service.context_for(connection.handshake, connection.actor)
            try:
                result = await execution.execute(
                    service, operation.request, context=context, allowed=execution.SINGLE_RESULT
                )
            except InvalidOperationTypeError:
                sharing.start(operation)
            else:
                execution.end(context, result)
                await _answer(connection, operation, result)
                return
        connection.schedule_heartbeat()
    except WebSocketDisconnect:
        return
    except Exception as error:  # noqa: BLE001 - for example the context could not be made
        operation.finish([fault(error)])
    finally:
        operation.task = None


async def _answer(connection: Connection, operation: Operation, result: ExecutionResult) -> None:
    """Of a query or a mutation."""
    await connection.writable()
    if execution.is_request_error(result):
        operation.finish(result.errors)
        return
    connection.write({"id": operation.id, "type": "next", "payload": execution.payload(result)})
    operation.finish(None)
