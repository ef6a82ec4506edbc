"""The connection to Redis or Valkey, which knows which run of the server it speaks with.

The library's defaults wait a minute on a frozen server; ours give up at once. Never holds: what keys mean.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from cache.breaker import Breaker
from cache.wire import Address, KeptWire, Wire

log = logging.getLogger("modplane.cache")

T = TypeVar("T")
TIMEOUT_SECONDS = 0.1
# A busy event loop looks at its timers before it reads what has arrived: an answer may be there when time is up.
GRACE_SECONDS = 0.01
CONNECTIONS_MAX = 50
RUNS_MAX = 3
RUN_CHARACTERS = 12  # of the 40 a server draws when it starts: enough to tell its runs apart


class CacheAway(Exception):
    """Redis did not answer in time, refused, or was not asked because it lately did not answer."""


class CacheServer(Redis):
    """One server and its breaker, shared by all who use it in this process.

    What every tick asks (`mget`, `eval`) goes over a wire of its own, unless the server is behind TLS or in the file
    system: then over the library's connections, as all else does.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.breaker = Breaker()
        self.run: str | None = None
        self.generation = 0
        self._answered_at = 0.0  # by the loop's clock
        # Which database the floors are of: two installations may share a server. None: not known, so no floors.
        self.installation: str | None = ""
        # A connection can't outlive the server's process, so it need not be asked again while a connection stands.
        self.connection_pool.connection_kwargs["redis_connect_func"] = self._meet
        self._wire = self._make_wire()

    def _make_wire(self) -> KeptWire | None:
        if self.connection_pool.connection_class is not Connection:
            return None
        known = self.connection_pool.connection_kwargs
        address = Address(
            host=known.get("host", "localhost"),
            port=known.get("port", 6379),
            username=known.get("username"),
            password=known.get("password"),
            database=known.get("db") or 0,
        )
        return KeptWire(address, meet=self._meet_on_wire)

    async def mget(self, keys: Any, *others: Any) -> Any:
        if self._wire is None:
            return await super().mget(keys, *others)
        return await self._wire.ask("MGET", *keys, *others)

    async def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
        if self._wire is None:
            return await super().eval(script, numkeys, *keys_and_args)
        return await self._wire.ask("EVAL", script, numkeys, *keys_and_args)

    async def aclose(self, *arguments: Any) -> None:
        if self._wire is not None:
            self._wire.close()
        await super().aclose(*arguments)

    @asynccontextmanager
    async def asking(self, seconds: float = TIMEOUT_SECONDS, *, since: float | None = None) -> AsyncIterator[None]:
        """What is asked inside is answered within `seconds` of now, or of the loop's time `since`; else CacheAway.

        A server that has answered anybody since then is there: the time begins anew with that, for what took so long
        was this process.
        """
        if not self.breaker.allows():
            raise CacheAway("breaker open")
        loop = asyncio.get_running_loop()
        ends_at = seconds + (loop.time() if since is None else max(since, self._answered_at))
        try:
            async with asyncio.timeout(None) as deadline:
                timer = loop.call_at(ends_at - GRACE_SECONDS, _set_last_moment, deadline, ends_at)
                try:
                    yield
                finally:
                    timer.cancel()
        except (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError) as error:
            self.breaker.fail()
            raise CacheAway(type(error).__name__) from error
        except RedisError as error:
            # It answered, though with an error: quick, and no reason to leave it alone.
            self.breaker.succeed()
            log.warning("redis refused: %s", error)
            raise CacheAway(type(error).__name__) from error
        self._answered_at = loop.time()
        self.breaker.succeed()

    async def on_one_run(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """The answer of one run of the server. `ask` is given its name, for keys that no other run may know.

        A restart shows only when a command finds its connection gone, with its keys already named: then it is
        asked again under the new name.
        """
        for _ in range(RUNS_MAX):
            if self.installation is None:
                raise CacheAway("nobody has said which database this is for")
            if self.run is None:
                await self.mget(["whoever you are"])
            generation, run = self.generation, self.run
            assert run is not None
            answer = await ask(f"{self.installation}{run}")
            if generation == self.generation:
                return answer
        raise RedisConnectionError("the server changes with every question")

    async def _meet(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        self._note_run(await connection.read_response())

    async def _meet_on_wire(self, wire: Wire) -> None:
        self._note_run(await wire.ask("INFO", "server"))

    def _note_run(self, told: bytes) -> None:
        run = next(line[7:] for line in bytes(told).splitlines() if line.startswith(b"run_id:"))
        name = run.decode("ascii")[:RUN_CHARACTERS]
        if name != self.run:
            self.run = name
            self.generation += 1


def _set_last_moment(deadline: asyncio.Timeout, ends_at: float) -> None:
    deadline.reschedule(max(ends_at, asyncio.get_running_loop().time() + GRACE_SECONDS))


def connect(url: str) -> CacheServer:
    """A server by its URL; nothing is sent before it is first asked something."""
    server = CacheServer.from_url(
        url,
        # `asking` bounds every question. A timeout of the library's own makes a task of every command, and on Python
        # 3.11 swallows a cancellation that comes as the command ends (asyncio.wait_for).
        socket_timeout=None,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS_MAX,
        decode_responses=False,
        # With them on, the pool does not look whether a connection has ended: after a restart each would fail once.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    assert isinstance(server, CacheServer)
    return server
