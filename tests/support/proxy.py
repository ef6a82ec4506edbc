"""What stands between a program and a server: it carries bytes, and can do to them what networks do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65_536


class Proxy:
    """Carries connections to whatever port `choose` answers at that moment; None refuses."""

    def __init__(self, choose: Callable[[], int | None]) -> None:
        self.port = 0
        self.refused = 0
        self._choose = choose
        self._is_swallowing = False
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()

    def swallow(self) -> None:
        """From now on a black hole: connections stay, new ones come about, and nothing arrives any more."""
        self._is_swallowing = True

    def carry_on(self) -> None:
        """No black hole any more; what was swallowed is lost."""
        self._is_swallowing = False

    def cut(self) -> None:
        """Drop all connections, and every new one at once."""
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = None if self._is_cut else self._choose()
        try:
            if target is None:
                raise ConnectionRefusedError
            there, back = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            self.refused += 1
            writer.transport.abort()
            return
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            self._open -= {writer, back}
            for end in (writer, back):
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To the end of one direction, which the other side is told: an answer may still be on its way."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if not self._is_swallowing:
                    writer.write(chunk)
                    await writer.drain()
            if not self._is_swallowing:
                writer.write_eof()


@asynccontextmanager
async def proxy(choose: Callable[[], int | None]) -> AsyncIterator[Proxy]:
    standing = Proxy(choose)
    server = await asyncio.start_server(standing._serve, "127.0.0.1", 0)
    standing.port = server.sockets[0].getsockname()[1]
    try:
        yield standing
    finally:
        server.close()
        standing.cut()
