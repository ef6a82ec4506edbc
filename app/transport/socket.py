"""One client's WebSocket: what runs on it, its heartbeats, and how long it may keep its events waiting.

Never holds: which messages mean what (websocket.py).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope
from starlette.websockets import WebSocketDisconnect

from app.transport import execution
from app.transport.body import GraphQLRequest
from app.transport.server import SocketProtocol, text_frame
from app.transport.sharing import Sharing
from app.transport.subscriber import Result, Subscriber

REASON_BYTES_MAX = 123  # what a close frame has room for


class Connection:
    """One socket and what runs on it."""

    def __init__(self, sharing: Sharing, socket: SocketProtocol, scope: Scope, *, receive: Receive) -> None:
        self.sharing, self.service, self.socket = sharing, sharing.service, socket
        self.handshake = HTTPConnection(scope)
        self.receive = receive
        self.actor: Any = None
        self.client = ""  # the name it gives itself
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
