"""Stands between one server and its clients, and swallows everything when it is told to: both ways, and nobody is told.

A process of its own: in that of the load every round trip would wait for it. `python -m bench.chaos.proxy PORT TARGET`
says "ready", then answers the lines "swallow" and "pass" with themselves.
"""

import asyncio
import sys
from contextlib import suppress

CHUNK_BYTES = 65536


class Proxy:
    def __init__(self, target: int) -> None:
        self._target = target
        self._is_swallowing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def swallow(self) -> None:
        self._is_swallowing = True

    def let_pass(self) -> None:
        """What was swallowed is gone, and a connection with a hole in it is of no use: the network drops it."""
        self._is_swallowing = False
        for task in self._tasks:
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back: asyncio.StreamWriter | None = None
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, back))
                ways.create_task(self._carry(there, writer))
        except* (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, back):
                if each is not None:
                    each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if not self._is_swallowing:
                writer.write(chunk)
                await writer.drain()
        raise EOFError


async def main(port: int, target: int) -> None:
    proxy = Proxy(target)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", port):
        print("ready", flush=True)
        while order := (await orders.readline()).decode().strip():
            (proxy.swallow if order == "swallow" else proxy.let_pass)()
            print(order, flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
