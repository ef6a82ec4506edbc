"""GET /metrics: the backlog as Prometheus reads it, without a word about any tenant."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest_asyncio
from sqlalchemy import URL

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from app.metrics import Busyness, exposition
from app.serve import open_services
from auth.actor import Role
from models.database import DatabaseUrls
from tests.conftest import Databases, backends_on
from tests.database.catalogue import connected
from tests.live.clients import opened_socket
from tests.support.platform import Platform, running_platform, token
from tests.support.stopwatch import stopwatch
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
        "modplane_requests_running": 0,
        "modplane_requests_waiting": 0,
        "modplane_requests_refused_total": 0,
        "modplane_answers_kept": 0,
        "modplane_answers_hits_total": 0,
        "modplane_answers_misses_total": 0,
        'modplane_dead_events{consumer="relay",status="parked"}': 2,
        'modplane_dead_events{consumer="with \\"quotes\\"",status="parked"}': 1,
    }
    assert organization not in response.text
    assert "Told Nobody" not in response.text


async def test_what_became_of_values_is_counted(measured: tuple[Platform, asyncpg.Connection]) -> None:
    platform, _ = measured
    organization = await sign_up(platform)
    bearer = token(Role.MEMBER, organization=organization)
    for number in range(3):
        query = f"query($id: ID!) {{ organization(id: $id) {{ name }} }} # {number}"
        for _ in range(2):
            await platform.data(query, {"id": organization}, token=bearer)
    response = await platform.client.get(metrics_of(platform))
    name = 'modplane_cache_values_total{family="org:{org_id}:info",outcome="%s"}'
    counted = {
        each: samples_in(response.text)[name % each] for each in ("miss", "loaded", "stored", "refused", "poisoned")
    }
    assert counted == {"miss": 1, "loaded": 1, "stored": 1, "refused": 0, "poisoned": 0}
    assert sum(samples_in(response.text)[name % each] for each in ("hit", "local")) >= 1
    assert organization not in response.text


async def test_an_empty_outbox_has_no_age(measured: tuple[Platform, asyncpg.Connection]) -> None:
    platform, owner = measured
    await owner.execute("TRUNCATE outbox")
    samples = samples_in((await platform.client.get(metrics_of(platform))).text)
    assert (samples["modplane_outbox_pending"], samples["modplane_outbox_oldest_seconds"]) == (0, 0)


async def test_every_metric_has_its_help_and_type_once(measured: tuple[Platform, asyncpg.Connection]) -> None:
    platform, _ = measured
    lines = (await platform.client.get(metrics_of(platform))).text.splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    kinds = [line.split()[3] for line in lines if line.startswith("# TYPE")]
    assert kinds == ["counter" if name.endswith("_total") else "gauge" for name in names]
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == names
    assert len(set(names)) == len(names)


async def test_a_database_that_does_not_answer_is_a_503_within_its_time(
    measured: tuple[Platform, asyncpg.Connection],
) -> None:
    platform, owner = measured
    async with owner.transaction():
        await owner.execute("LOCK TABLE outbox")
        with stopwatch() as watch:
            response = await platform.client.get(metrics_of(platform))
    assert (response.status_code, response.text) == (503, "# the database does not answer\n")
    assert watch.seconds < 3
    assert (await platform.client.get(metrics_of(platform))).status_code == 200


async def test_a_database_that_is_away_is_a_503(measured: tuple[Platform, asyncpg.Connection]) -> None:
    nowhere = choose_port(None, taken=())
    here = measured[0].backends
    urls = DatabaseUrls(
        *(url.set(port=nowhere) for url in (here.database.app, here.database.admin, here.database.relay))
    )
    async with open_services(replace(here, database=urls)) as services:
        assert await exposition(services, Busyness(streams=0, running=0, waiting=0, refused=0)) == (
            503,
            "# the database does not answer\n",
        )


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
