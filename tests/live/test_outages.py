"""A broker or a cache that is gone or frozen: nobody who queries or mutates notices, and nothing is lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from app.embedded.supervisor import Endpoints, Supervisor
from cache.local import TAIL_AGE_SECONDS_MAX
from tests.conftest import Databases, backends_on
from tests.live.clients import over_websocket, revisions
from tests.live.conftest import EVENT_ROLES, Live
from tests.live.servers import frozen, port_of
from tests.live.tables import applied
from tests.support.platform import Platform, running_platform
from tests.support.stopwatch import stopwatch
from tests.support.stories import module_codes, rename, sign_up

SLOWEST_SECONDS = 1.0
WRITES = 50


@asynccontextmanager
async def live_on(databases: Databases, servers: Endpoints, *, kafka: str) -> AsyncIterator[Live]:
    database = await databases.create()
    async with running_platform(backends_on(database, servers, kafka=kafka), roles=EVENT_ROLES) as platform:
        yield Live(platform=platform, kafka=kafka, database=database)


async def test_a_frozen_broker_delays_events_and_nothing_else(live: Live) -> None:
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") == live.kafka:
        pytest.skip("the given broker is not ours to freeze")
    organization = await sign_up(live.platform)
    async with over_websocket(live.platform, organization=organization, after="v1:0") as subscriber:
        assert revisions(await subscriber.take(1)) == [1]
        with frozen(port_of(live.kafka)):
            await write_swiftly(live.platform, organization)
        assert revisions(await subscriber.take(WRITES)) == list(range(2, WRITES + 2))
        await subscriber.nothing_else()
        await rename(live.platform, organization)
        assert revisions(await subscriber.take(1)) == [WRITES + 2]
    assert await applied(live.database, organization, until=WRITES + 2) == list(range(1, WRITES + 3))


async def test_a_tail_knows_for_how_long_it_may_have_missed_something(live: Live) -> None:
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") == live.kafka:
        pytest.skip("the given broker is not ours to freeze")
    tail, organization = live.platform.services.live, UUID(await sign_up(live.platform))
    await until(lambda: tail.last_seen(organization) == 1 and tail.age() < TAIL_AGE_SECONDS_MAX)
    with frozen(port_of(live.kafka)):
        await until(lambda: tail.age() > 2 * TAIL_AGE_SECONDS_MAX)
    await until(lambda: tail.age() < TAIL_AGE_SECONDS_MAX)
    assert await rename(live.platform, str(organization)) == 2
    await until(lambda: tail.last_seen(organization) == 2)


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)  # a group on a broker that has forgotten it joins anew in its own good time
async def test_a_broker_that_is_gone_and_comes_back_empty_delays_events_and_nothing_else(
    databases: Databases, servers: Endpoints, tmp_path: Path
) -> None:
    first = Supervisor(tmp_path / "kafka", postgres=False, redis=False)
    again = Supervisor(tmp_path / "kafka", postgres=False, redis=False)
    kafka = first.start().kafka
    try:
        async with live_on(databases, servers, kafka=kafka) as live:
            platform = live.platform
            organization = await sign_up(platform)
            async with over_websocket(platform, organization=organization, after="v1:0") as subscriber:
                assert revisions(await subscriber.take(1)) == [1]
                await applied(live.database, organization, until=1)  # what it had delivered, it may forget
                first.stop()
                await write_swiftly(platform, organization)
                assert again.start().kafka == kafka
                assert revisions(await subscriber.take(WRITES, seconds=45)) == list(range(2, WRITES + 2))
                await rename(platform, organization)
                assert revisions(await subscriber.take(1)) == [WRITES + 2]
            heard = await applied(live.database, organization, until=WRITES + 2, seconds=180)
            assert heard == list(range(1, WRITES + 3))
    finally:
        first.stop()
        again.stop()


async def test_a_cache_that_is_frozen_or_gone_is_done_without(
    databases: Databases, servers: Endpoints, tmp_path: Path
) -> None:
    cache = Supervisor(tmp_path / "valkey", postgres=False, kafka=False)
    redis = cache.start().redis
    try:
        backends = replace(backends_on(await databases.create(), servers), redis=redis)
        async with running_platform(backends) as platform:
            organization = await sign_up(platform, industry="tech")
            codes = await module_codes(platform, organization)
            with frozen(port_of(redis)):
                await write_swiftly(platform, organization, count=10)
                await read_swiftly(platform, organization, codes)
            cache.stop()
            await write_swiftly(platform, organization, count=10)
            await read_swiftly(platform, organization, codes)
            assert await rename(platform, organization) == 23
    finally:
        cache.stop()


async def write_swiftly(platform: Platform, organization: str, *, count: int = WRITES) -> None:
    for _ in range(count):
        with stopwatch() as watch:
            await rename(platform, organization)
        assert watch.seconds < SLOWEST_SECONDS


async def read_swiftly(platform: Platform, organization: str, codes: list[str]) -> None:
    for _ in range(10):
        with stopwatch() as watch:
            assert await module_codes(platform, organization) == codes
        assert watch.seconds < SLOWEST_SECONDS
