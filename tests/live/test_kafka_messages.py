"""What partners read from Kafka: every event once, in its organization's order, as CloudEvents in binary mode."""

import asyncio
import json
import re

from aiokafka import ConsumerRecord

from tests.live.clients import header, kafka_from_the_start, records_of
from tests.live.conftest import Live
from tests.live.tables import column
from tests.support.stories import assign, create_company, events_of, sign_up, unassign


async def test_a_message_is_a_cloud_event_with_the_state_after_it(live: Live) -> None:
    organization = await sign_up(live.platform)
    payload = await assign(live.platform, organization, "hr", config={"probation_days": 7})
    assert (payload["errors"], payload["revision"]) == ([], 2)
    async with kafka_from_the_start(live.kafka) as consumer:
        created, assigned = in_order(await records_of(consumer, organization, 2))
    assert (created.topic, assigned.topic) == ("tenant.module.organization_created", "tenant.module.assigned")
    (logged,) = [event for event in await events_of(live.platform, organization) if event["type"] == "ASSIGNED"]
    trace = header(assigned, "ce_traceparent")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", trace)
    assert dict(assigned.headers) == {
        "id": logged["id"].encode(),
        "ce_id": logged["id"].encode(),
        "ce_specversion": b"1.0",
        "ce_source": f"/organizations/{organization}".encode(),
        "ce_type": b"tenant.module.assigned.v1",
        "ce_subject": b"hr",
        "ce_time": header(assigned, "ce_time").encode(),
        "ce_dataschema": b"https://modplane.dev/schemas/events/tenant.module.assigned.v1.json",
        "ce_organizationid": organization.encode(),
        "ce_rev": b"2",
        "ce_partitionkey": organization.encode(),
        "ce_actorid": b"tester",
        "ce_traceparent": trace.encode(),
        "content-type": b"application/json",
    }
    body = json.loads(assigned.value)
    assert sorted(body) == ["module_id", "organization_id", "payload", "user_id"]
    assert (body["organization_id"], body["module_id"], body["user_id"]) == (organization, "hr", "tester")
    state = body["payload"]["assignment"]
    assert (state["module"], state["state"], state["revision"]) == ("hr", "ACTIVE", 2)
    assert state["config"] == {"probation_days": 7}
    assert body["payload"] == logged["payload"]


async def test_every_event_is_published_once_and_in_order(live: Live) -> None:
    organizations = [await sign_up(live.platform) for _ in range(3)]
    await asyncio.gather(*(busy(live, organization) for organization in organizations))
    for organization in organizations:
        events = await events_of(live.platform, organization)
        async with kafka_from_the_start(live.kafka) as consumer:
            records = await records_of(consumer, organization, len(events))
        assert [int(header(record, "ce_rev")) for record in in_order(records)] == list(range(1, len(events) + 1))
        assert {header(record, "ce_id") for record in records} == {event["id"] for event in events}
        for topic in {record.topic for record in records}:
            of_topic = [int(header(record, "ce_rev")) for record in records if record.topic == topic]
            assert of_topic == sorted(of_topic)
        assert len({(record.topic, record.partition) for record in records}) == len({r.topic for r in records})


async def test_the_outbox_is_empty_afterwards(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with asyncio.timeout(30):
        while await column(live.database, "SELECT seq FROM outbox"):
            await asyncio.sleep(0.05)
    async with kafka_from_the_start(live.kafka) as consumer:
        assert len(await records_of(consumer, organization, 1)) == 1


async def test_a_refused_mutation_publishes_nothing(live: Live) -> None:
    organization = await sign_up(live.platform)
    refused = await assign(live.platform, organization, "no-such-module")
    assert [error["code"] for error in refused["errors"]] == ["NOT_FOUND"]
    await create_company(live.platform, organization)
    async with kafka_from_the_start(live.kafka) as consumer:
        records = in_order(await records_of(consumer, organization, 2))
    assert [record.topic.rpartition(".")[2] for record in records] == ["organization_created", "company_created"]


async def busy(live: Live, organization: str) -> None:
    for _ in range(4):
        assert (await assign(live.platform, organization, "hr"))["errors"] == []
        assert (await create_company(live.platform, organization)) is not None
        assert (await unassign(live.platform, organization, "hr"))["errors"] == []


def in_order(records: list[ConsumerRecord]) -> list[ConsumerRecord]:
    return sorted(records, key=lambda record: int(header(record, "ce_rev")))
