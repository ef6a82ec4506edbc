"""Stopping a Kafka client within a time, whatever it is at."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

HANG_UP_SECONDS = 1.0


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


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer, *, seconds: float) -> bool:
    """Whether it has stopped in time. If not, its connections are closed and what used them is ended: that is what its
    stop() comes to last, and an abandoned client would go on asking the broker for as long as the process lives.
    """
    has_stopped = await stop_within(client.stop(), seconds=seconds)
    if not has_stopped:
        for part in _parts_of(client):
            with contextlib.suppress(Exception):
                await stop_within(part.close(), seconds=HANG_UP_SECONDS)
    return has_stopped


def _parts_of(client: AIOKafkaConsumer | AIOKafkaProducer) -> list[Any]:
    """What the library would have closed, in its order. It has no name for that which is not its own."""
    if isinstance(client, AIOKafkaProducer):
        parts = [client._sender, client.client]
    else:
        parts = [client._fetcher, client._client]
    return [part for part in parts if part is not None]
