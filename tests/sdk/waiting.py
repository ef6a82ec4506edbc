"""Waiting for what another process or task is about to do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def until(found: Callable[[], Awaitable[Any]], expected: Any, *, seconds: float = 40) -> None:
    """Ask until it is answered as expected."""
    answer: Any = None
    try:
        async with asyncio.timeout(seconds):
            while (answer := await found()) != expected:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{answer} is not {expected}") from None
