"""The socket that the API answers on."""

import asyncio
import socket

from app.dev import listen


async def test_answers_leave_at_once() -> None:
    """Headers and body are two writes: with Nagle's algorithm the second waits for the client's delayed ACK, 40 ms."""
    options: list[int] = []

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        options.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = listen("127.0.0.1", 0)
    async with await asyncio.start_server(note, sock=listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert [bool(each) for each in options] == [True]
