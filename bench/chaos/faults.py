"""Doing things to servers: freezing them, and standing between them and those who speak with them."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from bench.chaos.world import Child
from tests.live.servers import pid_on

CHUNK_BYTES = 65536
LEADER = (
    "SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'modplane-relay'"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process does nothing inside, and its connections stay open."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def server_on(port: int) -> int:
    """The process that listens on a port."""
    return pid_on(port)


def owner_of(port: int, children: Iterable[Child]) -> Child | None:
    """Whose connection it is that leaves from this port."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    sockets = {f"socket:[{fields[9]}]" for fields in map(str.split, table) if int(fields[1].split(":")[1], 16) == port}
    for child in children:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{child.pid}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) in sockets:
                        return child
    return None


def moved(address: str, port: int) -> str:
    """The same address with another port: host:port, or a URL."""
    return re.sub(r":\d+(?=/|$)", f":{port}", address, count=1)


class Proxy:
    """Stands before one server. `hole`: everything that comes is swallowed, in both directions, and nobody is told."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def hole(self) -> Iterator[None]:
        self._open.clear()
        try:
            yield
        finally:
            # what was swallowed is gone, and a connection with a hole in it is no use: the network drops it
            for task in self._tasks:
                task.cancel()
            self._open.set()

    @asynccontextmanager
    async def standing(self, port: int) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = port
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, back))
                ways.create_task(self._carry(there, writer))
        except* (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with suppress(UnboundLocalError):
                back.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self._open.is_set():
                writer.write(chunk)
                await writer.drain()
        raise EOFError
