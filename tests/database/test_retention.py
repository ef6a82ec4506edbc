"""Old days go, what still waits stays, and those who come back too late are told so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import URL

from app.embedded.supervisor import Endpoints
from events import retention
from events.delivery import Kept
from events.retention import sweep
from tests.conftest import Databases, backends_on
from tests.database.catalogue import connected
from tests.live.clients import over_websocket
from tests.support.platform import Platform, running_platform
from tests.support.stopwatch import stopwatch
from tests.support.stories import events_of, rename, sign_up

KEPT = Kept(event_log_days=3, inbox_days=3, idempotency_hours=24)
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1"
MAKE_DAY = "CREATE TABLE {leaf} PARTITION OF {parent} FOR VALUES FROM ('{day} 00:00+00') TO ('{next} 00:00+00')"
# An event as if it had been written so many days ago; the owner is a superuser here, whom no policy holds.
AGE = """
WITH aged AS (DELETE FROM event_log WHERE organization_id = $1 AND rev = $2 RETURNING *)
INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, modules,
  company_id, payload, traceparent, actor, source, time, dataschema, occurred_at)
SELECT id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, modules, company_id, payload,
  traceparent, actor, source, time, dataschema, occurred_at - make_interval(days => $3) FROM aged
"""


@dataclass(frozen=True)
class Aged:
    """A platform whose events nobody publishes, the relay's login, and the owner's connection."""

    platform: Platform
    relay: URL
    owner: asyncpg.Connection


@pytest_asyncio.fixture
async def aged(databases: Databases, servers: Endpoints) -> AsyncIterator[Aged]:
    database = await databases.create()
    backends = backends_on(database, servers)
    async with running_platform(backends) as platform, connected(database) as owner:
        await owner.execute("TRUNCATE outbox")
        await owner.execute("SELECT ensure_event_partitions(7)")  # the template may be of yesterday
        yield Aged(platform=platform, relay=backends.database.relay, owner=owner)


async def test_whole_days_that_are_over_are_dropped(aged: Aged) -> None:
    made = [await add_day(aged, parent, days) for parent in ("event_log", "inbox") for days in (6, 5, 4, 3, 2)]
    swept = await sweep(aged.relay, KEPT)
    # of the third day back a part is younger than three days
    assert swept.days == [*made[:3], *made[5:8]]
    assert (swept.stray_events, swept.idempotency_keys) == (0, 0)
    left = {*await partitions(aged, "event_log"), *await partitions(aged, "inbox")}
    assert left & set(made) == {*made[3:5], *made[8:]}
    assert {"event_log_default", "inbox_default", f"event_log_{today():%Y%m%d}", f"inbox_{today():%Y%m%d}"} <= left
    assert not await sweep(aged.relay, KEPT)


async def test_days_to_come_are_made(aged: Aged) -> None:
    leaf = f"event_log_{today() + timedelta(days=7):%Y%m%d}"
    await aged.owner.execute(f"DROP TABLE {leaf}")
    await sweep(aged.relay, KEPT)
    assert leaf in await partitions(aged, "event_log")


async def test_what_still_waits_in_the_outbox_keeps_its_log(aged: Aged) -> None:
    organization = await sign_up(aged.platform)
    days = [await add_day(aged, "event_log", back) for back in (9, 8, 7)]
    await age(aged, organization, rev=1, days=8)
    await aged.owner.execute("UPDATE outbox SET occurred_at = occurred_at - interval '8 days'")
    assert (await sweep(aged.relay, KEPT)).days == days[:1]
    await aged.owner.execute("DELETE FROM outbox")
    assert (await sweep(aged.relay, KEPT)).days == days[1:]


async def test_strays_in_the_default_partition_are_deleted(aged: Aged) -> None:
    organization = await sign_up(aged.platform)
    for _ in range(3):
        await rename(aged.platform, organization)
    await aged.owner.execute("DELETE FROM outbox")
    for rev, days in ((1, 40), (2, 5), (3, 2)):
        await age(aged, organization, rev=rev, days=days)
    old = datetime.now(UTC) - timedelta(days=30)
    await aged.owner.execute(
        "INSERT INTO inbox(consumer, event_id, occurred_at) SELECT 'test', gen_random_uuid(), $1"
        " FROM generate_series(1, 10007)",
        old,
    )
    assert (await sweep(aged.relay, KEPT)).stray_events == 2 + 10_007
    assert [event["revision"] for event in await events_of(aged.platform, organization)] == [3, 4]
    assert await aged.owner.fetchval("SELECT count(*) FROM inbox WHERE occurred_at = $1", old) == 0


async def test_idempotency_keys_run_out(aged: Aged) -> None:
    organization = await sign_up(aged.platform)
    query = "mutation($input: UpdateOrganizationInput!) { updateOrganization(input: $input) { revision } }"
    given = {"organizationId": organization, "name": "once", "idempotencyKey": "key"}
    for _ in range(2):
        assert await aged.platform.data(query, {"input": given}) == {"updateOrganization": {"revision": 2}}
    await aged.owner.execute(
        "INSERT INTO idempotency_key(organization_id, key, request_hash, created_at)"
        " SELECT $1, 'old' || n, '', now() - interval '25 hours' FROM generate_series(1, 5003) n",
        UUID(organization),
    )
    assert (await sweep(aged.relay, KEPT)).idempotency_keys == 5003
    assert await aged.platform.data(query, {"input": given}) == {"updateOrganization": {"revision": 2}}
    await aged.owner.execute("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")
    assert (await sweep(aged.relay, KEPT)).idempotency_keys == 1
    given["name"] = "twice"
    assert await aged.platform.data(query, {"input": given}) == {"updateOrganization": {"revision": 3}}


async def test_after_retention_an_old_cursor_is_told_and_queries_go_on(aged: Aged) -> None:
    organization, quiet = await sign_up(aged.platform), await sign_up(aged.platform)
    for _ in range(4):
        await rename(aged.platform, organization)
    await aged.owner.execute("DELETE FROM outbox")
    await add_day(aged, "event_log", 10)
    for stream, rev in ((organization, 1), (organization, 2), (organization, 3), (quiet, 1)):
        await age(aged, stream, rev=rev, days=10)
    assert len((await sweep(aged.relay, KEPT)).days) == 1
    async with over_websocket(aged.platform, organization=organization, after="v1:2") as subscriber:
        assert await subscriber.error() == {"code": "RESUME_GAP", "minRevision": 4, "currentRevision": 5}
    async with over_websocket(aged.platform, organization=organization, after="v1:3") as subscriber:
        assert [event["revision"] for event in await subscriber.take(2)] == [4, 5]
    async with over_websocket(aged.platform, organization=quiet, after="v1:0") as subscriber:
        assert await subscriber.error() == {"code": "RESUME_GAP", "minRevision": None, "currentRevision": 1}
    query = 'query($id: ID!) { events(organizationId: $id, after: "v1:1") { nodes { revision } } }'
    assert await aged.platform.data(query, {"id": organization}) == {
        "events": {"nodes": [{"revision": 4}, {"revision": 5}]}
    }


async def test_writers_are_not_kept_waiting_by_a_day_in_use(aged: Aged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.1)  # between the tries, when nobody waits
    organization = await sign_up(aged.platform)
    await aged.owner.execute("DELETE FROM outbox")
    leaf, to_come = await add_day(aged, "event_log", 9), f"event_log_{today() + timedelta(days=7):%Y%m%d}"
    await aged.owner.execute(f"DROP TABLE {to_come}")
    async with connected(aged.platform.backends.database.admin) as reader:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT count(*) FROM event_log")
        sweeping = asyncio.create_task(sweep(aged.relay, KEPT))
        waits = []
        while not sweeping.done():
            with stopwatch() as watch:
                await rename(aged.platform, organization)
            waits.append(watch.seconds)
        assert (await sweeping).days == []
        assert to_come not in await partitions(aged, "event_log")
        await transaction.rollback()
    assert max(waits) < 1.0
    assert (await sweep(aged.relay, KEPT)).days == [leaf]
    assert to_come in await partitions(aged, "event_log")


async def test_two_at_once_do_not_get_into_each_others_way(aged: Aged) -> None:
    leaf = await add_day(aged, "event_log", 9)
    swept = await asyncio.gather(*(sweep(aged.relay, KEPT) for _ in range(3)))
    assert [day for each in swept for day in each.days] == [leaf]


@pytest.mark.parametrize(
    "call",
    [
        "drop_event_day('event_log', now() - interval '23 hours')",
        "drop_event_day('organizations', now() - interval '9 days')",
        "delete_stray_events('inbox', now(), 10)",
        "delete_stray_events('outbox', now() - interval '9 days', 10)",
    ],
)
async def test_the_relays_login_can_drop_no_more_than_what_is_old(aged: Aged, call: str) -> None:
    async with connected(aged.relay) as connection:
        with pytest.raises(asyncpg.RaiseError):
            await connection.execute(f"SELECT {call}")


async def test_only_the_relay_may_drop(aged: Aged) -> None:
    urls = aged.platform.backends.database
    for url in (urls.app, urls.admin):
        async with connected(url) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("SELECT drop_event_day('inbox', now() - interval '9 days')")


def today() -> date:
    return datetime.now(UTC).date()


async def add_day(aged: Aged, parent: str, days: int) -> str:
    """A partition for the day so many days ago; its name."""
    day = today() - timedelta(days=days)
    leaf = f"{parent}_{day:%Y%m%d}"
    await aged.owner.execute(MAKE_DAY.format(leaf=leaf, parent=parent, day=day, next=day + timedelta(days=1)))
    return leaf


async def age(aged: Aged, organization: str, *, rev: int, days: int) -> None:
    await aged.owner.execute(AGE, UUID(organization), rev, days)


async def partitions(aged: Aged, parent: str) -> list[str]:
    return [row[0] for row in await aged.owner.fetch(PARTITIONS, parent)]
