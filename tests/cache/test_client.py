"""The plain client, on a real Valkey and without one."""

from cache.client import CacheClient, connect
from tests.cache.conftest import Process


async def test_set_get_exists_delete(process: Process) -> None:
    client = CacheClient(process.server)
    assert await client.get("a") is None
    assert await client.set("a", b"1", ttl=60) is True
    assert await client.set("b", b"", ttl=60) is True
    assert await client.get("a") == b"1"
    assert await client.get_many(["a", "b", "c"]) == {"a": b"1", "b": b"", "c": None}
    assert await client.get_many([]) == {}
    assert (await client.exists("a"), await client.exists("c")) == (True, False)
    assert 58 <= await process.server.ttl("a") <= 60
    assert await client.delete("a", "b", "c") == 2
    assert await client.delete() == 0
    assert await client.exists("a") is False
    assert client.failures == 0


async def test_a_pattern_is_deleted_without_keys(process: Process) -> None:
    client = CacheClient(process.server)
    async with process.server.pipeline(transaction=False) as pipeline:
        for number in range(1_200):
            pipeline.set(f"org:1:{number}", b"x")
        pipeline.set("org:2:1", b"y")
        await pipeline.execute()
    assert await client.delete_pattern("org:1:*") == 1_200
    assert await client.delete_pattern("org:1:*") == 0
    assert await client.get("org:2:1") == b"y"
    asked = await process.server.info("commandstats")
    assert "cmdstat_keys" not in asked
    assert asked["cmdstat_scan"]["calls"] >= 3
    assert asked["cmdstat_unlink"]["calls"] >= 3


async def test_what_is_refused_is_no_error(process: Process) -> None:
    """A key of another type: Redis answers with an error, which is no reason to leave it alone."""
    client = CacheClient(process.server)
    await process.server.hset("hash", "field", "value")
    assert await client.get("hash") is None
    assert await client.set("bad", b"x", ttl=0) is False
    assert client.failures == 1
    assert process.server.breaker.opened == 0


async def test_nobody_there_is_a_miss_that_is_counted() -> None:
    server = connect("redis://127.0.0.1:1/0")
    client = CacheClient(server)
    assert await client.get("a") is None
    assert await client.get_many(["a"]) == {"a": None}
    assert await client.set("a", b"1", ttl=60) is False
    assert server.breaker.is_open
    assert await client.delete("a") == 0
    assert await client.exists("a") is False
    assert await client.delete_pattern("*") == 0
    assert client.failures == 6
    assert server.breaker.opened == 1
    await server.aclose()
