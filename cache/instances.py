"""Where modules' services run: a hash for each module, of its instances by their addresses.

Redis is the right place although nothing else here may be lost: each instance says every few seconds that it is there.
The times are those of the server, which all who write and read share. Raises CacheAway. Never holds: who may write.
"""

from collections.abc import Collection
from typing import Any

import orjson

from cache.keys import instances_key
from cache.server import CacheServer
from rules.instance import GONE_SECONDS, Instance, InstanceStatus

INSTANCES_MAX = 100  # of a module

# ARGV of each script: the instance's address, then what its first lines name.
_NOW = "local t = redis.call('TIME') local now = t[1] + t[2] / 1000000\n"
_FIND = """
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, found = pcall(cjson.decode, raw or '')
if not ok or type(found) ~= 'table' then return 0 end
"""
_KEEP = "redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(found)) "
# ARGV: its JSON, how many there may be, the hash's lifetime
REGISTER = f"""
{_NOW}
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
local found = cjson.decode(ARGV[2])
found.last_seen = now
{_KEEP} redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
# ARGV: the hash's lifetime
HEARTBEAT = f"{_NOW} {_FIND} found.last_seen = now {_KEEP} redis.call('EXPIRE', KEYS[1], ARGV[2]) return 1"
# ARGV: the status and the failures after a probe. An instance that was taken out meanwhile stays out.
PROBED = f"""
{_NOW} {_FIND}
found.status, found.failures, found.last_checked = ARGV[2], tonumber(ARGV[3]), now
{_KEEP}
return 1
"""
# ARGV: after how many seconds of silence. What can't be read is taken out as well.
FORGET = f"""
{_NOW}
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local ok, found = pcall(cjson.decode, raw or '')
local seen = ok and type(found) == 'table' and tonumber(found.last_seen)
if seen and now - seen <= tonumber(ARGV[2]) then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""


class Instances:
    """One for a process."""

    def __init__(self, server: CacheServer) -> None:
        self._server = server

    async def register(self, module: str, *, url: str, health_check: str, version: str) -> bool:
        """False: the module has too many. One that is there already begins anew."""
        said = {"url": url, "health_check": health_check, "version": version, "status": "STARTING", "failures": 0}
        return bool(await self._run(REGISTER, module, url, orjson.dumps(said), INSTANCES_MAX, int(GONE_SECONDS)))

    async def heartbeat(self, module: str, url: str) -> bool:
        """False: it is not known, and has to register."""
        return bool(await self._run(HEARTBEAT, module, url, int(GONE_SECONDS)))

    async def deregister(self, module: str, url: str) -> bool:
        """Whether it was there."""
        async with self._server.asking():
            return bool(await self._server.hdel(instances_key(module), url))

    async def note_probe(self, module: str, url: str, status: InstanceStatus, failures: int) -> None:
        await self._run(PROBED, module, url, status.value, failures)

    async def forget(self, module: str, url: str) -> None:
        """Take one out that has been silent for too long; it may have been heard of since somebody thought so."""
        await self._run(FORGET, module, url, GONE_SECONDS)

    async def load(self, modules: Collection[str]) -> tuple[dict[str, dict[str, Instance | None]], float]:
        """Each module's instances by address, None for what can't be read; and the server's time."""
        async with self._server.asking():
            pipeline = self._server.pipeline(transaction=False)
            pipeline.time()
            for module in modules:
                pipeline.hgetall(instances_key(module))
            (seconds, microseconds), *hashes = await pipeline.execute()
        found = {
            module: {url.decode(errors="replace"): _read(url, raw) for url, raw in each.items()}
            for module, each in zip(modules, hashes, strict=True)
        }
        return found, seconds + microseconds / 1_000_000

    async def _run(self, script: str, module: str, *arguments: str | bytes | float) -> int:
        async with self._server.asking():
            return int(await self._server.eval(script, 1, instances_key(module), *arguments))


def _read(url: bytes, raw: bytes) -> Instance | None:
    """None for what others have written, and is not what is documented."""
    try:
        said: dict[str, Any] = orjson.loads(raw)
        if said["url"] != url.decode():
            return None
        checked = said.get("last_checked")
        return Instance(
            url=said["url"],
            health_check=str(said["health_check"]),
            version=str(said["version"]),
            status=InstanceStatus(said["status"]),
            last_seen=float(said["last_seen"]),
            last_checked=None if checked is None else float(checked),
            failures=int(said.get("failures", 0)),
        )
    except (ValueError, TypeError, KeyError):
        return None
