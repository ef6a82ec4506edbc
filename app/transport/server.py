"""uvicorn's protocols, with what streams need and ASGI has not: whether a client takes anything in, and a sure end.

An ASGI `send` waits until the client reads, its close too: a client that never reads could never be told to go.
Never holds: GraphQL.
"""

import contextlib
import socket
from collections.abc import Iterable
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION = "modplane.connection"
ARRIVED = "modplane.has_arrived"
AT_ONCE = "modplane.answer_at_once"
# What the kernel takes of a client's backlog before it calls the socket full; its own measure is megabytes.
UNSENT_BYTES_MAX = 65_536
# A client that has been told to go may read to the end for so long.
FAREWELL_SECONDS = 4.0
SHORT_MAX, MEDIUM_MAX = 125, 65_535  # what the first byte of a frame's length can hold, and the next two


class Listener(Protocol):
    """What a connection tells its owner."""

    def on_paused(self) -> None:
        """The client takes nothing in any more."""

    def on_resumed(self) -> None:
        """It does again."""


def text_frame(text: bytes) -> bytes:
    """A whole WebSocket frame from a server: unmasked, so that it is the same for everybody who gets the text."""
    size = len(text)
    if size <= SHORT_MAX:
        return b"\x81" + size.to_bytes(1, "big") + text
    if size <= MEDIUM_MAX:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket. Whoever finds it in the scope under EXTENSION may write frames to it without waiting."""

    listener: Listener | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _bound_backlog(transport)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.listener is not None:
            self.listener.on_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.listener is not None:
            self.listener.on_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # circles, which would keep all of it until the collector comes by
        self.listener = None
        if self.handshake_initiated and hasattr(self, "scope"):
            cast("dict[str, Any]", self.scope["extensions"]).pop(EXTENSION, None)

    @property
    def is_open(self) -> bool:
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set() and self.is_open

    def write(self, frame: bytes) -> None:
        """Whole frames of `text_frame`. Bounding what a client does not read is the caller's task."""
        if self.is_open:
            self.transport.write(frame)

    def end(self, code: int, reason: str) -> None:
        """Say goodbye behind what is on its way, and hang up soon whether it is heard or not."""
        if not self.is_open:
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # not close(): that waits until all is read
        self.close_timer = self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)


class HttpProtocol(HttpToolsProtocol):
    """HTTP. Its scope has under EXTENSION a way to drop the connection without waiting for the client to read, under
    ARRIVED whether the whole request is there (then nobody need watch over its arrival), and under AT_ONCE a way to
    write an answer that is whole."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _bound_backlog(transport)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {
            EXTENSION: self.transport.abort,
            ARRIVED: self._has_arrived,
            AT_ONCE: self._answer_at_once,
        }

    def _has_arrived(self) -> bool:
        """Of a request that others on the connection have followed too: they come after its end."""
        return self.cycle is not None and not self.cycle.more_body

    def _answer_at_once(self, scope: Any, status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Head and body by one write, where ASGI's two messages are two, and look at each header again.

        The fields are the caller's to have right. False, and nothing is written: the answer has to go the ordinary way,
        which waits for a client that does not read, and knows how a connection ends.
        """
        cycle = self.cycle
        if cycle is None or cycle.scope is not scope or cycle.response_started or cycle.disconnected:
            return False
        if self.flow.write_paused or cycle.access_log or not cycle.keep_alive:
            return False
        head = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *fields):
            head += (name, b": ", value, b"\r\n")
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(b"".join((*head, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # the two refer to each other, and nobody reads HTTP here again


def _bound_backlog(transport: Any) -> None:
    found = transport.get_extra_info("socket")
    if found is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):  # a socket of the file system has no such option
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)


UVICORN: dict[str, Any] = {
    "http": HttpProtocol,
    "ws": SocketProtocol,
    "ws_max_size": 262_144,
    # compression would keep some 300 KiB per connection, for messages of one
    "ws_per_message_deflate": False,
    "ws_ping_interval": 20,
    # longer than a client may keep its events waiting: who does not read does not answer pings either, and shall be
    # told where to resume
    "ws_ping_timeout": 40,
    # Longer than clients and proxies keep idle connections: who closes first sends nothing into a closed one. Browsers
    # and load balancers keep them for 60 s; at uvicorn's 5 s, which are httpx's too, now and then a mutation was lost.
    "timeout_keep_alive": 75,
    "server_header": False,
    "lifespan": "off",
}
"""The settings of uvicorn that the transports rely on."""
