"""Events that can't be applied, one in a hundred: the others are, and these wait to be tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from events.inbox import CONSUMER, PAUSES
from events.types import DLQ_TOPIC, PARTITIONS
from tests.live.conftest import Live
from tests.live.records import TOPIC, Record, adopted, assigned, put, texts
from tests.live.tables import column, execute
from tests.support.stories import unique

GOOD, SECONDS = 294, 40
ADOPTED = (
    "SELECT module_id FROM module_adoption WHERE organization_id::text = ANY($1) ORDER BY organization_id, module_id"
)
SEEN = "SELECT event_id::text FROM inbox WHERE consumer = $1 AND event_id::text = ANY($2) ORDER BY 1"
REPLAY = """mutation($id: ID!, $consumer: String!) { replayDeadEvent(input: {eventId: $id, consumer: $consumer}) {
  deadEvent { status attempts } errors { code } } }"""
LETTERS = """query($after: String) { deadEvents(first: 200, after: $after, consumer: "modplane-reactions") {
  nodes { eventId organizationId revision topic errorClass errorText attempts status publishedAt }
  pageInfo { hasNextPage endCursor } } }"""
TRIES = 1 + len(PAUSES)


def id_of(record: Record) -> str:
    value = record[0]["ce_id"]
    assert value
    return value.decode()


@asynccontextmanager
async def refusing(live: Live, module: str) -> AsyncIterator[None]:
    """A database that will not have a module: what a bug in a migration could do."""
    name = '"' + module + '"'
    check = f"ALTER TABLE module_adoption ADD CONSTRAINT {name} CHECK (module_id <> '{module}') NOT VALID"
    await execute(live.database, check)
    try:
        yield
    finally:
        await execute(live.database, f"ALTER TABLE module_adoption DROP CONSTRAINT {name}")


async def test_one_poisonous_event_in_fifty_holds_nobody_up_and_can_be_replayed(live: Live) -> None:
    organizations, refused = [str(uuid4()) for _ in range(3)], unique("refused")
    good = [assigned(organizations[n % 3], f"good-{n:03}", n + 1) for n in range(GOOD)]
    unreadable = [assigned(each, "unreadable", 500, version=None) for each in organizations]
    constrained = [assigned(each, refused, 501) for each in organizations]
    mixed = [*good[:100], *unreadable, *good[100:200], *constrained, *good[200:]]
    async with refusing(live, refused):
        await put(live.kafka, *mixed)
        letters = await parked(live, [*unreadable, *constrained])
    for last, organization in enumerate(organizations, GOOD - len(organizations)):
        # behind the poison, so maybe later than the letters
        assert f"good-{last:03}" in await adopted(live.database, organization, until=f"good-{last:03}")
    assert await texts(live.database, ADOPTED, organizations) == expected_of(organizations)
    assert await texts(live.database, SEEN, CONSUMER, [id_of(each) for each in mixed]) == sorted(map(id_of, mixed))
    assert {id_of(each): letters[id_of(each)]["errorClass"] for each in unreadable} == dict.fromkeys(
        map(id_of, unreadable), "UnreadablePayload"
    )
    one = letters[id_of(constrained[0])]
    assert (one["errorClass"], one["errorText"]) == ("IntegrityError", "the database refused it, SQLSTATE 23514")
    assert (one["attempts"], one["status"], one["revision"], one["topic"]) == (TRIES, "PARKED", 501, TOPIC)
    await told_of(live, [*unreadable, *constrained])

    for record in (*unreadable, *constrained):
        await replay(live, id_of(record))
    for record in constrained:
        assert await settled(live, id_of(record)) == ("REPLAYED", TRIES + 1)
    for record in unreadable:
        assert await settled(live, id_of(record)) == ("PARKED", TRIES + 1)
    again = expected_of(organizations, refused)
    assert await texts(live.database, ADOPTED, organizations) == again
    assert await replay(live, id_of(constrained[0])) == {"status": "REPLAYED", "attempts": TRIES + 1}


async def test_poison_that_comes_again_is_one_dead_letter(live: Live) -> None:
    organization = str(uuid4())
    poison = assigned(organization, "unreadable", 1, state=7)
    await put(live.kafka, poison, poison)
    await put(live.kafka, poison, assigned(organization, "good", 2), topic="tenant.module.assigned")
    assert await adopted(live.database, organization, until="good") == ["good"]
    await parked(live, [poison])  # which is tried for a while after the others were applied
    count = "SELECT count(*) FROM dead_event WHERE organization_id::text = $1"
    assert await column(live.database, count, organization) == [1]
    assert await texts(live.database, SEEN, CONSUMER, [id_of(poison)]) == [id_of(poison)]


async def test_an_event_from_before_the_inbox_is_never_applied_blind(live: Live) -> None:
    organization = str(uuid4())
    headers, value = assigned(organization, "old", 1)
    old = ({**headers, "ce_time": b"2020-01-01T00:00:00Z"}, value)
    await put(live.kafka, old, assigned(organization, "young", 2))
    letter = (await parked(live, [old]))[id_of(old)]
    assert letter["errorClass"] == "Expired"
    assert letter["attempts"] == 1
    assert await adopted(live.database, organization, until="young") == ["young"]
    # an administrator may still decide that it is to be applied: the guard of the revision holds
    await replay(live, id_of(old))
    assert await settled(live, id_of(old)) == ("REPLAYED", 2)
    assert await texts(live.database, ADOPTED, [organization]) == ["old", "young"]


def expected_of(organizations: list[str], *more: str) -> list[str]:
    """The modules of each organization, in the order of ADOPTED."""
    found = []
    for organization in sorted(organizations):
        mine = [f"good-{n:03}" for n in range(GOOD) if organizations[n % 3] == organization]
        found += sorted([*mine, *more])
    return found


async def dead_letters(live: Live) -> dict[str, Any]:
    page = (await live.platform.data(LETTERS))["deadEvents"]
    nodes = page["nodes"]
    while page["pageInfo"]["hasNextPage"]:
        page = (await live.platform.data(LETTERS, {"after": page["pageInfo"]["endCursor"]}))["deadEvents"]
        nodes += page["nodes"]
    return {node["eventId"]: node for node in nodes}


async def parked(live: Live, records: list[Record]) -> dict[str, Any]:
    wanted = set(map(id_of, records))
    async with asyncio.timeout(SECONDS):
        while not wanted <= set(found := await dead_letters(live)):
            await asyncio.sleep(0.2)
    return found


async def replay(live: Live, event_id: str) -> Any:
    answered = await live.platform.data(REPLAY, {"id": event_id, "consumer": CONSUMER})
    assert answered["replayDeadEvent"]["errors"] == []
    return answered["replayDeadEvent"]["deadEvent"]


async def settled(live: Live, event_id: str) -> tuple[str, int]:
    async with asyncio.timeout(SECONDS):
        while (letter := (await dead_letters(live))[event_id])["status"] == "REPLAY_REQUESTED":
            await asyncio.sleep(0.2)
    return letter["status"], letter["attempts"]


async def told_of(live: Live, records: list[Record]) -> None:
    """Each is on the dead letter topic as it was, with the reasons as headers."""
    wanted = {id_of(record): record for record in records}
    found: dict[str, ConsumerRecord] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=live.kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    async with consumer, asyncio.timeout(SECONDS):
        partitions = [TopicPartition(DLQ_TOPIC, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        while set(found) != set(wanted):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                by_id = {(dict(each.headers).get("ce_id") or b"").decode(): each for each in batch}
                found |= {event_id: each for event_id, each in by_id.items() if event_id in wanted}
    for event_id, record in found.items():
        headers, value = wanted[event_id]
        told = dict(record.headers)
        assert record.value == value
        assert record.key == b"by hand"
        assert {name: told[name] for name in headers} == headers
        assert (told["dlq_consumer"], told["dlq_topic"]) == (CONSUMER.encode(), TOPIC.encode())
        assert told["dlq_attempts"] == str(TRIES).encode()
        assert int(told["dlq_offset"]) >= 0
        assert told["dlq_partition"] in {b"0", b"1", b"2"}
        assert told["dlq_error_class"] in {b"UnreadablePayload", b"IntegrityError"}
