"""The one connection of what every tick asks: answers in order, on both event loops, and never somebody else's."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from cache.floor import RevisionFloor
from cache.server import connect
from cache.wire import Address, KeptWire, Wire
from tests.cache.conftest import Process
from tests.cache.valkey import Valkey

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_it_speaks_on_both_event_loops(valkey: Valkey, run: Run) -> None:
    """`serve` runs on uvloop, whose transports are classes of its own."""

    async def ask() -> None:
        server = connect(valkey.url)
        async with server.asking(20.0):
            assert await server.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, "loop", 7) == b"OK"
            assert await server.mget(["loop", "nothing"]) == [b"7", None]
        assert server.generation == 1
        await server.aclose()

    run(ask())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_process_that_is_busy_does_not_take_redis_for_away(valkey: Valkey, run: Run) -> None:
    """Loops look at timers before they read what arrived long ago; and who waits in line waits for this process."""

    async def ask() -> None:
        server = connect(valkey.url)
        floor = RevisionFloor(server)
        async with asyncio.timeout(30):  # the first question also makes the connection
            while (await floor.read([], ["warm"])).is_away:
                await asyncio.sleep(0.05)
        opened = server.breaker.opened
        for _ in range(5):
            first = asyncio.create_task(floor.read([], ["a"]))
            await asyncio.sleep(0.001)  # the question is on its way
            second = asyncio.create_task(floor.read([], ["b"]))
            await asyncio.sleep(0)
            time.sleep(0.15)
            assert not (await first).is_away
            assert not (await second).is_away
        assert server.breaker.opened == opened
        await server.aclose()

    run(ask())


async def test_answers_come_to_those_who_asked(process: Process) -> None:
    await process.server.mset({f"n{number}": str(number) for number in range(50)})
    answers = await asyncio.gather(*(process.server.mget([f"n{number}"]) for number in range(50)))
    assert answers == [[str(number).encode()] for number in range(50)]


async def test_what_the_server_refuses_is_refused_to_one(process: Process) -> None:
    await process.server.set("text", "x")
    answers = list(
        await asyncio.gather(
            process.server.mget(["text"]),
            process.server.eval("return redis.call('INCR', KEYS[1])", 1, "text"),
            process.server.mget(["text"]),
            return_exceptions=True,
        )
    )
    assert (answers[0], answers[2]) == ([b"x"], [b"x"])
    assert isinstance(answers[1], ResponseError)


async def test_who_stops_waiting_takes_the_connection_along(process: Process, valkey: Valkey) -> None:
    """Else the next one would be given the answer that nobody waits for any more."""
    met = 0

    async def meet(_: Wire) -> None:
        nonlocal met
        met += 1

    port = int(valkey.url.rpartition(":")[2].partition("/")[0])
    wire = KeptWire(Address("127.0.0.1", port), meet=meet)
    assert await wire.ask("SET", "a", "1") == b"OK"
    slow = asyncio.create_task(wire.ask("BLPOP", "never", "0"))
    beside = asyncio.create_task(wire.ask("GET", "a"))
    await asyncio.sleep(0.05)
    slow.cancel()
    assert isinstance((await asyncio.gather(beside, return_exceptions=True))[0], RedisConnectionError)
    assert (await wire.ask("GET", "a"), met) == (b"1", 2)
    wire.close()


async def test_it_says_who_we_are_and_which_database(own_valkey: Valkey) -> None:
    async with Redis.from_url(own_valkey.url) as admin:
        await admin.acl_setuser("app", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"])
        await admin.config_set("requirepass", "other")
    host = own_valkey.url.removeprefix("redis://").removesuffix("/0")
    server = connect(f"redis://app:secret@{host}/3")
    assert await server.eval("return redis.call('SET', 'where', 'three')", 0) == b"OK"
    async with Redis.from_url(f"redis://app:secret@{host}/3") as plain:
        assert await plain.get("where") == b"three"
    await server.aclose()
    stranger = connect(f"redis://app:wrong@{host}/3")
    with pytest.raises(ResponseError, match="WRONGPASS"):
        await stranger.mget(["where"])
    await stranger.aclose()
