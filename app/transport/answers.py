"""Answers that are kept: the bytes of a query's answer, sent again as long as nothing they hang on has changed.

An answer carries the revs of the streams that it hangs on, read before it was made. It is good while none of the
streams' floors in Redis is above that; whoever has seen a higher rev (`need`) gets none that is older. Without an
answer from Redis nothing is kept and nothing kept is used. docs/decisions/0021-kept-answers.md has why this is never
stale. Never holds: GraphQL.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from uuid import UUID

from asyncpg import PostgresError
from sqlalchemy.exc import SQLAlchemyError

from cache.floor import Floor, RevisionFloor, Unleased

Streams = tuple[UUID, ...]
Revisions = tuple[int, ...]
# What an entry costs beyond its bytes: key, tuples, and its place in the order.
ENTRY_BYTES = 1_000
ANSWER_BYTES_MAX = 512 * 1024
VOLATILE_MAX = 10_000
SEEN_MAX = 50_000
REVISIONS_SECONDS = 2.0  # the query that follows has a deadline of its own


@dataclass(frozen=True, slots=True)
class Kept:
    """`revisions` are of the key's streams, in their order; empty when they are not known, or do not matter."""

    body: bytes
    revisions: Revisions
    is_shared: bool = True  # it would have been the same for anybody with the same key


@dataclass(frozen=True, slots=True)
class Made:
    """What an execution made.

    `is_volatile`: it hangs on more than the request, the rights and the streams. `has_failed`: this time it did.
    """

    body: bytes
    is_volatile: bool
    has_failed: bool


# Is told the revs that the answer will at least be as new as: of all streams, of the last alone, or none is known.
Make = Callable[[Revisions], Awaitable[Made]]


class Answers:
    """The least recently used go first, once there are `bytes_max`."""

    def __init__(
        self,
        floor: RevisionFloor,
        load_revisions: Callable[[Collection[UUID]], Awaitable[Mapping[UUID, int]]],
        *,
        bytes_max: int = 64 * 1024 * 1024,
    ) -> None:
        self._floor, self._load_revisions, self._bytes_max = floor, load_revisions, bytes_max
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._bytes = 0
        self._volatile: OrderedDict[Hashable, None] = OrderedDict()
        self._seen: OrderedDict[int, None] = OrderedDict()  # hashes of what has been asked for once
        self._flying: dict[Hashable, asyncio.Future[None]] = {}
        self._boarding: dict[Hashable, asyncio.Future[Kept | None]] = {}
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Hashable, streams: Streams, need: int, make: Make) -> Kept:
        """The answer, and the revs that it is at least as new as; none when they are not known.

        `need` is of the first stream. Of those who ask for the same at the same time, two at most are executed.
        """
        if key in self._volatile:
            return Kept((await make(())).body, ())
        floors = await self._floor.read_floors(streams if self._is_worth_keeping(key) else _without_leases(streams))
        kept = self._find(key, streams, floors, need)
        while kept is None:
            boarding = self._boarding.get(key)
            if boarding is None:
                return await self._fly(key, streams, need, make, floors)
            # Its reading begins after now, so that its answer is as new as one of our own; but by way of Redis it need
            # only be as new as the floors, which may not know yet what our client has seen.
            kept = await asyncio.shield(boarding)
            if kept is None or (kept.revisions or (0,))[0] < need:
                return await self._make(key, streams, floors, make)
        return kept

    def _is_worth_keeping(self, key: Hashable) -> bool:
        """Whether it was asked for before: what is asked for once is most of what there is, and not worth a lease."""
        mark = hash(key)
        if mark in self._seen:
            return True
        self._seen[mark] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return False

    async def _fly(self, key: Hashable, streams: Streams, need: int, make: Make, floors: Mapping[UUID, Floor]) -> Kept:
        """Make the answer for all who come until it is begun, which is when the one before it has ended."""
        loop = asyncio.get_running_loop()
        answer: Kept | None = None
        boarding: asyncio.Future[Kept | None] = loop.create_future()
        flying: asyncio.Future[None] | None = None
        self._boarding[key] = boarding
        try:
            while (before := self._flying.get(key)) is not None:
                await asyncio.shield(before)
                floors = await self._floor.read_floors(streams)
                answer = self._find(key, streams, floors, need)
            del self._boarding[key]
            if answer is None:
                flying = self._flying[key] = loop.create_future()
                made = await self._make(key, streams, floors, make)
                answer = made if made.is_shared else None
                return made
            return answer
        finally:
            if self._boarding.get(key) is boarding:
                del self._boarding[key]
            if flying is not None:
                del self._flying[key]
                flying.set_result(None)
            boarding.set_result(answer)

    def _find(self, key: Hashable, streams: Streams, floors: Mapping[UUID, Floor], need: int) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None or not _is_good(kept, streams, floors, need):
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return kept

    async def _make(self, key: Hashable, streams: Streams, floors: Mapping[UUID, Floor], make: Make) -> Kept:
        self.misses += 1
        known = await self._revisions(streams, floors)
        revisions = tuple(known[stream] for stream in streams if stream in known)
        is_complete = len(revisions) == len(streams)
        # The registry's comes last, and is of use without the others.
        made = await make(revisions if is_complete else revisions[-1:] if streams[-1] in known else ())
        if made.is_volatile:
            self._volatile[key] = None
            if len(self._volatile) > VOLATILE_MAX:
                self._volatile.popitem(last=False)
        if made.is_volatile or made.has_failed:
            return Kept(made.body, (), is_shared=False)
        kept = Kept(made.body, revisions if is_complete else ())
        if is_complete:
            self._keep(key, kept)
        return kept

    async def _revisions(self, streams: Streams, floors: Mapping[UUID, Floor]) -> Mapping[UUID, int]:
        """What the answer to be made will at least be as new as. Of a stream that is left out nobody could tell when it
        is not any more."""
        found: dict[UUID, int] = {stream: floor.rev for stream in streams if (floor := floors[stream]).rev is not None}
        leases = {stream: nonce for stream in streams if (nonce := floors[stream].nonce) is not None}
        if leases:
            # Read after the lease was seen: if it still stands, nobody has committed meanwhile.
            try:
                async with asyncio.timeout(REVISIONS_SECONDS):
                    loaded = await self._load_revisions(leases)
            except (SQLAlchemyError, PostgresError, OSError, TimeoutError):
                return found  # whatever ails the database, the query itself will tell
            for stream, nonce in leases.items():
                found[stream] = loaded.get(stream, 0)
                await self._floor.settle(stream, found[stream], nonce)
        return found

    def _keep(self, key: Hashable, kept: Kept) -> None:
        if len(kept.body) > ANSWER_BYTES_MAX:
            return
        self._drop(key)
        self._kept[key] = kept
        self._bytes += _weight(key, kept)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= _weight(key, kept)


def _without_leases(streams: Streams) -> tuple[UUID | Unleased, ...]:
    """But for the registry's, the last: everybody needs to know that."""
    return (*map(Unleased, streams[:-1]), streams[-1])


def _is_good(kept: Kept, streams: Streams, floors: Mapping[UUID, Floor], need: int) -> bool:
    if kept.revisions[0] < need:
        return False
    for stream, revision in zip(streams, kept.revisions, strict=True):
        floor = floors[stream].rev
        if floor is None or revision < floor:
            return False
    return True


def _weight(key: Hashable, kept: Kept) -> int:
    request = key[0] if isinstance(key, tuple) and isinstance(key[0], bytes) else b""
    return len(kept.body) + len(request) + ENTRY_BYTES
