"""Redis frozen or gone: every call comes back within its budget, nothing is raised, and what is owed is paid."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cache import breaker, floor
from cache.breaker import FAILURES_MAX, Breaker
from cache.client import CacheClient
from cache.floor import UNKNOWN, Floor
from tests.cache.conftest import Process, running_process
from tests.cache.test_read_through import Source, counts
from tests.cache.valkey import Valkey
from tests.support.patience import patient
from tests.support.stopwatch import stopwatch

# A machine that is busy with other things takes its time to wake a timer.
SLACK_SECONDS = 0.15


@pytest_asyncio.fixture
async def settled(own_valkey: Valkey) -> AsyncIterator[tuple[Process, UUID]]:
    """A process that has met its server, and a stream whose floor is 5."""
    async with running_process(own_valkey.url, is_patient=False) as process:
        stream = uuid4()
        async with asyncio.timeout(30):  # a busy machine may need more than the 100 ms of one try
            while (leased := (await process.floor.read_floors([stream]))[stream]) != Floor(rev=5):
                await process.floor.settle(stream, 5, leased.nonce or "")
        process.server.breaker = Breaker()
        yield process, stream


@contextmanager
def within(seconds: float) -> Iterator[None]:
    with stopwatch() as watch:
        yield
    assert watch.seconds < seconds + SLACK_SECONDS


CALLS: dict[str, tuple[float, Callable[[Process, UUID], Awaitable[Any]], Any]] = {
    "raise_floors": (0.05, lambda process, stream: process.floor.raise_floors({stream: 6}), False),
    "settle": (0.1, lambda process, stream: process.floor.settle(stream, 6, "nonce"), False),
    "get": (0.1, lambda process, _: CacheClient(process.server).get("key"), None),
    "set": (0.1, lambda process, _: CacheClient(process.server).set("key", b"x", ttl=60), False),
    "delete": (0.1, lambda process, _: CacheClient(process.server).delete("key"), 0),
    "exists": (0.1, lambda process, _: CacheClient(process.server).exists("key"), False),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_frozen_server_costs_no_more_than_its_budget(
    own_valkey: Valkey, settled: tuple[Process, UUID], name: str
) -> None:
    seconds, call, answer = CALLS[name]
    with own_valkey.frozen(), within(seconds):
        assert await call(*settled) == answer


async def test_after_three_failures_nobody_waits(own_valkey: Valkey, settled: tuple[Process, UUID]) -> None:
    process, stream = settled
    with own_valkey.frozen():
        for _ in range(3):
            assert not process.server.breaker.is_open
            with within(0.1):
                assert (await process.floor.read_floors([stream]))[stream] == UNKNOWN
        assert process.server.breaker.is_open
        with within(1.0):  # and not the ten seconds of those who would wait; one of them may be the one that tries
            for _ in range(100):
                assert (await process.floor.read_floors([stream]))[stream] == UNKNOWN
    async with asyncio.timeout(20):
        while (await process.floor.read_floors([stream]))[stream] != Floor(rev=5):
            await asyncio.sleep(0.02)
    assert (process.server.breaker.is_open, process.server.breaker.opened) == (False, 1)


class CountingBreaker(Breaker):
    """`tried`: the calls that it has let through."""

    tried = 0

    def allows(self) -> bool:
        is_allowed = super().allows()
        self.tried += is_allowed
        return is_allowed


async def test_while_it_is_open_one_call_a_second_tries(
    own_valkey: Valkey, settled: tuple[Process, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert breaker.RETRY_AFTER_SECONDS == 1.0
    monkeypatch.setattr(breaker, "RETRY_AFTER_SECONDS", 0.4)
    process, stream = settled
    process.server.breaker = counting = CountingBreaker()
    calls = 0
    with own_valkey.frozen():
        for _ in range(FAILURES_MAX):
            await process.floor.read_floors([stream])
        assert counting.tried == FAILURES_MAX
        began = time.monotonic()
        async with asyncio.timeout(20):
            while counting.tried < FAILURES_MAX + 3:
                await process.floor.read_floors([stream])
                calls += 1
                await asyncio.sleep(0.01)
        took = time.monotonic() - began
    # each of the three came a pause after the failure before it
    assert took >= 3 * 0.4
    assert calls > 10


@pytest.mark.parametrize("is_gone", [False, True])
async def test_reads_go_to_the_database(own_valkey: Valkey, settled: tuple[Process, UUID], is_gone: bool) -> None:
    process, _ = settled
    sources = [Source() for _ in range(200)]
    with patient(process.server):
        await asyncio.gather(*(source.read(process) for source in sources))
    if is_gone:
        own_valkey.kill()
        with within(2.0):
            assert await asyncio.gather(*(source.read(process) for source in sources)) == ["first"] * 200
    else:
        with own_valkey.frozen(), within(2.0):  # and not the twenty seconds of those who would wait in line
            assert await asyncio.gather(*(source.read(process) for source in sources)) == ["first"] * 200
    assert counts(process)["away"] == 200
    assert [len(source.calls) for source in sources] == [2] * 200


async def test_a_server_that_freezes_during_a_load_costs_the_answer_nothing_but_time(
    own_valkey: Valkey, settled: tuple[Process, UUID]
) -> None:
    process, _ = settled
    source = Source(gate=asyncio.Event())
    with patient(process.server):
        reading = asyncio.create_task(source.read(process))
        while not source.calls:
            await asyncio.sleep(0.001)
    assert source.gate is not None
    with own_valkey.frozen(), within(0.1):
        source.gate.set()
        assert await reading == "first"
    assert counts(process) == {"miss": 1, "loaded": 1, "refused": 1}


async def test_a_raise_that_failed_is_made_when_the_server_is_back(
    own_valkey: Valkey, settled: tuple[Process, UUID]
) -> None:
    """The server has lost nothing, so its floor would be believed; and the reactions' raise failed as well."""
    process, stream = settled
    async with running_process(own_valkey.url) as reader:
        assert (await reader.floor.read_floors([stream]))[stream] == Floor(rev=5)
        with own_valkey.frozen():
            # What is sent to a frozen server is done when it thaws. What an open breaker held back is not.
            while not process.server.breaker.is_open:
                await process.floor.read_floors([stream])
            assert await process.floor.raise_floors({stream: 7}) is False
            assert await process.floor.raise_floors({stream: 6}) is False
        async with asyncio.timeout(20):
            while (await reader.floor.read_floors([stream]))[stream] != Floor(rev=7):
                await asyncio.sleep(0.02)


async def test_a_cancelled_raise_is_owed_too(
    own_valkey: Valkey, settled: tuple[Process, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, stream = settled
    monkeypatch.setattr(floor, "BUDGET_SECONDS", 20.0)  # it is to be under way when it is cancelled
    with own_valkey.frozen():
        raising = asyncio.create_task(process.floor.raise_floors({stream: 7}))
        await asyncio.sleep(0.01)
        raising.cancel()
        with pytest.raises(asyncio.CancelledError):
            await raising
    monkeypatch.undo()
    async with asyncio.timeout(20):
        while (await process.floor.read_floors([stream]))[stream] != Floor(rev=7):
            await asyncio.sleep(0.02)
