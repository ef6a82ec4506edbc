"""How many operations run at once, and what becomes of the others: a short queue, then an early and typed no.

Without it a process that is asked for more than it can do works on everything a little, until all of it is too late for
whoever asked, and asked again meanwhile. Never holds: who may do what.
"""

import asyncio
from collections import deque


class Busy(Exception):
    """More is waiting than can be done in time: nothing has been begun, and the request may come again."""


class Admission:
    """First come, first served.

    `running_max` operations run; `waiting_max` wait, none longer than `waiting_seconds`. Each operation takes one place
    from its beginning to its end, however often it asks the database: it never waits behind those outside.
    """

    def __init__(self, *, running_max: int, waiting_max: int, waiting_seconds: float) -> None:
        self._running_max, self._waiting_max, self._waiting_seconds = running_max, waiting_max, waiting_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.running = 0
        self.refused = 0  # since the process began

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def enter(self) -> None:
        """Take a place, which `leave` gives back. Raises Busy when there is none in time."""
        if self.running < self._running_max:
            self.running += 1
        else:
            await self._wait()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._waiting_max:
            self.refused += 1
            raise Busy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._waiting_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place came at the same moment: it is the next one's
            elif turn in self._waiting:  # not if somebody who left has passed over it
                self._waiting.remove(turn)
            if not isinstance(error, TimeoutError):
                raise
            self.refused += 1
            raise Busy from None

    def leave(self) -> None:
        """Hand the place on, or give it back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
