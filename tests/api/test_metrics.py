"""GET /metrics: the backlog as Prometheus reads it, without a word about any tenant."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest_asyncio
from sqlalchemy import URL

from app.dev import listen
from app.embedded.supervisor import Endpoints
from app.metrics import exposition
from app.serve import open_services
from models.database import DatabaseUrls
from tests.conftest import Databases, backends_on
from tests.database.catalogue import connected
from tests.live.clients import opened_socket
from tests.support.platform import Platform, running_platform
from tests.support.stories import sign_up

DEAD = (
    "INSERT INTO dead_event(consumer, event_id, organization_id, attempts, first_at, last_at, status)"
    " SELECT $1, gen_random_uuid(), $2, 1, now(), now(), 'parked' FROM generate_series(1, $3)"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def measured(databases: Databases, servers: Endpoints) -> AsyncIterator[tuple[Platform, asyncpg.Connection]]:
    database: URL = await databases.create()
    async with running_platform(backends_on(database, servers)) as platform, connected(database) as owner:
        await owner.execute("TRUNCATE outbox")
        yield platform, owner


async def test_the_backlog_is_told_as_gauges(measured: tuple[Platform, asyncpg.Connection]) -> None:
    platform, owner = measured
    organization = await sign_up(platform, name="Told Nobody Ltd")
    await owner.execute("UPDATE outbox SET occurred_at = now() - interval '90 seconds'")
    await owner.execute(DEAD, "relay", UUID(organization), 2)
    await owner.execute(DEAD, 'with "quotes"', None, 1)
    try:
        async with opened_socket(platform):
            response = await platform.client.get(metrics_of(platform))
    finally:
        await owner.execute("TRUNCATE dead_event")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = samples_in(response.text)
    oldest = samples.pop("modplane_outbox_oldest_seconds")
    assert 90 <= oldest < 100
    dead_tuples = samples.pop("modplane_outbox_dead_tuples")
    assert dead_tuples >= 0
    assert samples == {
        "modplane_outbox_pending": 1,
        "modplane_operations_open": 0,
        "modplane_streams_open": 1,
        'modplane_dead_events{consumer="relay",status="parked"}': 2,
        'modplane_dead_events{consumer="with \\"quotes\\"",status="parked"}': 1,
    }
    assert organization not in response.text
    assert "Told Nobody" not in response.text


async def test_an_empty_outbox_has_no_age(measured: tuple[Platform, asyncpg.Connection]) -> None:
    platform, owner = measured
    await owner.execute("TRUNCATE outbox")
    samples = samples_in((await platform.client.get(metrics_of(platform))).text)
    assert (samples["modplane_outbox_pending"], samples["modplane_outbox_oldest_seconds"]) == (0, 0)


async def test_every_gauge_has_its_help_and_type_once(measured: tuple[Platform, asyncpg.Connection]) -> None:
    platform, _ = measured
    lines = (await platform.client.get(metrics_of(platform))).text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert [line.split()[3] for line in lines if line.startswith("# TYPE")] == ["gauge"] * len(names)
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == names
    assert len(set(names)) == len(names)


async def test_a_database_that_does_not_answer_is_a_503_within_its_time(
    measured: tuple[Platform, asyncpg.Connection],
) -> None:
    platform, owner = measured
    async with owner.transaction():
        await owner.execute("LOCK TABLE outbox")
        asked_at = asyncio.get_running_loop().time()
        response = await platform.client.get(metrics_of(platform))
        took = asyncio.get_running_loop().time() - asked_at
    assert (response.status_code, response.text) == (503, "# the database does not answer\n")
    assert took < 3
    assert (await platform.client.get(metrics_of(platform))).status_code == 200


async def test_a_database_that_is_away_is_a_503(measured: tuple[Platform, asyncpg.Connection]) -> None:
    with listen("127.0.0.1", 0) as taken:
        nowhere = taken.getsockname()[1]
    here = measured[0].backends
    urls = DatabaseUrls(
        *(url.set(port=nowhere) for url in (here.database.app, here.database.admin, here.database.relay))
    )
    async with open_services(replace(here, database=urls)) as services:
        assert await exposition(services, streams=0) == (503, "# the database does not answer\n")


def metrics_of(platform: Platform) -> str:
    return platform.url.replace("/graphql", "/metrics")


def samples_in(text: str) -> dict[str, float]:
    """Name with labels to value; a line that is neither a sample nor a comment is a failure."""
    samples: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            found = re.fullmatch(r"(\S+(?:\{.*\})?) (\S+)", line)
            assert found, line
            samples[found[1]] = float(found[2])
    return samples
