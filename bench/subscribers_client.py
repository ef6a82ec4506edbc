"""WebSocket subscribers that cost next to nothing, thousands in one event loop: their own few frames, no library.

Never holds: what is measured with them (subscribers.py).
"""

import asyncio
import resource
import socket
import time
from collections.abc import Callable
from typing import cast

import orjson

QUERY = "subscription($o: ID, $a: String) { moduleEvents(organizationId: $o, after: $a) { type revision payload } }"
IP_BIND_ADDRESS_NO_PORT = 24  # Linux; Python 3.11 has no name for it
PER_ADDRESS = 20_000  # of the 28,000 ports that one source address has
NEXT = b'{"id":"1","type":"next"'
REVISION = b'"revision":'
CONNECTING_MAX = 100
CONNECT_SECONDS = 60.0


class Reader(asyncio.Protocol):
    """One subscription on one socket. `on_event(rev, moment)` is called for every event; `closed` is why it ended.

    `also`: the variables of a second one, whose events count for nothing.
    """

    __slots__ = ("_buffer", "_on_event", "_opening", "_subscribe", "closed", "is_open", "opened", "transport")

    def __init__(
        self,
        *,
        host: str,
        token: str,
        variables: dict[str, str],
        also: dict[str, str] | None,
        on_event: Callable[[int, float], None],
    ):
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_open = False
        self.closed: tuple[int, str] | None = None
        self._buffer = b""
        self._on_event = on_event
        self._opening = (
            f"GET /graphql HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        ).encode()
        greet = {"type": "connection_init", "payload": {"token": token}}
        ask = [
            {"id": str(number), "type": "subscribe", "payload": {"query": QUERY, "variables": each}}
            for number, each in enumerate((variables, also), start=1)
            if each is not None
        ]
        self._subscribe = b"".join(_frame(0x81, orjson.dumps(each)) for each in (greet, *ask, {"type": "ping"}))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        moment = time.monotonic()
        data = self._buffer + data if self._buffer else data
        if not self.is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if b" 101 " not in head:
                raise ConnectionError(head[:200].decode("latin-1"))
            self.is_open = True
            self._send(self._subscribe)
            self._opening = self._subscribe = b""
        self._buffer = self._read_frames(data, moment)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.closed = self.closed or (1006, repr(exc))
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(str(self.closed)))

    @property
    def port(self) -> int:
        """Its own end of the connection."""
        if self.transport is None:
            return 0
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def stop_reading(self) -> None:
        """Take nothing in any more, as a client that hangs."""
        if self.transport is not None:
            self.transport.pause_reading()

    def read_again(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()

    def drop(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _read_frames(self, data: bytes, moment: float) -> bytes:
        """What is left of an unfinished frame."""
        while len(data) >= 2:
            size, start = data[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
            end = start + size
            if len(data) < end:
                break
            self._take(data[0] & 0x0F, data[start:end], moment)
            data = data[end:]
        return data

    def _take(self, opcode: int, payload: bytes, moment: float) -> None:
        if opcode == 1 and payload.startswith(NEXT):
            at = payload.index(REVISION) + len(REVISION)
            self._on_event(int(payload[at : payload.index(b",", at)]), moment)
        elif opcode == 1:
            self._take_message(orjson.loads(payload))
        elif opcode == 8:
            self.closed = (int.from_bytes(payload[:2], "big"), payload[2:].decode())
        elif opcode == 9:
            self._send(_frame(0x8A, payload))

    def _take_message(self, message: dict[str, object]) -> None:
        if message["type"] == "pong" and not self.opened.done():
            self.opened.set_result(None)  # answered after the subscription was begun
        elif message["type"] == "ping":
            self._send(_frame(0x81, b'{"type":"pong"}'))
        elif message["type"] in ("error", "complete"):
            self.closed = (0, orjson.dumps(message).decode()[:200])
            self.drop()

    def _send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


async def connect(
    port: int,
    count: int,
    *,
    token: str,
    variables: dict[str, str],
    on_event: Callable[[int, float], None],
    also: dict[str, str] | None = None,
    small: bool = False,
) -> list[Reader]:
    """Open so many; ready when the server has begun each subscription. `small`: with the smallest receive buffer."""
    turns = asyncio.Semaphore(CONNECTING_MAX)

    async def one(number: int) -> Reader:
        async with turns, asyncio.timeout(CONNECT_SECONDS):
            client = socket.socket()
            client.setblocking(False)
            # else the system looks for a port that is free towards everybody, for longer with each one taken
            client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
            if small:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = f"127.0.0.1:{port}"
            _, reader = await loop.create_connection(
                lambda: Reader(host=host, token=token, variables=variables, also=also, on_event=on_event), sock=client
            )
            await reader.opened
            return reader

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def allow_files(count: int) -> None:
    """Raise this process's limit, which its children inherit. Raises ValueError when the system has fewer."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ValueError(f"{count} open files are needed, and the system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _frame(first: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, which changes nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + b"\0\0\0\0" + payload
