"""Single flight: who asks for what is being loaded waits for it. Never holds: how it is loaded."""

import asyncio
from collections.abc import Collection, Iterable
from itertools import count

from cache.stamped import Stamped


class Flight:
    """One load of one value. `started` is its place among all that began in this process."""

    def __init__(self, started: int) -> None:
        self.started = started
        self.value: Stamped | None = None
        self.is_loaded = False  # else it was given up, and whoever waits has to ask again
        self.error: Exception | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def load(self, value: Stamped | None) -> None:
        self.value, self.is_loaded = value, True

    def end(self) -> None:
        self._ended.set_result(None)

    async def wait(self) -> None:
        # Shielded, so that one of those who wait may be cancelled without the others.
        await asyncio.shield(self._ended)


class Flights:
    """The loads under way in this process, at most one for each key."""

    def __init__(self) -> None:
        self._count = count(1)
        self._by_key: dict[str, Flight] = {}

    def moment(self) -> int:
        """Later than everything that began so far, earlier than everything that will."""
        return next(self._count)

    def under_way(self, keys: Iterable[str]) -> dict[str, Flight]:
        return {key: self._by_key[key] for key in keys if key in self._by_key}

    def start(self, keys: Collection[str]) -> dict[str, Flight]:
        """Flights for keys that have none."""
        started = self.moment()
        flights = {key: Flight(started) for key in keys}
        self._by_key.update(flights)
        return flights

    def end(self, flights: dict[str, Flight]) -> None:
        for key, flight in flights.items():
            del self._by_key[key]
            flight.end()
