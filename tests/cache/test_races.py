"""No answer is older than what was acknowledged before it was asked for, whatever happens to Redis meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from cache import breaker
from cache.keys import ORGANIZATION_INFO
from models.database import direct
from tests.cache.conftest import Process, running_process
from tests.cache.ledger import READS, WRITES, Clients, Ledger, NaiveClients, race
from tests.cache.valkey import Valkey
from tests.conftest import Databases

SEED = 124


@pytest_asyncio.fixture
async def ledger(databases: Databases) -> AsyncIterator[Ledger]:
    database = await databases.create(template="template0")
    async with asyncpg.create_pool(**direct(database), min_size=1, max_size=8) as pool:
        made = Ledger(pool, random.Random(SEED))
        await made.create()
        yield made


@asynccontextmanager
async def meanwhile(happens: Callable[[], Awaitable[None]], seconds: float) -> AsyncIterator[None]:
    """Again and again, until what is inside is done."""

    async def again() -> None:
        while True:
            await asyncio.sleep(seconds)
            await happens()

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def hits(*processes: Process) -> int:
    return sum(each.cache.statistics.snapshot()[ORGANIZATION_INFO.pattern]["hit"] for each in processes)


async def test_nothing_is_stale(ledger: Ledger, process: Process, other: Process) -> None:
    found = await race(Clients(ledger, [process, other]), ledger)
    print(f"seed {SEED}: {dict(found)}, {hits(process, other)} hits")
    assert (found["stale"], found["own stale"], sum(ledger.own.values()) > WRITES) == (0, 0, True)
    assert hits(process, other) > READS / 4


async def test_the_same_race_finds_naive_caching_stale(ledger: Ledger, valkey: Valkey) -> None:
    async with Redis.from_url(valkey.url) as redis:
        found = await race(NaiveClients(ledger, redis), ledger)
    print(f"seed {SEED}: {dict(found)}")
    assert found["stale"] > 0


async def test_nothing_is_stale_while_keys_are_evicted(ledger: Ledger, process: Process, other: Process) -> None:
    async def evict() -> None:
        key = await process.server.randomkey()
        if key is not None:
            await process.server.delete(key)

    async with meanwhile(evict, 0.003):
        found = await race(Clients(ledger, [process, other]), ledger)
    assert (found["stale"], found["own stale"]) == (0, 0)
    assert hits(process, other) > READS / 20


async def test_nothing_is_stale_while_all_is_flushed(ledger: Ledger, process: Process, other: Process) -> None:
    async def flush() -> None:
        await process.server.flushall()

    async with meanwhile(flush, 0.1):
        found = await race(Clients(ledger, [process, other]), ledger)
    assert (found["stale"], found["own stale"]) == (0, 0)
    assert hits(process, other) > READS / 20


async def test_nothing_is_stale_after_restarts_from_an_older_copy(
    ledger: Ledger, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "RETRY_AFTER_SECONDS", 0.2)  # met again soon, and so restarted often
    async with running_process(own_valkey.url) as first, running_process(own_valkey.url) as second:
        clients = Clients(ledger, [first, second])
        for client in range(20):
            await clients.write(client)
            await clients.read(client)
        await first.server.save()
        dump = own_valkey.keep_dump()

        async def restart() -> None:
            await asyncio.to_thread(own_valkey.restart_from, dump)

        ledger.counts.clear()
        async with meanwhile(restart, 0.5):
            found = await race(clients, ledger, think_seconds=0.02)
            async with asyncio.timeout(20):
                while first.floor.generation <= 2:
                    await clients.read(0)
                    await asyncio.sleep(0.02)
        print(f"seed {SEED}: {dict(found)}, generation {first.floor.generation}, {hits(first, second)} hits")
        assert (found["stale"], found["own stale"]) == (0, 0)
