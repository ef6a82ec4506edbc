"""A thousand misses of one key at once, in one process and in two."""

import asyncio

from cache.keys import lock_key
from tests.cache.conftest import Process
from tests.cache.test_read_through import Source, counts

LOAD_SECONDS = 0.05


class SlowSource(Source):
    async def load(self, ids):  # type: ignore[no-untyped-def]
        found = await super().load(ids)
        await asyncio.sleep(LOAD_SECONDS)
        return found


async def test_a_thousand_misses_in_one_process_are_one_load(process: Process) -> None:
    source = SlowSource()
    assert await asyncio.gather(*(source.read(process) for _ in range(1_000))) == ["first"] * 1_000
    assert len(source.calls) == 1
    assert counts(process) == {"miss": 1_000, "loaded": 1, "joined": 999, "stored": 1}


async def test_a_thousand_misses_in_two_processes_are_at_most_two_loads(process: Process, other: Process) -> None:
    source = SlowSource()
    asked = [source.read(process if number % 2 else other) for number in range(1_000)]
    assert await asyncio.gather(*asked) == ["first"] * 1_000
    assert len(source.calls) <= 2
    assert await process.server.exists(lock_key(source.key)) == 0


async def test_a_hot_value_that_became_old_is_at_most_two_loads(process: Process, other: Process) -> None:
    source = SlowSource()
    await source.read(process)
    await source.change(process, "second")
    asked = [source.read(process if number % 2 else other) for number in range(1_000)]
    assert await asyncio.gather(*asked) == ["second"] * 1_000
    assert len(source.calls) <= 1 + 2


async def test_a_lock_whose_holder_died_is_waited_for_only_shortly(process: Process) -> None:
    source = Source()
    await process.server.set(lock_key(source.key), "dead", px=60_000)
    began = asyncio.get_running_loop().time()
    assert await source.read(process) == "first"
    assert 0.1 < asyncio.get_running_loop().time() - began < 20
    assert await process.server.get(lock_key(source.key)) == b"dead"  # not ours to give back
    assert await source.read(process) == "first"
    assert len(source.calls) == 1
