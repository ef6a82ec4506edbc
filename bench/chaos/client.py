"""An HTTP client that costs little: one connection, one request at a time, no redirects, no pool.

A general client takes more processor time for a request than the server that is measured.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson

SECONDS_MAX = 30.0


class Lost(Exception):
    """No answer: whether the request was carried out is not known."""


class Client:
    """Speaks GraphQL with one process; connects again by itself after a loss."""

    def __init__(self, port: int, token: str, *, seconds: float = SECONDS_MAX) -> None:
        self.port = port
        self._token = token
        self._seconds = seconds
        self.retry_after = 0.0  # what the last answer asked for, in seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def move(self, port: int) -> None:
        """Speak with another process from now on."""
        if port != self.port:
            self.drop()
            self.port = port

    async def ask(self, query: str, variables: dict[str, Any] | None = None, *, headers: str = "") -> Any:
        """The whole answer, errors and all. `headers`: more of them, each with its line end. Raises Lost."""
        body = orjson.dumps({"query": query, "variables": variables or {}})
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {self._token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        )
        self.retry_after = 0.0
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await self._connected()
                writer.write(head.encode() + body)
                status, answer, self.retry_after = await _response(reader)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.drop()
            raise Lost(repr(error)) from error
        except BaseException:
            self.drop()  # cancelled in the middle: the next request must not read this one's answer
            raise
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            return {"errors": [{"message": f"HTTP {status}", "extensions": {"code": f"HTTP_{status}"}}]}

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        return self._streams


async def _response(reader: asyncio.StreamReader) -> tuple[int, bytes, float]:
    """Status, body, and the seconds that the header Retry-After names."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), body, float(headers.get("retry-after", 0))
