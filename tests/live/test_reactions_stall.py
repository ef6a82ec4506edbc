"""A consumer that has gone silent ends its process; one that has nothing to do, or whose broker is away, does not."""

import asyncio
from pathlib import Path

import pytest

from app.embedded.supervisor import Endpoints
from app.serve import open_services
from events.consumer import Reactions
from events.watchdog import Stalled, Watchdog
from tests.brokers.tansu import tansu
from tests.conftest import Databases, backends_on
from tests.live.kafka_proxy import kafka_proxy
from tests.live.records import adopted, assigned, put

ORGANIZATION = "0190a000-0000-7000-8000-000000000001"
LIMIT = 30.0


@pytest.mark.parametrize(
    ("seen", "stalled"),
    [
        pytest.param([(0, 0, True), (29, 0, True)], False, id="not long enough"),
        pytest.param([(0, 0, True), (30, 0, True)], True, id="behind and silent"),
        pytest.param([(100, 0, True)], False, id="silent for long, behind only now"),
        pytest.param([(0, 0, False), (90, 0, False)], False, id="nothing to read"),
        pytest.param([(0, 0, True), (20, 0, False), (40, 0, True)], False, id="caught up in between"),
        pytest.param([(0, 0, True), (40, 39, True)], False, id="behind, but records come"),
        pytest.param([(0, 0, True), (40, 5, True)], True, id="records came, and then no more"),
        pytest.param([(0, 0, True), (40, 0, None)], False, id="the broker is away"),
        pytest.param([(0, 0, True), (40, 0, None), (50, 0, True)], False, id="the broker has just come back"),
    ],
)
def test_when_a_consumer_has_stalled(seen: list[tuple[float, float, bool | None]], stalled: bool) -> None:
    watchdog = Watchdog(limit=LIMIT)
    found = [watchdog.observe(now=now, heard_at=heard, is_behind=behind) for now, heard, behind in seen]
    assert found == [False] * (len(seen) - 1) + [stalled]


async def test_a_consumer_whose_records_never_arrive_ends_its_process(
    databases: Databases, servers: Endpoints, tmp_path: Path
) -> None:
    database = await databases.create()
    with tansu(tmp_path / "tansu") as broker:
        async with kafka_proxy(broker) as proxy, open_services(backends_on(database, servers)) as services:
            engine, floor = services.database.relay_engine, services.floor.raise_floors
            reactions = Reactions(bootstrap=proxy.address, engine=engine, raise_floors=floor, stalled_seconds=3.0)
            running = asyncio.create_task(reactions.run())
            await put(broker, assigned(ORGANIZATION, "before", 1))
            assert await adopted(database, ORGANIZATION, until="before") == ["before"]
            await asyncio.sleep(5)  # nothing comes because there is nothing: that is no stall
            assert not running.done()
            proxy.is_silent = True
            await put(broker, assigned(ORGANIZATION, "after", 2))
            with pytest.raises(BaseExceptionGroup) as raised:
                async with asyncio.timeout(40):
                    await running
            assert raised.group_contains(Stalled, depth=1)
            assert proxy.swallowed > 0
            assert await adopted(database, ORGANIZATION, until="before") == ["before"]
