"""Reads of one tick of the event loop, joined: whoever asks in the same tick shares one question.

Never holds: where the answers come from.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")


class OncePerTick(Generic[K, A]):
    """`fetch(keys, began)` answers all keys of a tick. It is told the loop's time when the first was asked for.

    No more than `under_way_max` questions are under way at a time: whoever comes meanwhile joins those who wait
    already. One is best where answers are quick: the busier the process, the more share a question, and nobody waits
    longer than for the answer before.
    """

    def __init__(self, fetch: Callable[[Sequence[K], float], Awaitable[A]], *, under_way_max: int = 1) -> None:
        self._fetch, self._under_way_max = fetch, under_way_max
        self._wanted: dict[K, None] = {}
        self._waiting: list[asyncio.Future[A]] = []
        self._began = 0.0
        self._under_way: set[asyncio.Task[None]] = set()

    async def get(self, keys: Iterable[K]) -> A:
        """The answer to these keys, and to the others that were asked for in the same tick."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._began = loop.time()
            loop.call_soon(self._start)
        for key in keys:
            self._wanted[key] = None
        # A future for each caller: one that is cancelled must not cancel the others.
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append(answer)
        return await answer

    def _start(self) -> None:
        if self._waiting and len(self._under_way) < self._under_way_max:
            wanted, waiting = tuple(self._wanted), self._waiting
            self._wanted, self._waiting = {}, []
            task = asyncio.create_task(self._ask(wanted, waiting, self._began))
            self._under_way.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._start()

    async def _ask(self, wanted: Sequence[K], waiting: list[asyncio.Future[A]], began: float) -> None:
        try:
            answer = await self._fetch(wanted, began)
        except Exception as error:  # noqa: BLE001 - handed on to all who wait, none is swallowed
            for each in waiting:
                if not each.done():
                    each.set_exception(error)
        except BaseException:
            for each in waiting:
                each.cancel()
            raise
        else:
            for each in waiting:
                if not each.done():
                    each.set_result(answer)
