"""A proxy in front of a broker that can swallow what clients wait for: the answers to one kind of request, no other."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from app.embedded.ports import choose_port
from tests.live.servers import port_of

FETCH, METADATA = 1, 3  # API keys of the protocol


@dataclass
class KafkaProxy:
    """`is_silent`: whether answers to `silenced` are swallowed, on every connection there is or will be."""

    broker: str
    address: str = ""
    is_silent: bool = False
    silenced: int = FETCH
    swallowed: int = 0
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", port_of(self.broker))
        fetches: set[int] = set()
        both = [self._requests(reader, downstream, fetches), self._answers(upstream, writer, fetches)]
        tasks = [asyncio.create_task(each) for each in both]
        self.tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, downstream):
            each.close()

    async def _requests(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, fetches: set[int]) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(reader)
                key, _version, correlation = struct.unpack_from(">hhi", frame)
                if key == self.silenced:
                    fetches.add(correlation)
                _forward(frame, to)

    async def _answers(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, fetches: set[int]) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await _frame(reader)
                (correlation,) = struct.unpack_from(">i", frame)
                if correlation in fetches and self.is_silent:
                    self.swallowed += 1
                else:
                    # the broker tells its own address in Metadata and FindCoordinator; they are to come to us
                    _forward(frame.replace(_named(port_of(self.broker)), _named(port_of(self.address))), to)


@asynccontextmanager
async def kafka_proxy(broker: str) -> AsyncIterator[KafkaProxy]:
    proxy = KafkaProxy(broker)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", choose_port(None, taken=()))
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy.tasks:
            task.cancel()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _forward(frame: bytes, to: asyncio.StreamWriter) -> None:
    to.write(struct.pack(">i", len(frame)) + frame)


def _named(port: int) -> bytes:
    return b"127.0.0.1" + struct.pack(">i", port)
