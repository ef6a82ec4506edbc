"""Two relays on one outbox: one publishes, and when it is gone, the other does. Nothing is lost, order stays."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from app.embedded.supervisor import Endpoints
from app.migrate import role_urls
from events import leadership as leadership_module
from events.delivery import Delivery
from events.leadership import HEARTBEAT_SECONDS, LOST, TRUST_SECONDS, lead
from events.relay import run_relays
from tests.conftest import Databases, backends_on
from tests.live.clients import header, kafka_from_the_start, records_of
from tests.live.conftest import Live
from tests.live.relays import LEADERS, end, leaders, one_leads, write
from tests.live.tables import column, execute
from tests.support.platform import running_platform
from tests.support.stories import rename, sign_up


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
        await asyncio.gather(*map(end, relays))


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
        await asyncio.gather(end(leader), end(heir))


async def test_a_leader_whose_session_is_cut_is_replaced_and_nothing_is_lost(quiet: Live) -> None:
    relays = [run_relay(quiet) for _ in range(2)]
    try:
        organization = await sign_up(quiet.platform)
        for _ in range(3):
            pid = await one_leads(quiet)
            await rename(quiet.platform, organization)
            await cut(quiet, pid)
            await rename(quiet.platform, organization)
        async with kafka_from_the_start(quiet.kafka) as consumer:
            distinct = await arrivals(consumer, organization, 7, [])
        assert [rev for rev in distinct if rev > 1] == list(range(2, 8))
        assert [relay for relay in relays if relay.done()] == []
    finally:
        await asyncio.gather(*map(end, relays))


def run_relay(live: Live) -> asyncio.Task[None]:
    backends = live.platform.backends
    return asyncio.create_task(run_relays(backends.database.relay, backends.kafka, Delivery()))


async def arrivals(
    consumer: AIOKafkaConsumer, organization: str, count: int, records: list[ConsumerRecord]
) -> list[int]:
    """Revs as they first came. After a leader has ended an event may come again, never for the first time too late."""
    async with asyncio.timeout(60):
        while len(distinct := list(dict.fromkeys(int(header(record, "ce_rev")) for record in records))) < count:
            records = records + await records_of(consumer, organization, 1)
    return distinct


async def test_a_leader_that_was_held_up_has_to_ask_again(
    databases: Databases, servers: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2 * HEARTBEAT_SECONDS < TRUST_SECONDS
    trust = 1.5
    monkeypatch.setattr(leadership_module, "TRUST_SECONDS", trust)
    monkeypatch.setattr(leadership_module, "HEARTBEAT_SECONDS", 0.3)
    database = await databases.create()
    async with lead(role_urls(database).relay, range(64), asyncio.Event()) as leadership:
        assert not leadership.is_trusted
        await leadership.fetch("SELECT 1")
        assert leadership.is_trusted
        time.sleep(trust)  # held up: nothing else runs in this loop either
        assert not leadership.is_trusted
        # what takes long is trusted from when it was asked for, not from when it was answered
        await leadership.fetch("SELECT pg_sleep(0.5)")
        assert leadership.is_trusted
        await asyncio.sleep(trust - 0.5)
        assert not leadership.is_trusted
        await leadership.while_proving(asyncio.sleep(trust + 0.5))
        assert leadership.is_trusted
        (pid,) = await column(database, LEADERS)
        await execute(database, "SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(LOST):
            await leadership.fetch("SELECT 1")


async def cut(live: Live, pid: int) -> None:
    await execute(live.database, "SELECT pg_terminate_backend($1)", pid)
