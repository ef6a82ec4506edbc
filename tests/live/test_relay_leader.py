"""Two relays on one outbox: one publishes, and when it is gone, the other does. Nothing is lost, order stays."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from app.embedded.supervisor import Endpoints
from events.relay import Relay, RelaySettings
from tests.conftest import Databases, backends_on
from tests.live.clients import header, kafka_from_the_start, records_of
from tests.live.conftest import Live
from tests.live.tables import column, execute
from tests.support.platform import running_platform
from tests.support.stories import rename, sign_up

LEADERS = (
    "SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'modplane-relay'"
    " AND a.datname = current_database()"
)


@pytest_asyncio.fixture
async def quiet(databases: Databases, servers: Endpoints, kafka: str) -> AsyncIterator[Live]:
    """A platform whose events nobody publishes yet."""
    database = await databases.create()
    async with running_platform(backends_on(database, servers, kafka=kafka)) as platform:
        yield Live(platform=platform, kafka=kafka, database=database)


async def test_only_one_of_two_relays_publishes(quiet: Live) -> None:
    relays = [run_relay(quiet) for _ in range(2)]
    try:
        organization = await sign_up(quiet.platform)
        for _ in range(20):
            await rename(quiet.platform, organization)
        async with kafka_from_the_start(quiet.kafka) as consumer:
            records = await records_of(consumer, organization, 21)
        assert sorted(int(header(record, "ce_rev")) for record in records) == list(range(1, 22))
        assert len(await leaders(quiet)) == 1
    finally:
        await end(*relays)


async def test_the_other_takes_over_when_the_leader_ends(quiet: Live) -> None:
    leader = run_relay(quiet)
    await one_leads(quiet)
    heir = run_relay(quiet)
    try:
        organization = await sign_up(quiet.platform)
        writing = asyncio.create_task(write(quiet, organization, 60))
        async with kafka_from_the_start(quiet.kafka) as consumer:
            records = await records_of(consumer, organization, 10)
            await end(leader)
            await writing
            distinct = await arrivals(consumer, organization, 61, records)
        assert sorted(distinct) == list(range(1, 62))
        assert [rev for rev in distinct if rev > 1] == list(range(2, 62))
    finally:
        await end(leader, heir)


async def test_a_leader_whose_session_is_cut_is_replaced_and_nothing_is_lost(quiet: Live) -> None:
    relays = [run_relay(quiet) for _ in range(2)]
    try:
        organization = await sign_up(quiet.platform)
        for _ in range(3):
            (pid,) = await one_leads(quiet)
            await rename(quiet.platform, organization)
            await cut(quiet, pid)
            await rename(quiet.platform, organization)
        async with kafka_from_the_start(quiet.kafka) as consumer:
            distinct = await arrivals(consumer, organization, 7, [])
        assert [rev for rev in distinct if rev > 1] == list(range(2, 8))
        assert [relay for relay in relays if relay.done()] == []
    finally:
        await end(*relays)


def run_relay(live: Live) -> asyncio.Task[None]:
    backends = live.platform.backends
    settings = RelaySettings(url=backends.database.relay, bootstrap=backends.kafka)
    return asyncio.create_task(Relay(settings).run())


async def end(*relays: asyncio.Task[None]) -> None:
    for relay in relays:
        relay.cancel()
    _, pending = await asyncio.wait(relays, timeout=10)
    assert not pending, "told once, a relay ends"


async def write(live: Live, organization: str, count: int) -> None:
    for _ in range(count):
        await rename(live.platform, organization)


async def arrivals(
    consumer: AIOKafkaConsumer, organization: str, count: int, records: list[ConsumerRecord]
) -> list[int]:
    """Revs as they first came. After a leader has ended an event may come again, never for the first time too late."""
    async with asyncio.timeout(20):
        while len(distinct := list(dict.fromkeys(int(header(record, "ce_rev")) for record in records))) < count:
            records = records + await records_of(consumer, organization, 1)
    return distinct


async def one_leads(live: Live) -> list[int]:
    async with asyncio.timeout(10):
        while len(found := await leaders(live)) != 1:
            await asyncio.sleep(0.05)
    return found


async def leaders(live: Live) -> list[int]:
    return await column(live.database, LEADERS)


async def cut(live: Live, pid: int) -> None:
    await execute(live.database, "SELECT pg_terminate_backend($1)", pid)
