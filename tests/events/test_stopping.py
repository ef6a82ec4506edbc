"""A client that will not stop keeps nobody waiting."""

import asyncio

import pytest

from events.stopping import stop_within
from tests.support.stopwatch import stopwatch


async def deaf(let_go: asyncio.Event) -> None:
    """As aiokafka may be: takes being cancelled for something else, and goes on waiting."""
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        await let_go.wait()


async def test_one_that_swallows_its_cancellation_is_left_behind() -> None:
    let_go = asyncio.Event()
    with stopwatch() as watch:
        assert await stop_within(deaf(let_go), seconds=0.1) is False
    assert watch.seconds < 5
    let_go.set()
    await asyncio.sleep(0.01)


async def test_one_that_stops_in_time_has_stopped() -> None:
    assert await stop_within(asyncio.sleep(0.01), seconds=5) is True


async def test_what_stopping_raised_is_raised() -> None:
    async def broken() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await stop_within(broken(), seconds=5)


async def test_whoever_is_cancelled_meanwhile_is_cancelled() -> None:
    let_go = asyncio.Event()
    waiting = asyncio.create_task(stop_within(deaf(let_go), seconds=30))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    let_go.set()
    await asyncio.sleep(0.01)
