"""A plain client of Redis for what needs no revs. Redis away is a miss or a False that is counted, never an error.

What belongs to an organization is read by read_through.py: here nothing says how old an answer is.
"""

from collections.abc import Mapping, Sequence

from cache.server import CacheAway, CacheServer, connect

__all__ = ["CacheClient", "connect"]

SCAN_COUNT = 500
DELETED_MAX = 100_000
PATTERN_SECONDS = 5.0


class CacheClient:
    """`failures` counts the calls that Redis did not answer."""

    def __init__(self, server: CacheServer) -> None:
        self._server = server
        self.failures = 0

    async def get(self, key: str) -> bytes | None:
        return (await self.get_many([key]))[key]

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes | None]:
        """The value of each key; all None when Redis is away."""
        found: dict[str, bytes | None] = dict.fromkeys(keys)
        if keys:
            try:
                async with self._server.asking():
                    found.update(zip(keys, await self._server.mget(keys), strict=True))
            except CacheAway:
                self.failures += 1
        return found

    async def set(self, key: str, value: bytes, ttl: int) -> bool:
        """Whether it is kept. `ttl` in seconds: nothing is kept for ever."""
        try:
            async with self._server.asking():
                return bool(await self._server.set(key, value, ex=ttl))
        except CacheAway:
            self.failures += 1
            return False

    async def delete(self, *keys: str) -> int:
        """How many there were; 0 when Redis is away."""
        try:
            async with self._server.asking():
                return int(await self._server.unlink(*keys)) if keys else 0
        except CacheAway:
            self.failures += 1
            return 0

    async def exists(self, key: str) -> bool:
        try:
            async with self._server.asking():
                return bool(await self._server.exists(key))
        except CacheAway:
            self.failures += 1
            return False

    async def delete_pattern(self, pattern: str) -> int:
        """How many keys of a pattern (`org:<id>:*`) were deleted: in small steps that hold nobody up, at most 100,000
        of them or 5 s long. A key that is set meanwhile may stay."""
        deleted = cursor = 0
        try:
            async with self._server.asking(PATTERN_SECONDS):
                while deleted < DELETED_MAX:
                    cursor, keys = await self._server.scan(cursor, match=pattern, count=SCAN_COUNT)
                    if keys:
                        deleted += await self._server.unlink(*keys)
                    if cursor == 0:
                        break
        except CacheAway:
            self.failures += 1
        return deleted
