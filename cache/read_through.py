"""Reading through the cache: no answer is older than its streams' floors, or than what the client has seen.

A value carries the revs of its streams, from the snapshot it was read in. One MGET fetches values and floors of all
who ask in the same tick; what is missing is loaded by one call, by one reader at a time, and kept unless a commit came
in between. Redis away is no error: everything is loaded, a few at a time.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from cache.flights import Flight, Flights
from cache.floor import Answer, RevisionFloor
from cache.keys import JITTER, NEGATIVE_TTL_SECONDS, Family
from cache.local import LocalCache
from cache.server import CacheServer
from cache.stamped import Poisoned, Stamped, decode, encode
from cache.statistics import Count, Statistics
from cache.store import Entry, Stamp, ValueStore

K = TypeVar("K")
# What is missing of the ids, read in one snapshot together with the revs. Revs that were read before their values are
# as good; after them they would promise too much. An id that is left out is answered None, and not kept.
Load = Callable[[Collection[K]], Awaitable[Mapping[K, Stamped]]]
LOADS_MAX = 8  # below the database pool, which mutations need too
LOCK_WAIT_SECONDS = 0.15
LOCK_POLL_SECONDS = 0.025
NOTHING_SEEN: Mapping[UUID, int] = {}


@dataclass
class _Question(Generic[K]):
    """What one caller asks. `began` is its place in the order of this process' flights."""

    family: Family[K]
    load: Load[K]
    need: Mapping[UUID, int]
    began: int
    wanted: dict[str, K]  # what is not answered yet, by its key
    streams: frozenset[UUID]
    found: dict[K, Stamped | None] = field(default_factory=dict)

    def settle(self, key: str, value: Stamped | None) -> None:
        self.found[self.wanted.pop(key)] = value


class ReadThrough:
    """One for a process. Raises what `load` raises, TypeError for a value that is not JSON, and nothing of its own.

    A `load` does not read through the cache itself: it would wait for a turn while it holds one.
    """

    def __init__(
        self,
        server: CacheServer,
        floor: RevisionFloor,
        *,
        local: LocalCache | None = None,
        loads_max: int = LOADS_MAX,
    ) -> None:
        self.statistics = Statistics()
        self._store = ValueStore(server)
        self._floor = floor
        self._local = local
        self._flights = Flights()
        self._loading = asyncio.Semaphore(loads_max)

    async def get_many(
        self, family: Family[K], ids: Iterable[K], load: Load[K], *, need: Mapping[UUID, int] = NOTHING_SEEN
    ) -> dict[K, Stamped | None]:
        """The value of each id; None when `load` knows nothing of it. `need`: revs that the client has seen.

        Whoever asks for the same id at the same time shares a load and its value, so `load` must not depend on who
        asks, and nobody changes a value.
        """
        wanted = {family.key(each): each for each in ids}
        streams = frozenset(stream for each in wanted.values() for stream in family.streams(each))
        asked = _Question(family, load, need, self._flights.moment(), wanted, streams)
        self._look_here(asked)
        while asked.wanted:
            generation = self._floor.generation
            answer = await self._floor.read(asked.streams, asked.wanted)
            self._judge(asked, answer, generation)
            theirs = self._flights.under_way(asked.wanted)
            if mine := [key for key in asked.wanted if key not in theirs]:
                await self._fly(asked, mine, answer)
            for key, flight in theirs.items():
                await self._join(asked, key, flight)
        return asked.found

    def _look_here(self, asked: _Question[K]) -> None:
        if self._local is None:
            return
        for key in tuple(asked.wanted):
            if (value := self._local.find(key, asked.need)) is not None:
                self.statistics.add(asked.family.pattern, Count.LOCAL)
                asked.settle(key, value)

    def _judge(self, asked: _Question[K], answer: Answer, generation: int, *, is_waiting: bool = False) -> None:
        """Take what Redis has and the floors allow. Who polls for another's load is counted as having joined it."""
        for key in tuple(asked.wanted):
            count, value, size = self._judge_one(asked, key, answer)
            if value is not None:
                asked.settle(key, value)
                if self._local is not None:
                    self._local.put(key, value, size, generation=generation)
            if value is not None or not is_waiting:
                self.statistics.add(asked.family.pattern, Count.JOINED if is_waiting else count)

    def _judge_one(self, asked: _Question[K], key: str, answer: Answer) -> tuple[Count, Stamped | None, int]:
        raw, family = answer.values.get(key), asked.family
        if answer.is_away:
            return Count.AWAY, None, 0
        if raw is None:
            return Count.MISS, None, 0
        streams = family.streams(asked.wanted[key])
        try:
            decoded = decode(key, raw, streams=len(streams), version=family.version)
        except Poisoned:
            return Count.POISONED, None, 0
        if decoded is None:
            return Count.MISS, None, 0
        value = Stamped(dict(zip(streams, decoded[0], strict=True)), decoded[1])
        for stream, rev in value.revs.items():
            least = answer.floors[stream].rev
            if least is None:
                return Count.MISS, None, 0
            if rev < max(least, asked.need.get(stream, 0)):
                return Count.OLD, None, 0
        return (Count.HIT if value.value is not None else Count.NEGATIVE), value, len(raw)

    async def _fly(self, asked: _Question[K], keys: list[str], answer: Answer) -> None:
        """Load these keys, while others in this process wait for it."""
        flights = self._flights.start(keys)
        try:
            await self._load(asked, keys, answer, flights)
        except Exception as error:
            for flight in flights.values():
                flight.error = error
            raise
        finally:
            self._flights.end(flights)

    async def _load(self, asked: _Question[K], keys: list[str], answer: Answer, flights: Mapping[str, Flight]) -> None:
        if not answer.is_away and not await self._store.take_locks(keys):
            await self._await_other_process(asked, flights)
        missing = {key: asked.wanted[key] for key in keys if key in asked.wanted}
        if not missing:
            return
        generation = self._floor.generation
        async with self._loading:
            loaded = await asked.load(list(missing.values()))
        self.statistics.add(asked.family.pattern, Count.LOADED, len(missing))
        entries = self._take(asked, missing, loaded, flights=flights, answer=answer, generation=generation)
        if not answer.is_away:
            kept = await self._store.store(entries, locked=keys)
            self.statistics.add(asked.family.pattern, Count.STORED, kept)
            self.statistics.add(asked.family.pattern, Count.REFUSED, len(entries) - kept)

    async def _await_other_process(self, asked: _Question[K], flights: Mapping[str, Flight]) -> None:
        """Another process loads these: poll for what it keeps, for a short while."""
        until = time.monotonic() + LOCK_WAIT_SECONDS
        keys = [key for key in flights if key in asked.wanted]
        while keys and time.monotonic() < until:
            await asyncio.sleep(LOCK_POLL_SECONDS)
            generation = self._floor.generation
            answer = await self._floor.read(asked.streams, keys)
            if answer.is_away:
                return
            wanted = {key: asked.wanted[key] for key in keys}
            self._judge(asked, answer, generation, is_waiting=True)
            for key, each in wanted.items():
                if each in asked.found:
                    flights[key].load(asked.found[each])
            keys = [key for key in keys if key in asked.wanted]

    def _take(
        self,
        asked: _Question[K],
        missing: Mapping[str, K],
        loaded: Mapping[K, Stamped],
        *,
        flights: Mapping[str, Flight],
        answer: Answer,
        generation: int,
    ) -> list[Entry]:
        """Answer with what was loaded; what of it is to be kept."""
        entries = []
        for key, each in missing.items():
            value = loaded.get(each)
            asked.settle(key, value)
            flights[key].load(value)
            if value is None:
                continue
            family = asked.family
            stamps = tuple(
                Stamp(stream, value.revs[stream], answer.floors[stream].nonce) for stream in family.streams(each)
            )
            raw = encode(key, [stamp.rev for stamp in stamps], family.version, value.value)
            if raw is None:
                self.statistics.add(family.pattern, Count.REFUSED)
                continue
            entries.append(Entry(key, raw, _lifetime(family, value), stamps))
            if self._local is not None:
                self._local.put(key, value, len(raw), generation=generation)
        return entries

    async def _join(self, asked: _Question[K], key: str, flight: Flight) -> None:
        """Wait for another's load. What it began to read before we asked may be older than what we must show."""
        await flight.wait()
        if flight.started < asked.began:
            return
        if not flight.is_loaded:
            if flight.error is not None:
                raise flight.error
            return
        revs = flight.value.revs if flight.value is not None else {}
        if all(rev >= asked.need.get(stream, 0) for stream, rev in revs.items()):
            self.statistics.add(asked.family.pattern, Count.JOINED)
            asked.settle(key, flight.value)


def _lifetime(family: Family[K], value: Stamped) -> int:
    """In seconds, at least one."""
    seconds = NEGATIVE_TTL_SECONDS if value.value is None else family.ttl_seconds
    return max(1, round(seconds * random.uniform(1 - JITTER, 1 + JITTER)))  # noqa: S311 - jitter, and no secret
