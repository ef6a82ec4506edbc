"""GraphQL over Server-Sent Events, one operation per connection. Never holds: what the events mean.

Lines end in LF only: there are clients that split events at two LFs and silently see nothing of CRLF streams.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from app.transport.body import GraphQLRequest
from app.transport.server import EXTENSION
from app.transport.sharing import Sharing
from app.transport.subscriber import Result, Subscriber

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # reverse proxies would hold events back to fill their buffers
]
START = {"type": "http.response.start", "status": 200, "headers": HEADERS}
HEARTBEAT = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"
CREDENTIAL_CODES = range(4400, 4500)  # of WebSockets: the client itself must change something


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_single(result: ExecutionResult, *, send: Send) -> None:
    """The stream of a query or a mutation."""
    await send(START)
    body = HEARTBEAT + _next(result) + COMPLETE
    await send({"type": "http.response.body", "body": body})


async def serve(
    sharing: Sharing, scope: Scope, *, request: GraphQLRequest, actor: Any, receive: Receive, send: Send
) -> None:
    """A subscription: every result and `complete`, until the token runs out; at once over if nobody listens.

    `Last-Event-ID` comes before the argument `after`: a browser that reconnects repeats the whole request as it was,
    and the header is what it has seen since.
    """
    stream = EventStream(sharing, HTTPConnection(scope), request=request, actor=actor, send=send)
    gone = asyncio.create_task(wait_for_disconnect(receive))
    gone.add_done_callback(lambda _: stream.hang_up())
    sharing.service.connections.add(stream)
    try:
        await send(START)
        await stream.send_chunk(HEARTBEAT)
        resume = Headers(scope=scope).get("last-event-id") or None
        if not await sharing.join(stream, resume=resume):
            sharing.start(stream, resume=resume)
        await stream.run()
        if not stream.is_gone:
            await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        # the client does not read, and would be waited for before the connection is closed
        scope["extensions"][EXTENSION]()
    finally:
        sharing.service.connections.remove(stream)
        stream.leave()
        gone.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await gone


class EventStream(Subscriber):
    """One client. A task of its own sends: HTTP's `send` waits until the client has taken the chunk before."""

    __slots__ = ("_abort", "_changed", "_drained", "_end", "_is_sending", "_send", "_sharing", "bearer", "is_gone")

    def __init__(
        self, sharing: Sharing, connection: HTTPConnection, *, request: GraphQLRequest, actor: Any, send: Send
    ) -> None:
        super().__init__(request, actor=sharing.service.subscribing_actor(actor), connection=connection)
        self.is_gone = False
        self.bearer = actor
        self._sharing, self._send = sharing, send
        self._abort = connection.scope["extensions"][EXTENSION]
        self._changed, self._drained = asyncio.Event(), asyncio.Event()
        self._is_sending = False
        self._end: bytes | None = None  # the last chunk, once it is known

    def end(self, code: int, reason: str) -> None:
        """See connections.py."""
        if self._end is not None:
            return
        error = GraphQLError(reason, extensions={"code": "UNAUTHENTICATED"})
        self._end = _next(execution.failure(error)) + COMPLETE if code in CREDENTIAL_CODES else b""
        self.leave()
        self.drop()
        self._changed.set()
        if self._is_sending:  # to somebody who does not read: there is no telling him anything
            self._abort()

    def hang_up(self) -> None:
        self.is_gone = True
        self._changed.set()

    async def run(self) -> None:
        """Send until the end. Raises TimeoutError when the client does not read."""
        limits, loop = self._sharing.service.limits, asyncio.get_running_loop()
        seconds = execution.seconds_left(self.bearer)
        expiry = None if seconds is None else loop.time() + seconds
        while not self.is_gone:
            self._changed.clear()
            await self._send_waiting()
            if self._end is not None:
                await self.send_chunk(self._end)
                return
            left = limits.heartbeat_seconds if expiry is None else expiry - loop.time()
            if left <= 0:
                await self.send_chunk(_next(execution.token_expired()) + COMPLETE)
                return
            try:
                async with asyncio.timeout(min(left, limits.heartbeat_seconds)):
                    await self._changed.wait()
            except TimeoutError:
                if expiry is None or loop.time() < expiry:
                    await self.send_chunk(self._heartbeat())

    async def _send_waiting(self) -> None:
        while not self.is_gone:
            result = self.take()
            if result is None:
                break
            await self.send_chunk(result.chunk())
            self.note_sent(result)
        if self.is_behind and not self.is_held and self._end is None:
            self._sharing.restart(self)
        self._drained.set()

    async def send_chunk(self, chunk: bytes) -> None:
        """Raises TimeoutError when the client does not take it."""
        if not chunk:
            return
        self._is_sending = True
        async with asyncio.timeout(self._sharing.service.limits.send_seconds):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._is_sending = False

    def _heartbeat(self) -> bytes:
        cursor = self.cursor
        return HEARTBEAT if cursor is None else b"id: %b\n" % cursor.encode() + HEARTBEAT

    @property
    def is_writable(self) -> bool:
        return False  # its task takes from the queue

    def offer(self, result: Result) -> None:
        super().offer(result)
        self._wake()

    def write(self, result: Result) -> None:
        raise AssertionError("never writable, so never written to")

    def release(self, floor: int) -> None:
        super().release(floor)
        self._wake()

    async def drained(self) -> None:
        await self._drained.wait()

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        if self._end is None:
            told = b"" if errors is None else _next(ExecutionResult(data=None, errors=list(errors)))
            self._end = told + COMPLETE
            self._wake()

    def _wake(self) -> None:
        self._drained.clear()
        self._changed.set()


def _next(result: ExecutionResult) -> bytes:
    return b"event: next\ndata: " + execution.encode(execution.payload(result)) + b"\n\n"
