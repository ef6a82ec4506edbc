"""A connection that clients keep for the next request outlives the five seconds for which most of them keep it."""

import asyncio

from graph.limits import Limits
from tests.transport.probe import running_server

IDLE_SECONDS = 6.0
SECONDS = 10.0


async def test_an_idle_connection_is_still_open_after_what_clients_keep_it_for() -> None:
    async with running_server(Limits()) as server, asyncio.timeout(IDLE_SECONDS + 2 * SECONDS):
        host, _, port = server.url.removeprefix("http://").partition("/")[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for idle in (IDLE_SECONDS, 0.0):
            body = b'{"query": "{ hello }"}'
            head = f"POST /graphql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"}}")
            assert (answer[:15], answer[-26:]) == (b"HTTP/1.1 200 OK", b'{"data":{"hello":"world"}}')
            await asyncio.sleep(idle)
        writer.close()
