"""The limit of a fan-out in Python: one prebuilt WebSocket frame, written to every connection without looking at it.

POST /publish with a JSON body sends that body to all. No GraphQL, no queues, no heartbeats, no slow clients.
"""

import asyncio
import os
from base64 import b64encode
from hashlib import sha1
from typing import cast

import uvloop

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
ACK = b'\x81\x19{"type":"connection_ack"}'
everybody: set[asyncio.Transport] = set()


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""
        self._is_socket = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._is_socket:
            return
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"upgrade" in fields:
            self._open(head)
        elif len(body) >= int(fields[b"content-length"]):
            self._buffer = b""
            publish(body)
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    def connection_lost(self, exc: Exception | None) -> None:
        everybody.discard(self._transport)

    def _open(self, head: bytes) -> None:
        key = next(
            line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = b64encode(sha1(key + MAGIC).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        protocol = b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        self._transport.write(answer + b"sec-websocket-accept: " + accept + b"\r\n" + protocol + ACK)
        self._is_socket = True
        everybody.add(self._transport)


def publish(text: bytes) -> None:
    size = len(text)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    frame = b"\x81" + length + text
    for transport in everybody:
        transport.write(frame)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(os.environ["PORT"]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
