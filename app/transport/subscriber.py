"""What a subscriber still has to be sent: results that are written once for all, and a bounded queue for each client.

Never holds: where results come from, sockets.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from graphql import GraphQLError
from starlette.requests import HTTPConnection
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from app.transport.body import GraphQLRequest
from app.transport.server import text_frame
from graph.context import StreamPosition

QUEUE_MAX = 64
QUEUE_BYTES_MAX = 262_144


class Result:
    """One result of a subscription, in bytes. Those who share it share the bytes too."""

    __slots__ = ("_frames", "cursor", "payload", "rev")

    def __init__(self, result: ExecutionResult, position: StreamPosition) -> None:
        self.payload = execution.encode(execution.payload(result))
        self.rev = position.offered
        self.cursor = position.cursor or (None if self.rev is None else f"v1:{self.rev}")
        self._frames: dict[str, bytes] = {}

    def frame(self, operation_id: str) -> bytes:
        """The `next` message as a WebSocket frame; made once for all who call their operation the same."""
        frame = self._frames.get(operation_id)
        if frame is None:
            message = b'{"id":%b,"type":"next","payload":%b}' % (orjson.dumps(operation_id), self.payload)
            frame = text_frame(message)
            if len(self._frames) < QUEUE_MAX:  # clients that name theirs at random have nothing to share
                self._frames[operation_id] = frame
        return frame

    def chunk(self) -> bytes:
        """The `next` event of an event stream."""
        place = b"" if self.cursor is None else b"id: %b\n" % self.cursor.encode()
        return place + b"event: next\ndata: " + self.payload + b"\n\n"


class Source(Protocol):
    """What feeds a subscriber."""

    position: StreamPosition

    def leave(self, subscriber: "Subscriber") -> None: ...


class Subscriber(ABC):
    """One client's subscription: what it asked for, what is to be sent, and where it is.

    `offer` never waits: what the client does not take at once is queued, and when that overflows the queue is dropped
    and `is_behind` set: begin anew from `sent`, the rev up to which everything has been given, once the client reads.
    """

    __slots__ = ("_bytes", "_queue", "actor", "connection", "floor", "flow", "is_behind", "is_held", "request", "sent")

    def __init__(self, request: GraphQLRequest, *, actor: Any, connection: HTTPConnection) -> None:
        """`actor`: whom it is executed as."""
        self.request, self.actor, self.connection = request, actor, connection
        self.flow: Source | None = None
        self.sent: int | None = None
        self.floor: int | None = None  # results up to this rev are not for this client
        self.is_behind = False
        self.is_held = False  # nothing goes out until `floor` is known
        self._queue: deque[Result] | None = None  # most clients never need one, and it weighs 600 bytes
        self._bytes = 0

    @property
    @abstractmethod
    def is_writable(self) -> bool:
        """Whether the client takes something in at once."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Hand it to the connection, which is writable."""

    @abstractmethod
    async def drained(self) -> None:
        """Wait until all that was given has been written and the client takes more."""

    @abstractmethod
    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        """The subscription is over: of itself, or with errors before it gave anything."""

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything that the client has not been given."""
        return bool(self._queue) or self.is_behind or self.is_held

    @property
    def cursor(self) -> str | None:
        """Where the client may resume once it has read all that was written; None: the stream has no such place."""
        position = None if self.flow is None else self.flow.position
        if position is not None and position.cursor is not None:
            return position.cursor
        self._note_place()
        return None if self.sent is None else f"v1:{self.sent}"

    def leave(self) -> None:
        """The client wants no more; twice is once."""
        if self.flow is not None:
            self.flow.leave(self)

    def offer(self, result: Result) -> None:
        if self.is_behind or self._is_known(result):
            return
        if not self._queue and not self.is_held and self.is_writable:
            self._write(result)
            return
        if self._queue is None:
            self._note_place()
            self._queue = deque()
        size = len(result.payload)
        if len(self._queue) >= QUEUE_MAX or (self._queue and self._bytes + size > QUEUE_BYTES_MAX):
            self.fall_behind()
            return
        self._queue.append(result)
        self._bytes += size

    def take(self) -> Result | None:
        """The next one waiting."""
        if not self._queue or self.is_held:
            return None
        result = self._queue.popleft()
        self._bytes -= len(result.payload)
        if not self._queue:
            self._queue = None
        return result

    def flush(self) -> None:
        """Write what waits, as far as the client takes it."""
        while self.is_writable and (result := self.take()) is not None:
            self._write(result)

    def hold(self) -> None:
        """Keep what comes until `release` says from where on it is wanted."""
        self.is_held = True

    def release(self, floor: int) -> None:
        """Give only what is after `floor`."""
        self.floor, self.is_held = floor, False
        self.sent = floor if self.sent is None else max(self.sent, floor)
        wanted = deque(result for result in self._queue or () if not self._is_known(result))
        self._queue, self._bytes = wanted or None, sum(len(result.payload) for result in wanted)
        self.flush()

    def fall_behind(self) -> None:
        self.drop()
        self.is_behind = True
        self.leave()

    def drop(self) -> None:
        """Forget what waits."""
        self._queue, self._bytes = None, 0

    def note_sent(self, result: Result) -> None:
        if result.rev is not None and (self.sent is None or self.sent < result.rev):
            self.sent = result.rev

    def _is_known(self, result: Result) -> bool:
        return self.floor is not None and result.rev is not None and result.rev <= self.floor

    def _write(self, result: Result) -> None:
        self.write(result)
        self.note_sent(result)

    def _note_place(self) -> None:
        """With nothing waiting, the client is where its flow is, however much of that was hidden from it."""
        reached = None if self.flow is None else self.flow.position.reached
        for rev in (reached, self.floor):
            if rev is not None and not self.is_waiting and (self.sent is None or self.sent < rev):
                self.sent = rev
