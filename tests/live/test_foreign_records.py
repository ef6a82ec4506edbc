"""Anybody may put anything on a topic: what is not an event is passed over and parked; what is, is applied once."""

import asyncio

import pytest

from tests.live.clients import kafka_from_the_start, over_websocket, records_of
from tests.live.conftest import Live
from tests.live.records import TOPIC, Headers, body, genuine, put
from tests.live.tables import applied, column
from tests.support.stories import rename, sign_up

WAIT_SECONDS = 25


def strange_records(organization: str) -> dict[str, tuple[Headers, bytes | None]]:
    return {
        "foreign": ({}, b"hello"),
        "empty": ({}, None),
        "truncated body": (genuine(organization), body()[:-7]),
        "no body": (genuine(organization), None),
        "unknown type": (genuine(organization, ce_type=b"tenant.module.exploded.v1"), body()),
        "future version": (genuine(organization, ce_type=b"tenant.module.assigned.v2"), body()),
        "type with a NUL": (genuine(organization, ce_type=b"tenant\x00module"), body()),
        "not UTF-8": (genuine(organization, ce_type=b"\xff\xfe"), body()),
        "no id": (genuine(organization, ce_id=b"17"), body()),
        "rev is null": (genuine(organization, ce_rev=None), body()),
        "time beyond all zones": (genuine(organization, ce_time=b"0001-01-01T00:00:00+14:00"), body()),
        "rev of letters": (genuine(organization, ce_rev=b"two"), body()),
        "rev without end": (genuine(organization, ce_rev=b"9" * 5000), body()),
        "rev beyond bigint": (genuine(organization, ce_rev=str(2**63).encode()), body()),
        "rev below one": (genuine(organization, ce_rev=b"0"), body()),
        "time without a zone": (genuine(organization, ce_time=b"2026-01-01T00:00:00"), body()),
        "body is a list": (genuine(organization), b"[1]"),
        "payload is a text": (genuine(organization), body(payload="all")),
        "company is a number": (genuine(organization), body(payload={"company_id": 7})),
        "modules are no list": (genuine(organization), body(payload={"modules": 7})),
        "assignments are texts": (genuine(organization), body(payload={"assignments": ["hr"]})),
        "assignment is a text": (genuine(organization), body(payload={"assignment": "hr"})),
        "user is nobody": (genuine(organization), body(user_id=None)),
        "module is a number": (genuine(organization), body(module_id=7)),
    }


async def test_what_is_no_event_is_passed_over_and_parked(live: Live) -> None:
    organization = await sign_up(live.platform)
    strange = strange_records(organization)
    before = await parked(live)
    async with (
        over_websocket(live.platform, organization=organization, after="v1:1") as mine,
        over_websocket(live.platform, types=["ORGANIZATION_UPDATED"]) as everything,
    ):
        await put(live.kafka, *strange.values())
        for revision in range(2, 5):
            assert await rename(live.platform, organization) == revision
        assert [event["revision"] for event in await mine.take(3)] == [2, 3, 4]
        await mine.nothing_else()
        assert (await everything.take(1))[0]["type"] == "ORGANIZATION_UPDATED"
    async with asyncio.timeout(WAIT_SECONDS):
        while (now := await parked(live)) < before + len(strange):
            await asyncio.sleep(0.1)
    assert now == before + len(strange)


@pytest.mark.parametrize("name", ["body is genuine", "from before the first partition"])
async def test_a_genuine_looking_record_does_not_stop_the_others(live: Live, name: str) -> None:
    organization = await sign_up(live.platform)
    time = b"1970-01-01T00:00:00Z" if "before" in name else b"2026-01-01T00:00:00Z"
    await put(live.kafka, (genuine(organization, ce_rev=b"700", ce_time=time), body()))
    async with over_websocket(live.platform, organization=organization, after="v1:1") as subscriber:
        assert await rename(live.platform, organization) == 2
        assert (await subscriber.take(1))[0]["revision"] == 2
        await subscriber.nothing_else()
    assert await applied(live.database, organization, until=2) == [1, 2]


async def test_a_repeated_event_is_applied_and_heard_once(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with over_websocket(live.platform, organization=organization, after="v1:0") as subscriber:
        await rename(live.platform, organization)
        async with kafka_from_the_start(live.kafka) as consumer:
            records = await records_of(consumer, organization, 2)
        for _ in range(3):
            for record in records:
                await put(live.kafka, (dict(record.headers), record.value), topic=record.topic, key=record.key)
        await rename(live.platform, organization)
        assert [event["revision"] for event in await subscriber.take(3)] == [1, 2, 3]
        await subscriber.nothing_else()
    assert await applied(live.database, organization, until=3) == [1, 2, 3]


async def parked(live: Live) -> int:
    (count,) = await column(
        live.database, "SELECT count(*) FROM dead_event WHERE status = 'parked' AND topic = $1", TOPIC
    )
    return count
