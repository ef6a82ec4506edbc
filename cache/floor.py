"""Revision floors: after a commit, nothing older than its rev is served from a cache.

A stream (an organization, or the platform for the registry) has one floor: the rev of its last commit known here. It
is only believed while somebody has watched it without a gap, so a floor that is missing is never guessed. Who misses
it puts up a lease, reads the database, and makes the rev it read the floor, if the lease is still there. A commit
takes the lease away: one that stayed is a witness that nobody committed, for whoever saw it before reading.

A raise that fails is owed, and tried again until the server has it. Should this process die before, the reactions
raise the floor again for every event.

Floors belong to one run of the server: one that was restarted from an older copy of its data has none.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from cache.keys import FLOOR_TTL_SECONDS, LEASE_TTL_SECONDS, floor_key, lease_of
from cache.server import CacheAway, CacheServer
from models.tick import OncePerTick

log = logging.getLogger("modplane.cache")

BUDGET_SECONDS = 0.05
RETRY_SECONDS = 0.25
OWED_MAX = 100_000
REPAID_AT_ONCE = 1_000
LEASE_PREFIX = lease_of("").encode()

# A floor that is there is raised. One that is not must not be made: this rev may be late, and a higher one evicted.
# A lease goes, for its reader may have looked before this commit. What is neither (poisoned) goes with it.
RAISE_FLOORS = """
for i, key in ipairs(KEYS) do
  local known = tonumber(redis.pcall('GET', key))
  if not known then
    redis.call('DEL', key)
  elseif known < tonumber(ARGV[i + 1]) then
    redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1])
  end
end
"""

LEASE_FLOORS = """
local known = {}
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'NX', 'EX', ARGV[2])
  known[i] = redis.pcall('GET', key)
end
return known
"""

SETTLE_FLOOR = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class Floor:
    """What may be believed of a stream: values from `rev` on; or none, and the lease `nonce` is put up; or neither,
    because Redis is away: then use nothing and keep nothing."""

    rev: int | None = None
    nonce: str | None = None


UNKNOWN = Floor()


@dataclass(frozen=True, slots=True)
class Unleased:
    """Asks for a stream's floor without putting up a lease where there is none: that spares who keeps nothing anyway
    two round trips."""

    stream: UUID


Wanted = UUID | Unleased | str


class Answer(NamedTuple):
    """What one MGET told of a tick's floors and values; values that are not there are left out."""

    floors: Mapping[UUID, Floor]
    values: Mapping[str, bytes]
    is_away: bool = False


class RevisionFloor:
    """Raises floors within 50 ms and reads them within 100 ms, or gives up; never raises an exception."""

    def __init__(self, server: CacheServer) -> None:
        self._server = server
        self._owed: dict[UUID, int] = {}
        self._repaying: asyncio.Task[None] | None = None
        self._raises: OncePerTick[tuple[UUID, int], bool] = OncePerTick(self._raise)
        self._reads: OncePerTick[Wanted, Answer] = OncePerTick(self._fetch)

    @property
    def generation(self) -> int:
        """Changes when the server is not the same run as before. Who keeps values in process drops them then."""
        return self._server.generation

    async def raise_floors(self, revisions: Mapping[UUID, int]) -> bool:
        """Whether all floors are raised. Never raises an exception: a commit has happened and stays."""
        if not revisions:
            return True
        try:
            is_raised = await self._raises.get(revisions.items())
        except asyncio.CancelledError:
            self._owe(revisions)
            raise
        if not is_raised:
            self._owe(revisions)
        return is_raised

    async def aclose(self) -> None:
        """Nothing is tried again from now on."""
        if self._repaying is not None:
            self._repaying.cancel()
            await asyncio.gather(self._repaying, return_exceptions=True)

    async def _raise(self, wanted: Sequence[tuple[UUID, int]], began: float) -> bool:
        async def ask(run: str) -> None:
            keys = [floor_key(stream, run) for stream, _ in wanted]
            await self._server.eval(RAISE_FLOORS, len(keys), *keys, FLOOR_TTL_SECONDS, *(rev for _, rev in wanted))

        try:
            async with self._server.asking(BUDGET_SECONDS, since=began):
                await self._server.on_one_run(ask)
        except CacheAway as error:
            log.warning("revision floors not raised: %s", error)
            return False
        return True

    def _owe(self, revisions: Mapping[UUID, int]) -> None:
        for stream, rev in revisions.items():
            if stream in self._owed or len(self._owed) < OWED_MAX:
                self._owed[stream] = max(rev, self._owed.get(stream, 0))
        if self._repaying is None or self._repaying.done():
            self._repaying = asyncio.create_task(self._repay())

    async def _repay(self) -> None:
        while self._owed:
            part = dict(islice(self._owed.items(), REPAID_AT_ONCE))
            if not await self._raises.get(part.items()):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for stream, rev in part.items():
                if self._owed[stream] == rev:  # else a later one failed meanwhile
                    del self._owed[stream]

    async def read_floors(self, ids: Collection[UUID | Unleased]) -> Mapping[UUID, Floor]:
        """The floor of each stream, and of those that others asked for in the same tick: all share one MGET."""
        return (await self._reads.get(ids)).floors

    async def read(self, ids: Collection[UUID], keys: Collection[str]) -> Answer:
        """Floors and raw values, from the same MGET."""
        return await self._reads.get((*ids, *keys))

    async def settle(self, stream: UUID, rev: int, nonce: str) -> bool:
        """Make `rev` the floor, if the lease is still there. `rev` was read after the lease was seen."""

        async def ask(run: str) -> bool:
            lease = f"L:{nonce}"
            return bool(await self._server.eval(SETTLE_FLOOR, 1, floor_key(stream, run), lease, rev, FLOOR_TTL_SECONDS))

        try:
            async with self._server.asking():
                return await self._server.on_one_run(ask)
        except CacheAway:
            return False

    async def _fetch(self, wanted: Sequence[Wanted], began: float) -> Answer:
        try:
            async with self._server.asking(since=began):
                return await self._server.on_one_run(lambda run: self._ask(wanted, run))
        except CacheAway:
            return Answer({_stream(each): UNKNOWN for each in wanted if not isinstance(each, str)}, {}, is_away=True)

    async def _ask(self, wanted: Sequence[Wanted], run: str) -> Answer:
        keys = [each if isinstance(each, str) else floor_key(_stream(each), run) for each in wanted]
        floors: dict[UUID, Floor] = {}
        values: dict[str, bytes] = {}
        missing: dict[UUID, str] = {}
        for each, key, raw in zip(wanted, keys, await self._server.mget(keys), strict=True):
            if isinstance(each, str):
                if isinstance(raw, bytes):
                    values[each] = raw
            elif raw is not None:
                floors[_stream(each)] = _floor_of(raw)
            elif isinstance(each, UUID):
                missing[each] = key
            else:
                floors.setdefault(each.stream, UNKNOWN)
        if missing:
            # The values were read before the lease was given. That is no harm: without a floor they are not used.
            lease = lease_of(secrets.token_hex(8))
            leased = await self._server.eval(LEASE_FLOORS, len(missing), *missing.values(), lease, LEASE_TTL_SECONDS)
            floors.update((stream, _floor_of(raw)) for stream, raw in zip(missing, leased, strict=True))
        return Answer(floors, values)


def _stream(wanted: UUID | Unleased) -> UUID:
    return wanted.stream if isinstance(wanted, Unleased) else wanted


def _floor_of(raw: object) -> Floor:
    if not isinstance(raw, bytes):
        return UNKNOWN
    if raw.startswith(LEASE_PREFIX):
        return Floor(nonce=raw.removeprefix(LEASE_PREFIX).decode("ascii", "replace"))
    try:
        return Floor(rev=int(raw))
    except ValueError:
        return UNKNOWN  # poisoned; the next commit takes it away
