"""Every record three times, in any order, by one process or by several that come and go: the effects are the same."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from events.consumer import Reactions
from events.inbox import CONSUMER
from events.types import EventType
from tests.live.conftest import Live
from tests.live.records import Record, genuine, put, texts
from tests.live.tables import column
from tests.support.stopwatch import stopwatch

ADOPTED = """SELECT jsonb_build_array(organization_id, module_id, applied_rev, is_assigned, version, state)::text
 FROM module_adoption WHERE organization_id::text = ANY($1)"""
SEEN = "SELECT count(*) FROM inbox WHERE consumer = $1 AND event_id::text = ANY($2)"
STATES, VERSIONS = ("INSTALLED", "ACTIVE", "SUSPENDED"), ("1.0.0", "1.1.0", "2.0.0-rc.1")
SECONDS, LEAVE_SECONDS_MAX = 60, 8.0
ONE = (EventType.ASSIGNED, EventType.UNASSIGNED, EventType.STATE_CHANGED, EventType.CONFIG_UPDATED)
MANY = (EventType.BULK_ASSIGNED, EventType.INDUSTRY_APPLIED)
Known = dict[tuple[str, str], tuple[int, bool, str, str]]


@dataclass(frozen=True)
class Story:
    """What happened to some organizations, as records by topic, and what is known at the end."""

    organizations: list[str]
    records: list[tuple[str, Record]]
    end: Known

    @property
    def ids(self) -> list[str]:
        return [(headers["ce_id"] or b"").decode() for _, (headers, _) in self.records]


def story(chance: random.Random, *, organizations: int, revisions: int) -> Story:
    """Every kind that changes adoption, over few modules, so that almost everything is overwritten."""
    ids = [str(uuid4()) for _ in range(organizations)]
    records, end = [], Known()
    for organization in ids:
        for rev in range(1, revisions + 1):
            kind = chance.choice((*ONE, *MANY))
            is_assigned = kind is not EventType.UNASSIGNED
            codes = chance.sample(["a1", "b2", "c3", "d4", "e5", "f6"], 1 if kind in ONE else 3)
            told = [{"module": m, "version": chance.choice(VERSIONS), "state": chance.choice(STATES)} for m in codes]
            for each in told:
                end[organization, each["module"]] = (rev, is_assigned, each["version"], each["state"])
            payload = {"assignment": told[0], "is_assigned": is_assigned} if kind in ONE else {"assignments": told}
            records.append((kind.topic, record_of(organization, kind, rev, payload)))
    return Story(organizations=ids, records=records, end=end)


def record_of(organization: str, kind: EventType, rev: int, payload: dict[str, Any]) -> Record:
    headers = genuine(
        organization,
        ce_type=kind.cloud_event_type.encode(),
        ce_rev=str(rev).encode(),
        ce_time=datetime.now(UTC).isoformat().encode(),
    )
    return headers, json.dumps({"module_id": None, "user_id": "tester", "payload": payload}).encode()


async def send(live: Live, records: Sequence[tuple[str, Record]]) -> None:
    for topic in sorted({topic for topic, _ in records}):
        await put(live.kafka, *[record for each, record in records if each == topic], topic=topic, key=None)


async def adopted(live: Live, organizations: list[str]) -> Known:
    rows = [json.loads(text) for text in await texts(live.database, ADOPTED, organizations)]
    return {(organization, module): tuple(rest) for organization, module, *rest in rows}


async def seen(live: Live, told: Story, *, seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while await column(live.database, SEEN, CONSUMER, told.ids) != [len(told.records)]:
            await asyncio.sleep(0.1)


async def test_a_stream_three_times_and_shuffled_ends_as_its_fold(live: Live) -> None:
    chance = random.Random(3)
    told = story(chance, organizations=6, revisions=50)
    shuffled = told.records * 3
    chance.shuffle(shuffled)
    await send(live, shuffled)
    last = story(chance, organizations=1, revisions=6)
    await send(live, last.records)
    await seen(live, told)
    await seen(live, last)
    assert await adopted(live, told.organizations) == told.end
    assert any(not is_assigned for _, is_assigned, _, _ in told.end.values())


async def test_processes_that_come_and_go_apply_everything(live: Live) -> None:
    """A second consumer of the group joins while events flow, leaves, and joins again."""
    told = story(random.Random(5), organizations=8, revisions=60)
    chunks = [told.records[n::12] for n in range(12)]
    sending = asyncio.create_task(trickle(live, chunks))
    for _ in range(2):
        async with second_consumer(live) as partitions:
            async with asyncio.timeout(SECONDS):
                while not 20 <= len(await partitions()) <= 31:  # about half of the 51
                    await asyncio.sleep(0.1)
            await asyncio.sleep(2)
    await sending
    after = story(random.Random(7), organizations=1, revisions=6)
    await send(live, after.records)
    await seen(live, told)
    await seen(live, after)
    assert await adopted(live, told.organizations) == told.end


async def trickle(live: Live, chunks: Sequence[Sequence[tuple[str, Record]]]) -> None:
    for chunk in chunks:
        await send(live, chunk)
        await asyncio.sleep(0.8)


@asynccontextmanager
async def second_consumer(live: Live) -> AsyncIterator[Callable[[], Awaitable[set[object]]]]:
    """Yields what asks it for its partitions, and checks that it leaves swiftly and in order."""
    services = live.platform.services
    raise_floors = services.floor.raise_floors
    reactions = Reactions(bootstrap=live.kafka, engine=services.database.relay_engine, raise_floors=raise_floors)
    running = asyncio.create_task(reactions.run())

    async def partitions() -> set[object]:
        return set() if reactions.member is None else set(await reactions.member.positions())

    try:
        yield partitions
    finally:
        with stopwatch() as watch:
            running.cancel()
            await asyncio.wait([running])
        assert running.cancelled()
        assert watch.seconds < LEAVE_SECONDS_MAX
