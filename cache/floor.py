"""Revision floors: after a commit, nothing older than its rev is served from a cache.

Losing a raise is repaired by the reactions, which raise the floor again for every event.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from cache.keys import FLOOR_TTL_SECONDS, floor_key

log = logging.getLogger("modplane.cache")

BUDGET_SECONDS = 0.05
FAILURES_MAX = 3
RETRY_AFTER_SECONDS = 1.0

# floor = max(floor, rev). A lease ("L:...", of a reader that fills the cache) is replaced: the reader then loses.
RAISE_FLOOR = """
local known = redis.call('GET', KEYS[1])
if not known or not tonumber(known) or tonumber(known) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
"""


class RevisionFloor:
    """Raises floors within 50 ms or gives up; after three failures it does not even try for a second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._failures = 0
        self._closed_until = 0.0

    async def raise_floors(self, revisions: Mapping[UUID, int]) -> bool:
        """Whether all floors are raised. Never raises an exception: a commit has happened and stays."""
        if time.monotonic() < self._closed_until:
            return False
        try:
            async with asyncio.timeout(BUDGET_SECONDS):
                pipeline = self._redis.pipeline(transaction=False)
                for organization_id, revision in revisions.items():
                    pipeline.eval(RAISE_FLOOR, 1, floor_key(organization_id), revision, FLOOR_TTL_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self._closed_until = time.monotonic() + RETRY_AFTER_SECONDS
            log.warning("revision floors not raised: %s", type(error).__name__)
            return False
        self._failures = 0
        return True
