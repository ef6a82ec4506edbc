"""The loader's contract: one batch a tick, nothing read twice, and nobody taken along by another's end."""

import asyncio
from collections.abc import Sequence

import pytest

from graph.loader import DataLoader


class Source:
    """Answers ten times the key, when it is let; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def load(self, keys: list[int]) -> Sequence[int | Exception]:
        self.asked.append([*keys])
        await self.free.wait()
        if 13 in keys:
            raise OSError("away")
        return [ValueError("odd") if key % 2 else key * 10 for key in keys]


async def test_what_is_asked_for_in_one_tick_is_read_at_once_and_in_order() -> None:
    source = Source()
    loader = DataLoader(source.load)
    one, several, another = await asyncio.gather(loader.load(2), loader.load_many([4, 2, 6]), loader.load(4))
    assert (one, several, another) == (20, [40, 20, 60], 40)
    assert source.asked == [[2, 4, 6]]


async def test_nothing_is_read_twice_also_while_it_is_being_read() -> None:
    source = Source()
    loader = DataLoader(source.load)
    source.free.clear()
    first = asyncio.create_task(loader.load(2))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(loader.load_many([2, 4]))
    await asyncio.sleep(0.01)
    source.free.set()
    assert (await first, await second, await loader.load_many([])) == (20, [20, 40], [])
    assert source.asked == [[2], [4]]


async def test_an_error_is_of_its_key_and_is_remembered() -> None:
    source = Source()
    loader = DataLoader(source.load)
    found = await asyncio.gather(loader.load(2), loader.load(3), loader.load_many([2, 5]), return_exceptions=True)
    assert (found[0], [type(each) for each in found[1:]]) == (20, [ValueError, ValueError])
    with pytest.raises(ValueError, match="odd"):
        await loader.load(3)
    assert source.asked == [[2, 3, 5]]


async def test_a_failure_is_everybodys_and_is_remembered() -> None:
    source = Source()
    loader = DataLoader(source.load)
    found = await asyncio.gather(loader.load(2), loader.load(13), return_exceptions=True)
    assert [type(each) for each in found] == [OSError, OSError]
    with pytest.raises(OSError, match="away"):
        await loader.load(2)
    assert source.asked == [[2, 13]]


async def test_who_is_cancelled_takes_nobody_along() -> None:
    source = Source()
    loader = DataLoader(source.load)
    source.free.clear()
    one, other = asyncio.create_task(loader.load(2)), asyncio.create_task(loader.load_many([2, 4]))
    await asyncio.sleep(0.01)
    one.cancel()
    await asyncio.sleep(0)
    source.free.set()
    assert await other == [20, 40]
    assert one.cancelled()
    assert await loader.load(2) == 20
    assert source.asked == [[2, 4]]


async def test_too_few_values_are_a_fault() -> None:
    async def load(keys: list[int]) -> list[int]:
        return keys[1:]

    loader = DataLoader(load)
    with pytest.raises(ValueError, match="asked for 2 keys, got 1 values"):
        await loader.load_many([1, 2])


async def test_who_reads_at_once_takes_nobody_along() -> None:
    source = Source()
    loader = DataLoader(source.load, reads_at_once=True)
    source.free.clear()
    one, other = asyncio.create_task(loader.load(2)), asyncio.create_task(loader.load_many([2, 4]))
    await asyncio.sleep(0.01)
    assert source.asked == [[2], [4]]
    one.cancel()
    await asyncio.sleep(0.01)
    source.free.set()
    assert await other == [20, 40]
    assert one.cancelled()
    assert await loader.load_many([2, 4]) == [20, 40]
    assert source.asked == [[2], [4], [2]]


async def test_who_reads_at_once_and_gives_up_alone_leaves_nothing_under_way() -> None:
    source = Source()
    loader = DataLoader(source.load, reads_at_once=True)
    source.free.clear()
    one = asyncio.create_task(loader.load(2))
    await asyncio.sleep(0.01)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    source.free.set()
    assert not [task for task in asyncio.all_tasks() if "DataLoader" in repr(task.get_coro())]
    assert await loader.load(2) == 20
    assert source.asked == [[2], [2]]
