"""Doing things to servers: freezing them, and standing between them and those who speak with them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from bench.chaos.world import ROOT, Child
from tests.live.servers import pid_on

ANSWER_SECONDS = 20.0
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
    """A process that stands before one server: bench.chaos.proxy."""

    def __init__(self, port: int, program: asyncio.subprocess.Process) -> None:
        self.port = port
        self._program = program

    @asynccontextmanager
    async def hole(self) -> AsyncIterator[None]:
        """Everything that comes is swallowed, in both directions; at the end connections are dropped."""
        await self._tell("swallow")
        try:
            yield
        finally:
            await self._tell("pass")

    async def _tell(self, order: str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{order}\n".encode())
        await self.heard(order)

    async def heard(self, word: str) -> None:
        assert self._program.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = (await self._program.stdout.readline()).decode().strip()
        if answer != word:
            raise RuntimeError(f"the proxy on port {self.port} said {answer!r} and not {word!r}")


@asynccontextmanager
async def standing(port: int, *, before: int) -> AsyncIterator[Proxy]:
    """A proxy on a port, before the server on another."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.chaos.proxy", str(port), str(before)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        proxy = Proxy(port, program)
        await proxy.heard("ready")
        yield proxy
    finally:
        program.kill()
        await program.wait()
