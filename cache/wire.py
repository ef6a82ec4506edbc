"""One connection to Redis on which questions follow each other without waiting for answers.

What is asked in every tick goes over it: the library's way through pool, retries and measurements costs ten times the
question itself (docs/decisions/0024-questions-on-one-wire.md). Never holds: what is asked, and for how long one waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

Value = bytes | str | int
Answer = Any  # bytes, int, None, or a list of those


@dataclass(frozen=True)
class Address:
    """Where the server is, and who we are there."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    database: int = 0


class Wire(asyncio.Protocol):
    """One connection, from its making to its end. Answers come in the order of the questions."""

    def __init__(self) -> None:
        self.is_open = False
        self._reader = hiredis.Reader(replyError=ResponseError, protocolError=RedisConnectionError)
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # a cast: uvloop's transports are none of asyncio's
        self._transport, self.is_open = cast("asyncio.Transport", transport), True

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                waiting = self._waiting.popleft()
                if isinstance(answer, ResponseError):
                    waiting.set_exception(answer)
                else:
                    waiting.set_result(answer)
        except (RedisConnectionError, IndexError, asyncio.InvalidStateError):
            self.abort()  # nobody knows whose the next answer would be

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._transport = None
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(RedisConnectionError("the server hung up"))

    async def ask(self, *command: Value) -> Answer:
        """The answer. Raises ResponseError for what the server refuses, RedisConnectionError without a server.

        Whoever stops waiting takes the connection along: what hangs once is not asked again.
        """
        if self._transport is None:
            raise RedisConnectionError("the server hung up")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub means one item
        try:
            return await answer
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()


class KeptWire:
    """A wire that is made when it is needed, and anew when it has ended; `meet` gets to know the server first."""

    def __init__(self, address: Address, *, meet: Callable[[Wire], Awaitable[None]]) -> None:
        self._address, self._meet = address, meet
        self._wire: Wire | None = None
        self._making = asyncio.Lock()

    async def ask(self, *command: Value) -> Answer:
        wire = self._wire
        if wire is None or not wire.is_open:
            wire = await self._make()
        return await wire.ask(*command)

    async def _make(self) -> Wire:
        async with self._making:
            if self._wire is not None and self._wire.is_open:
                return self._wire
            loop, address = asyncio.get_running_loop(), self._address
            _, wire = await loop.create_connection(Wire, address.host, address.port)
            try:
                if address.password is not None:
                    who = () if address.username is None else (address.username,)
                    await wire.ask("AUTH", *who, address.password)
                if address.database:
                    await wire.ask("SELECT", address.database)
                await self._meet(wire)
            except BaseException:
                wire.abort()
                raise
            self._wire = wire
            return wire

    def close(self) -> None:
        if self._wire is not None:
            self._wire.abort()
