"""A relay may be killed, stopped or told to end at any moment: another leads soon, nothing is lost, order stays."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from app.embedded.supervisor import Endpoints
from events.delivery import Delivery
from tests.brokers.tansu import tansu
from tests.conftest import Databases, backends_on
from tests.live.conftest import Live
from tests.live.relays import (
    all_sent,
    candidates,
    end,
    first_times,
    leaders,
    one_leads,
    relay_process,
    relaying,
    renames_of,
    write,
)
from tests.live.servers import frozen, port_of
from tests.live.tables import column, execute
from tests.support.platform import running_platform
from tests.support.stopwatch import stopwatch
from tests.support.stories import rename, sign_up

KILLS = 3


@pytest_asyncio.fixture
async def quiet(databases: Databases, servers: Endpoints) -> AsyncIterator[Live]:
    """A platform whose events nobody publishes yet, on the embedded broker."""
    database = await databases.create()
    async with running_platform(backends_on(database, servers)) as platform:
        yield Live(platform=platform, kafka=servers.kafka, database=database)


async def test_after_a_kill_another_leads_within_two_seconds(quiet: Live, tmp_path: Path) -> None:
    organization = await sign_up(quiet.platform)
    writing = asyncio.create_task(write(quiet, organization, 50 * KILLS))
    took = []
    with ExitStack() as stack:
        leader = stack.enter_context(relay_process(quiet, tmp_path))
        pid = await one_leads(quiet)
        for _ in range(KILLS):
            heir = stack.enter_context(relay_process(quiet, tmp_path))
            await candidates(quiet, 2)
            with stopwatch() as watch:
                leader.send_signal(signal.SIGKILL)
                pid = await one_leads(quiet, other_than=pid)
            took.append(watch.seconds)
            leader = heir
        await writing
        await all_sent(quiet)
    revs = (await renames_of(quiet, organization))[organization]
    assert first_times(revs) == list(range(2, 50 * KILLS + 2))
    assert max(took) <= 2.0, took
    logging.getLogger(__name__).info("fail-over took %s", took)


async def test_a_leader_that_was_stopped_is_replaced_and_does_no_harm_when_it_goes_on(
    quiet: Live, tmp_path: Path
) -> None:
    organization = await sign_up(quiet.platform)
    with relay_process(quiet, tmp_path) as zombie:
        pid = await one_leads(quiet)
        async with relaying(quiet):
            await candidates(quiet, 2)
            await write(quiet, organization, 20)
            with stopwatch() as watch:
                zombie.send_signal(signal.SIGSTOP)
                writing = asyncio.create_task(write(quiet, organization, 60))
                heir = await one_leads(quiet, other_than=pid)
            assert watch.seconds <= 12.0
            await writing
            await all_sent(quiet)
            zombie.send_signal(signal.SIGCONT)
            await write(quiet, organization, 20)
            await all_sent(quiet)
            await candidates(quiet, 2)
            assert await leaders(quiet) == [heir]
        await one_leads(quiet, other_than=heir)
        await write(quiet, organization, 5)
        await all_sent(quiet)
        assert zombie.poll() is None
    revs = (await renames_of(quiet, organization))[organization]
    assert first_times(revs) == list(range(2, 107))


# Each with how often an event of the batch lies on the topic in the end: nobody can know more than this.
@pytest.mark.parametrize(
    ("failpoint", "times"),
    [
        ("relay.read", {1}),
        ("relay.sent", {1, 2}),
        ("relay.acked", {2}),
        ("relay.deleting", {1, 2}),
        ("relay.deleted", {1}),
    ],
)
async def test_wherever_a_relay_dies_the_next_one_sends_what_is_left(
    quiet: Live, tmp_path: Path, failpoint: str, times: set[int]
) -> None:
    organization = await sign_up(quiet.platform)
    await write(quiet, organization, 10)
    # what it reads first it does not send, for it has yet to find its broker
    nth = ":2" if failpoint == "relay.read" else ""
    with relay_process(quiet, tmp_path, FAILPOINT=failpoint + nth) as relay:
        assert await asyncio.to_thread(relay.wait, 60) == -signal.SIGKILL
    async with relaying(quiet):
        await all_sent(quiet)
    revs = (await renames_of(quiet, organization))[organization]
    assert first_times(revs) == list(range(2, 12))
    assert {revs.count(rev) for rev in revs} <= times


async def test_a_relay_that_is_told_to_end_hands_over_at_once(quiet: Live) -> None:
    organization = await sign_up(quiet.platform)
    took = []
    async with AsyncExitStack() as stack:
        leader = await stack.enter_async_context(relaying(quiet))
        pid = await one_leads(quiet)
        for _ in range(3):
            heir = await stack.enter_async_context(relaying(quiet))
            await candidates(quiet, 2)
            await write(quiet, organization, 5)
            await end(leader)
            with stopwatch() as watch:
                pid = await one_leads(quiet, other_than=pid)
            took.append(watch.seconds)
            leader = heir
    assert max(took) < 0.5, took


async def test_told_to_end_in_the_middle_of_a_batch_it_is_finished(quiet: Live) -> None:
    organization = await sign_up(quiet.platform)
    async with relaying(quiet) as relay:
        await one_leads(quiet)
        await all_sent(quiet)
        writing = asyncio.create_task(write(quiet, organization, 40))
        await asyncio.sleep(0.15)
        await end(relay)
        await writing
    async with relaying(quiet):
        await all_sent(quiet)
    # no repeat: what was sent when it was told had been deleted when it had ended
    assert (await renames_of(quiet, organization))[organization] == list(range(2, 42))


async def test_several_relays_share_the_outbox_and_their_number_may_change(quiet: Live) -> None:
    organizations = [await sign_up(quiet.platform) for _ in range(8)]
    slots = await column(quiet.database, "SELECT shard FROM outbox WHERE organization_id = ANY($1)", organizations)
    assert slots == [bytes.fromhex(each.replace("-", ""))[15] % 64 for each in organizations]
    writing = asyncio.gather(*(write(quiet, each, 40) for each in organizations))
    async with relaying(quiet, Delivery(shards=4)) as four:
        async with asyncio.timeout(60):
            while len(await leaders(quiet)) != 4:
                await asyncio.sleep(0.05)
        async with relaying(quiet, Delivery(shards=3)):
            await asyncio.sleep(0.3)  # both at the same time, as in a rolling restart
            await end(four)
            async with asyncio.timeout(60):
                while len(await leaders(quiet)) != 3:
                    await asyncio.sleep(0.05)
            await writing
            await all_sent(quiet)
    for revs in (await renames_of(quiet, *organizations)).values():
        assert first_times(revs) == list(range(2, 42))


async def test_a_leader_keeps_its_lock_while_the_broker_takes_its_time(
    quiet: Live, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than the server would let a session be idle; and what waits is said, but not again and again."""
    organization = await sign_up(quiet.platform)
    with tansu(tmp_path / "tansu") as kafka:
        live = Live(
            platform=replace(quiet.platform, backends=replace(quiet.platform.backends, kafka=kafka)),
            kafka=kafka,
            database=quiet.database,
        )
        async with relaying(live):
            pid = await one_leads(live)
            await all_sent(live)
            with frozen(port_of(kafka)):
                await rename(live.platform, organization)
                await execute(
                    live.database,
                    "WITH o AS (UPDATE outbox SET occurred_at = occurred_at - interval '40 s' RETURNING *)"
                    " UPDATE event_log e SET occurred_at = o.occurred_at FROM o"
                    " WHERE (e.organization_id, e.rev) = (o.organization_id, o.rev)",
                )
                await asyncio.sleep(12)
                assert await leaders(live) == [pid]
            await all_sent(live)
            assert await leaders(live) == [pid]
    assert 1 <= sum("the oldest event has waited for" in each.message for each in caplog.records) <= 2
