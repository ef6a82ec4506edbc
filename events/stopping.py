"""Stopping a Kafka client within a time, whatever it is at."""

import asyncio
from collections.abc import Coroutine


async def stop_within(stop: Coroutine[object, object, None], *, seconds: float) -> bool:
    """Whether it has stopped. One that has not is told to give up, and not waited for. Raises what stopping raised.

    Never `async with asyncio.timeout(): await client.stop()`: aiokafka takes the cancellation for the end of one of its
    own tasks, swallows it, and may wait for ever then, and the caller with it.
    """
    stopping = asyncio.ensure_future(stop)
    try:
        await asyncio.wait([stopping], timeout=seconds)
    finally:
        has_stopped = stopping.done()
        if not has_stopped:
            stopping.cancel()
            stopping.add_done_callback(_look)
    if has_stopped:
        stopping.result()
    return has_stopped


def _look(stopping: "asyncio.Future[None]") -> None:
    """Nobody waits for it any more, and its end is no news."""
    if not stopping.cancelled():
        stopping.exception()
