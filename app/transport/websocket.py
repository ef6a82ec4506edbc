"""The graphql-transport-ws protocol. Never holds: fields, HTTP.

Credentials travel in the first message or the handshake's Authorization header, never in a cookie, so that a page of
another origin gains nothing by opening a socket.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from app.transport.body import GraphQLRequest, decode_json, read_parameters
from app.transport.refusal import Refused
from app.transport.server import EXTENSION, SocketProtocol, text_frame
from app.transport.sharing import Sharing
from app.transport.subscriber import Result, Subscriber
from graph.limits import limit_error
from graph.masking import BAD_USER_INPUT, ApiError, fault

PROTOCOL = "graphql-transport-ws"
REASON_BYTES_MAX = 123  # what a close frame has room for


@dataclass(kw_only=True)
class SocketClosed(Exception):
    """Raised to close the socket with a code of the protocol."""

    code: int
    reason: str


class Connection:
    """One socket and what runs on it."""

    def __init__(self, sharing: Sharing, socket: SocketProtocol, scope: Scope, *, receive: Receive) -> None:
        self.sharing, self.service, self.socket = sharing, sharing.service, socket
        self.handshake = HTTPConnection(scope)
        self.receive = receive
        self.actor: Any = None
        self.is_initialised = False
        self.is_acknowledged = False
        self.operations: dict[str, Operation] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        socket.listener = self

    @property
    def bearer(self) -> Any:
        """See connections.py."""
        return self.actor

    def end(self, code: int, reason: str) -> None:
        """The same."""
        self.socket.end(code, reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore"))

    def on_paused(self) -> None:
        seconds = self.service.limits.send_seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def on_resumed(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for operation in tuple(self.operations.values()):
            if not self.socket.is_writable:
                return
            operation.go_on()

    def _give_up(self) -> None:
        """The client has not read for too long; what it is told, it may still read when it wakes up."""
        waiting_first = sorted(self.operations.values(), key=lambda operation: not operation.is_waiting)
        cursor = next((each.cursor for each in waiting_first if each.cursor is not None), None)
        self.end(1013, "too slow" if cursor is None else f"resume from {cursor}")

    def schedule_heartbeat(self) -> None:
        if self._heartbeat is None:
            seconds = self.service.limits.heartbeat_seconds
            self._heartbeat = asyncio.get_running_loop().call_later(seconds, self._beat)

    def _beat(self) -> None:
        """Tell idle subscriptions where they are, so that they need not read again what was hidden from them."""
        self._heartbeat = None
        if not self.socket.is_open or not self.operations:
            return
        self.schedule_heartbeat()
        cursors: dict[str, str] = {}
        for operation_id, operation in self.operations.items():
            is_idle, operation.is_idle = operation.is_idle, True
            cursor = operation.cursor if is_idle and not operation.is_waiting else None
            if cursor is not None:
                cursors[operation_id] = cursor
        if cursors and self.socket.is_writable:
            self.write({"type": "ping", "payload": {"cursors": cursors}})

    def write(self, message: Mapping[str, object]) -> None:
        """Does not wait: for what is answered once per message of the client, and `send` for all else."""
        self.socket.write(text_frame(execution.encode(message)))

    async def send(self, message: Mapping[str, object]) -> None:
        await self.writable()
        self.write(message)

    async def writable(self) -> None:
        """Wait until the client takes something in. Raises WebSocketDisconnect when it has gone."""
        await self.socket.writable.wait()
        if not self.socket.is_open:
            raise WebSocketDisconnect(1006)

    def close(self) -> None:
        for timer in (self._timer, self._heartbeat):
            if timer is not None:
                timer.cancel()
        for operation in tuple(self.operations.values()):
            operation.cancel()
        self.operations.clear()


class Operation(Subscriber):
    """One operation on a socket: a task until it is known what it is, and for a subscription a place in a flow."""

    __slots__ = ("id", "is_idle", "owner", "task")

    def __init__(self, owner: Connection, operation_id: str, request: GraphQLRequest) -> None:
        super().__init__(request, actor=owner.service.subscribing_actor(owner.actor), connection=owner.handshake)
        self.owner, self.id = owner, operation_id
        self.is_idle = True  # nothing was sent since the last heartbeat
        self.task: asyncio.Task[None] | None = None

    @property
    def is_writable(self) -> bool:
        return self.owner.socket.is_writable

    def write(self, result: Result) -> None:
        self.is_idle = False
        self.owner.socket.write(result.frame(self.id))

    async def drained(self) -> None:
        while self.is_waiting or not self.is_writable:
            await self.owner.socket.writable.wait()
            if not self.owner.socket.is_open:
                self.leave()  # which ends the flow that waits here
            # the queue is written when the socket says so, which is before this goes on
            await asyncio.sleep(0)

    def go_on(self) -> None:
        """The client reads again."""
        if self.is_behind and not self.is_held:
            self.owner.sharing.restart(self)
        else:
            self.flush()

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        self.forget()
        if errors is None:
            self.owner.write({"id": self.id, "type": "complete"})
        else:
            formatted = [error.formatted for error in errors]
            self.owner.write({"id": self.id, "type": "error", "payload": formatted})

    def forget(self) -> None:
        """Free the id before the last message: the client may use it again as soon as it reads that."""
        if self.owner.operations.get(self.id) is self:
            del self.owner.operations[self.id]

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.leave()


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
        request = read_parameters(message.get("payload"), limits=limits)
    except GraphQLError as error:
        _send_errors(connection, operation_id, [error])
        return
    except Refused as refused:
        if refused.code != BAD_USER_INPUT:
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
