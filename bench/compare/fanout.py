"""One event to many subscribers: what it costs the server that writes it to each of them.

The clients speak graphql-transport-ws with their own few frames, and look at nothing but whether the event came.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import orjson

from bench.compare.load import Target, processor_seconds

DOCUMENT = "subscription($o: ID) { moduleEvents(organizationId: $o) { type revision payload } }"
CONNECTING_MAX = 50
READY_SECONDS, HEARD_SECONDS = 30.0, 10.0
Publish = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class FanOut:
    """`cpu_us`: of the measured process for each frame; `spread_ms`: from the first frame read to the last, median.

    `text`: what the last frame said.
    """

    frames: int
    cpu_us: float
    spread_ms: float
    text: bytes


@dataclass
class Audience:
    """How many have heard the event under way, and when the first and the last did."""

    count: int
    heard: int = 0
    first: float = 0.0
    last: float = 0.0
    frame: bytes = b""
    everybody: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self) -> None:
        self.heard, self.first = 0, 0.0
        self.everybody.clear()

    def hear(self, whole: bytes) -> None:
        self.frame, self.last = whole, time.perf_counter()
        self.first = self.first or self.last
        self.heard += 1
        if self.heard == self.count:
            self.everybody.set()


class Subscriber(asyncio.Protocol):
    def __init__(self, audience: Audience, *, token: str, organization: str) -> None:
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._audience = audience
        self._buffer = b""
        self._is_open = False
        subscription = {"query": DOCUMENT, "variables": {"o": organization}}
        self._greeting = frame(orjson.dumps({"type": "connection_init", "payload": {"token": token}}))
        self._subscribe = frame(orjson.dumps({"id": "1", "type": "subscribe", "payload": subscription}))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self._is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if b" 101 " not in head:
                self._fail(head)
                return
            self._is_open = True
            self.transport.write(self._greeting)
        while (end := _end(data)) and len(data) >= end:
            self._take(data[0] & 0x0F, data[:end])
            data = data[end:]
        self._buffer = data

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(b"the server hung up")

    def _take(self, opcode: int, whole: bytes) -> None:
        if opcode == 9:
            self.transport.write(frame(whole[2:], opcode=0x8A))
        elif b'"type":"next"' in whole[:64]:
            self._audience.hear(whole)
        elif b'"connection_ack"' in whole:
            self.transport.write(self._subscribe)
            if not self.acknowledged.done():
                self.acknowledged.set_result(None)
        elif b'"type":"ping"' in whole:
            self.transport.write(frame(b'{"type":"pong"}'))
        elif opcode != 10:
            self._fail(whole)

    def _fail(self, why: bytes) -> None:
        if not self.acknowledged.done():
            self.acknowledged.set_exception(ConnectionError(why[:500].decode("latin-1")))


def _start(data: bytes) -> int:
    """Where a frame's payload starts. Frames from a server are not masked."""
    return {126: 4, 127: 10}.get(data[1], 2)


def _end(data: bytes) -> int:
    """Where the first frame ends, 0 when that can't be told yet."""
    if len(data) < 2 or len(data) < _start(data):
        return 0
    start = _start(data)
    return start + (data[1] if start == 2 else int.from_bytes(data[2:start], "big"))


def frame(payload: bytes, *, opcode: int = 0x81) -> bytes:
    """A client's frame; its mask is zero, which changes nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([opcode]) + length + b"\0\0\0\0" + payload


async def measure(
    target: Target, publish: Publish, *, subscribers: int, events: int, token: str, organization: str
) -> FanOut:
    """Publish events one by one, each when everybody has heard the one before."""
    audience = Audience(subscribers)
    connected = await _connect(target.ports[0], audience, token=token, organization=organization)
    try:
        await _until_all_hear(audience, publish)
        spreads, pids = [], list(target.pids)
        before = processor_seconds(pids)
        for _ in range(events):
            await _tell(audience, publish)
            spreads.append(audience.last - audience.first)
        used = processor_seconds(pids) - before
    finally:
        for each in connected:
            each.transport.abort()
    frames, text = events * subscribers, audience.frame[_start(audience.frame) :]
    return FanOut(frames, used / frames * 1e6, sorted(spreads)[len(spreads) // 2] * 1000, text)


async def _connect(port: int, audience: Audience, *, token: str, organization: str) -> list[Subscriber]:
    turns, loop = asyncio.Semaphore(CONNECTING_MAX), asyncio.get_running_loop()

    async def one() -> Subscriber:
        async with turns, asyncio.timeout(READY_SECONDS):
            _, subscriber = await loop.create_connection(
                lambda: Subscriber(audience, token=token, organization=organization), "127.0.0.1", port
            )
            await subscriber.acknowledged
            return subscriber

    return list(await asyncio.gather(*(one() for _ in range(audience.count))))


async def _until_all_hear(audience: Audience, publish: Publish) -> None:
    """Events until one has come to everybody: before, some subscriptions may not have begun."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            await _tell(audience, publish, seconds=1.0)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
        else:
            return


async def _tell(audience: Audience, publish: Publish, *, seconds: float = HEARD_SECONDS) -> None:
    audience.expect()
    await publish()
    async with asyncio.timeout(seconds):
        await audience.everybody.wait()
