"""The open streams of one process: who holds each, and a way to end it. Never holds: why one should end.

A WebSocket is one entry from its acknowledgement on, a Server-Sent Events stream from its first byte on.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol

# Ends between two looks at the event loop: closing ten thousand at once must not stop everybody else.
SLICE = 100


class OpenConnection(Protocol):
    """One client's connection. `bearer` is the actor that its token stands for, not one it shares a stream as."""

    @property
    def bearer(self) -> Any: ...

    def end(self, code: int, reason: str) -> None:
        """Begin to end it, and return at once; ending twice is ending once.

        `code` is a WebSocket close code. An event stream has none: 44xx (the credential is no longer good) ends it
        with an UNAUTHENTICATED error of this reason and `complete`; any other code after its last whole event, so
        that the client comes back with `Last-Event-ID`.
        """


class Connections:
    """Whoever opens a stream adds it, and removes it in the end. One per process."""

    def __init__(self) -> None:
        self._open: dict[OpenConnection, None] = {}
        self.is_draining = False  # the process is ending: whoever would open a stream is sent elsewhere

    def add(self, connection: OpenConnection) -> None:
        self._open[connection] = None

    def remove(self, connection: OpenConnection) -> None:
        self._open.pop(connection, None)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenConnection]:
        """Those open now: what opens or closes meanwhile does not disturb it."""
        return iter(tuple(self._open))

    async def end(self, predicate: Callable[[Any], bool], code: int, reason: str) -> int:
        """End every connection whose bearer fits; how many those were. Returns before their clients have noticed."""
        ended = 0
        for connection in self:
            if connection in self._open and predicate(connection.bearer):
                connection.end(code, reason)
                ended += 1
                if ended % SLICE == 0:
                    await asyncio.sleep(0)
        return ended
