"""A platform with its event roles on each broker: the embedded one, and Apache Kafka where that can run."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from sqlalchemy import URL

from app.embedded.supervisor import Endpoints
from tests.brokers.apache_kafka import apache_kafka, available
from tests.brokers.tansu import tansu
from tests.conftest import Databases, backends_on
from tests.live.clients import kafka_from_the_start, records_of
from tests.support.platform import Platform, running_platform
from tests.support.stories import sign_up

EVENT_ROLES = frozenset({"api", "live", "relay", "reactions"})
# for what happens behind the tail, whichever broker it reads
ONE_BROKER = pytest.mark.parametrize("kafka", ["embedded"], indirect=True)


@dataclass(frozen=True)
class Live:
    """A platform whose events flow. `database` is the owner's login, for looking at what no API shows."""

    platform: Platform
    kafka: str
    database: URL


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Apache Kafka: the given one, else one of our own for the whole run."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    if (reason := available()) is not None:
        if os.environ.get("REQUIRE_APACHE_KAFKA") == "1":
            pytest.fail(reason)
        pytest.skip(f"left out on Apache Kafka: {reason}")
    with apache_kafka(tmp_path_factory.mktemp("apache") / "data") as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session", params=["embedded", "apache"])
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "apache":
            yield request.getfixturevalue("apache")
        else:
            yield stack.enter_context(tansu(tmp_path_factory.mktemp("tansu") / "data"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live(databases: Databases, servers: Endpoints, kafka: str) -> AsyncIterator[Live]:
    """One for all tests of a broker: joining a group takes the embedded one five seconds."""
    database = await databases.create()
    async with running_platform(backends_on(database, servers, kafka=kafka), roles=EVENT_ROLES) as platform:
        # a broker that has just started takes its time to know its topics: not the tests' time
        async with kafka_from_the_start(kafka) as consumer:
            await records_of(consumer, await sign_up(platform), 1, seconds=90)
        yield Live(platform=platform, kafka=kafka, database=database)
