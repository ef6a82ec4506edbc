"""Floors on a real Valkey: raising, leases, settling, joined reads."""

import asyncio
from uuid import uuid4

import pytest

from cache.floor import UNKNOWN, Floor, RevisionFloor
from cache.keys import FLOOR_TTL_SECONDS, LEASE_TTL_SECONDS, floor_key
from tests.cache.conftest import Process, running_process
from tests.cache.valkey import Valkey


async def floor_of(floor: RevisionFloor, stream: object) -> Floor:
    return (await floor.read_floors([stream]))[stream]  # type: ignore[index, list-item]


async def met_again(process: Process, stream: object) -> Floor:
    """After a restart: a connection that was lost is found out by whoever uses it first."""
    async with asyncio.timeout(30):
        while (found := await floor_of(process.floor, stream)) == UNKNOWN:
            await asyncio.sleep(0.01)
    return found


async def commands(process: Process, name: str) -> int:
    """How often the server was asked for this since it began."""
    told = (await process.server.info("commandstats")).get(f"cmdstat_{name}")
    return 0 if told is None else int(told["calls"])


async def test_a_missing_floor_is_leased_and_settled(process: Process) -> None:
    stream = uuid4()
    leased = await floor_of(process.floor, stream)
    assert leased.rev is None
    assert leased.nonce is not None
    assert await process.floor.settle(stream, 7, leased.nonce) is True
    assert await floor_of(process.floor, stream) == Floor(rev=7)


async def test_a_lease_serves_whoever_saw_it(process: Process, other: Process) -> None:
    stream = uuid4()
    leased = await floor_of(process.floor, stream)
    assert await floor_of(other.floor, stream) == leased
    assert await other.floor.settle(stream, 7, leased.nonce or "") is True
    assert await process.floor.settle(stream, 6, leased.nonce or "") is False
    assert await floor_of(process.floor, stream) == Floor(rev=7)


async def test_a_commit_takes_the_lease_away(process: Process) -> None:
    stream = uuid4()
    leased = await floor_of(process.floor, stream)
    assert await process.floor.raise_floors({stream: 8}) is True
    assert await process.floor.settle(stream, 7, leased.nonce or "") is False
    again = await floor_of(process.floor, stream)
    assert again.rev is None
    assert again.nonce not in (None, leased.nonce)


async def test_a_bump_never_makes_a_floor(process: Process) -> None:
    """A late bump of 5, after 6 was evicted, would allow a value of rev 5."""
    stream = uuid4()
    assert await process.floor.raise_floors({stream: 5}) is True
    assert (await floor_of(process.floor, stream)).rev is None


async def test_a_floor_only_rises(process: Process) -> None:
    stream = uuid4()
    leased = await floor_of(process.floor, stream)
    await process.floor.settle(stream, 7, leased.nonce or "")
    seen = []
    for rev in (6, 9, 8, 10):
        await process.floor.raise_floors({stream: rev})
        seen.append((await floor_of(process.floor, stream)).rev)
    assert seen == [7, 9, 9, 10]


@pytest.mark.parametrize("poison", [b"", b"nonsense", b"7 8", b"\xff\x00"])
async def test_a_poisoned_floor_is_unknown_until_the_next_commit(process: Process, poison: bytes) -> None:
    stream = uuid4()
    await process.floor.read_floors([stream])
    assert process.server.run is not None
    await process.server.set(floor_key(stream, process.server.run), poison)
    assert await floor_of(process.floor, stream) == UNKNOWN
    await process.floor.raise_floors({stream: 3})
    assert (await floor_of(process.floor, stream)).nonce is not None


async def test_a_floor_of_another_type_harms_no_other_floor(process: Process) -> None:
    poisoned, healthy = uuid4(), uuid4()
    leased = await floor_of(process.floor, healthy)
    await process.floor.settle(healthy, 7, leased.nonce or "")
    assert process.server.run is not None
    await process.server.lpush(floor_key(poisoned, process.server.run), "x")
    assert await process.floor.read_floors([poisoned, healthy]) == {poisoned: UNKNOWN, healthy: Floor(rev=7)}
    assert await process.floor.raise_floors({poisoned: 8, healthy: 8}) is True
    assert await floor_of(process.floor, healthy) == Floor(rev=8)
    assert (await floor_of(process.floor, poisoned)).nonce is not None


async def test_all_callers_of_a_tick_share_one_mget(process: Process) -> None:
    streams = [uuid4() for _ in range(10)]
    await process.floor.read_floors(streams)  # leased
    before = await commands(process, "mget"), await commands(process, "eval")
    answers = await asyncio.gather(*(process.floor.read_floors([streams[number % 10]]) for number in range(1_000)))
    assert (await commands(process, "mget"), await commands(process, "eval")) == (before[0] + 1, before[1])
    assert all(answer[streams[number % 10]].nonce is not None for number, answer in enumerate(answers))


async def test_one_of_those_who_share_may_be_cancelled(process: Process) -> None:
    stream = uuid4()
    asked = [asyncio.create_task(process.floor.read_floors([stream])) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    first, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [isinstance(each, dict) and each[stream].nonce is not None for each in others] == [True, True]


async def test_lifetimes(process: Process) -> None:
    stream = uuid4()
    leased = await floor_of(process.floor, stream)
    assert process.server.run is not None
    key = floor_key(stream, process.server.run)
    assert LEASE_TTL_SECONDS - 2 <= await process.server.ttl(key) <= LEASE_TTL_SECONDS
    await process.floor.settle(stream, 7, leased.nonce or "")
    assert FLOOR_TTL_SECONDS - 2 <= await process.server.ttl(key) <= FLOOR_TTL_SECONDS
    await process.server.expire(key, 5)
    await process.floor.raise_floors({stream: 8})
    assert FLOOR_TTL_SECONDS - 2 <= await process.server.ttl(key) <= FLOOR_TTL_SECONDS


async def test_the_generation_changes_with_the_server_and_only_then(own_valkey: Valkey) -> None:
    stream = uuid4()
    async with running_process(own_valkey.url) as process:
        assert process.floor.generation == 0
        leased = await floor_of(process.floor, stream)
        await process.floor.settle(stream, 5, leased.nonce or "")
        assert process.floor.generation == 1
        await process.server.connection_pool.disconnect()
        assert await floor_of(process.floor, stream) == Floor(rev=5)
        assert process.floor.generation == 1  # a new connection, the same run
        await process.server.save()
        own_valkey.restart_from(own_valkey.keep_dump())
        old_key = floor_key(stream, process.server.run or "")
        found = await met_again(process, stream)
        assert (found.rev, found.nonce is not None) == (None, True)
        assert process.floor.generation == 2
        assert await process.server.get(old_key) == b"5"  # it is there, and nobody asks for it


async def test_a_raise_that_meets_a_new_run_is_made_there(own_valkey: Valkey) -> None:
    stream = uuid4()
    async with running_process(own_valkey.url) as writer, running_process(own_valkey.url) as reader:
        assert await writer.floor.raise_floors({stream: 5}) is True
        own_valkey.kill()
        own_valkey.start()
        leased = await met_again(reader, stream)
        assert await reader.floor.settle(stream, 5, leased.nonce or "") is True
        # The writer still names its keys after the run that it last met, and finds its connection gone.
        assert await writer.floor.raise_floors({stream: 6}) is True
        assert await floor_of(reader.floor, stream) == Floor(rev=6)
