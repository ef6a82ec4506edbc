"""Writing values and the locks of those who load them; all of one tick share a script's run.

Never holds: when to load, and what.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar
from uuid import UUID

from cache.keys import FLOOR_TTL_SECONDS, LOCK_MILLISECONDS, floor_key, lease_of, lock_key
from cache.server import CacheAway, CacheServer
from models.tick import OncePerTick

T = TypeVar("T")
# A script runs alone on the server: not for longer than this many values take.
ENTRIES_MAX = 100

TAKE_LOCKS = """
local taken = {}
for i, key in ipairs(KEYS) do
  taken[i] = redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
end
return taken
"""

# KEYS: values, then locks, then floors. ARGV: how many values, how many locks, our lock, the floors' lifetime; then for
# each value its bytes, its lifetime, how many streams, and of each stream its floor's place in KEYS, its rev, and the
# lease that was seen.
# A value is stored when each of its streams' floors is a rev that it reaches, or still the lease that was seen: nobody
# committed since. What the value knows of a stream becomes its floor: nobody is answered anything older from now on.
STORE = """
local kept, at = {}, 5
for i = 1, tonumber(ARGV[1]) do
  local last = at + 2 + 3 * tonumber(ARGV[at + 2])
  local allowed, raised = true, {}
  for s = at + 3, last, 3 do
    local floor, rev = redis.pcall('GET', KEYS[tonumber(ARGV[s])]), tonumber(ARGV[s + 1])
    local least = floor == ARGV[s + 2] and -1 or tonumber(floor)
    if not least or least > rev then
      allowed = false
    elseif least < rev then
      raised[#raised + 1] = s
    end
  end
  if allowed then
    for _, s in ipairs(raised) do
      redis.call('SET', KEYS[tonumber(ARGV[s])], ARGV[s + 1], 'EX', ARGV[4])
    end
    redis.call('SET', KEYS[i], ARGV[at], 'EX', ARGV[at + 1])
  end
  kept[i] = allowed and 1 or 0
  at = last + 1
end
for i = ARGV[1] + 1, ARGV[1] + ARGV[2] do
  if redis.pcall('GET', KEYS[i]) == ARGV[3] then redis.call('DEL', KEYS[i]) end
end
return kept
"""


class Stamp(NamedTuple):
    """A value's rev of one stream, and the lease that stood in for the floor before it was read, if one did."""

    stream: UUID
    rev: int
    nonce: str | None


class Entry(NamedTuple):
    """A value to keep: its bytes for `ttl_seconds`, as long as no floor rises above its revs."""

    key: str
    raw: bytes
    ttl_seconds: int
    stamps: tuple[Stamp, ...]


class Unlock(NamedTuple):
    """The lock of a key, to be given back."""

    key: str


class ValueStore:
    """One for a process. Redis away is no error: nobody is locked out, and nothing is kept."""

    def __init__(self, server: CacheServer) -> None:
        self._server = server
        self._token = secrets.token_hex(8)
        self._locks: OncePerTick[str, frozenset[str]] = OncePerTick(self._take)
        self._writes: OncePerTick[Entry | Unlock, frozenset[str]] = OncePerTick(self._write)

    async def take_locks(self, keys: Collection[str]) -> bool:
        """Whether to load now: at least one of these keys is ours, or nobody can be asked."""
        taken = await self._locks.get(keys)
        return any(key in taken for key in keys)

    async def store(self, entries: Sequence[Entry], locked: Iterable[str]) -> int:
        """How many of the entries are kept. The locks of `locked` are given back where they are ours."""
        kept = await self._writes.get((*entries, *map(Unlock, locked)))
        return sum(entry.key in kept for entry in entries)

    async def _take(self, keys: Sequence[str], began: float) -> frozenset[str]:
        try:
            async with self._server.asking(since=began):
                locks = [lock_key(key) for key in keys]
                taken = await self._server.eval(TAKE_LOCKS, len(locks), *locks, self._token, LOCK_MILLISECONDS)
        except CacheAway:
            return frozenset(keys)
        return frozenset(key for key, is_taken in zip(keys, taken, strict=True) if is_taken)

    async def _write(self, wanted: Sequence[Entry | Unlock], began: float) -> frozenset[str]:
        kept: set[str] = set()
        remaining = iter(wanted)
        try:
            while part := list(islice(remaining, ENTRIES_MAX)):
                async with self._server.asking():
                    kept.update(await self._server.on_one_run(partial(self._write_part, part)))
        except CacheAway:
            pass  # what is not kept is loaded again
        return frozenset(kept)

    async def _write_part(self, part: Sequence[Entry | Unlock], run: str) -> list[str]:
        entries = [each for each in part if isinstance(each, Entry)]
        locks = [lock_key(each.key) for each in part if isinstance(each, Unlock)]
        streams = tuple({stamp.stream: None for each in entries for stamp in each.stamps})
        first = len(entries) + len(locks) + 1
        places = {stream: place for place, stream in enumerate(streams, first)}
        values: list[bytes | int | str] = []
        for each in entries:
            values += (each.raw, each.ttl_seconds, len(each.stamps))
            for stream, rev, nonce in each.stamps:
                # Without a lease, what no floor ever is: it is a number, or begins with "L:".
                values += (places[stream], rev, "" if nonce is None else lease_of(nonce))
        keys = (*(each.key for each in entries), *locks, *(floor_key(stream, run) for stream in streams))
        settings = (len(entries), len(locks), self._token, FLOOR_TTL_SECONDS)
        kept = await self._server.eval(STORE, len(keys), *keys, *settings, *values)
        return [each.key for each, is_kept in zip(entries, kept, strict=True) if is_kept]
