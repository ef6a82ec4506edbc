"""Debezium can take the relay's place: the same bytes. The relay's messages are read from the broker they were sent to.

Emulated, in tests/events/debezium.py, from the shipped configuration: the event router takes topic, key and payload
from columns; writes the header `id`, then the additional fields in their listed order; InsertHeader appends; strings
and int64 are printed as text, jsonb as PostgreSQL prints it. Not emulated: timestamps of records, and Debezium itself.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import ConsumerRecord

from app.embedded.supervisor import Endpoints
from events.delivery import Delivery
from events.types import EventType
from tests.conftest import Databases, backends_on
from tests.database.catalogue import connected
from tests.events.debezium import Connector, Message, inserted, shipped
from tests.events.whole_story import whole_story
from tests.live.clients import kafka_from_the_start
from tests.support.platform import Platform, running_platform
from tests.support.stories import events_of, rename, sign_up

EVENTS = 300
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TYPES = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'event_log'::regclass"


@dataclass(frozen=True)
class Told:
    """A database whose whole log the relay has published, and the address of the broker."""

    platform: Platform
    kafka: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(databases: Databases, servers: Endpoints) -> AsyncIterator[Told]:
    backends = backends_on(await databases.create(), servers)
    async with running_platform(backends, roles=frozenset({"api", "worker", "relay"})) as platform:
        for _ in range(3):
            await whole_story(platform)
        organizations = [await sign_up(platform, name='Umlaute äöü, "quotes", \\ and 漢字') for _ in range(12)]
        for organization in organizations:
            for number in range(20):
                await rename(platform, organization, f"renamed {number} \u2028 é")
        await sent(platform)
        yield Told(platform=platform, kafka=servers.kafka)


async def test_debezium_would_send_the_same_bytes(told: Told) -> None:
    async with connected(told.platform.backends.database.admin) as connection:
        types = dict(await connection.fetch(TYPES))
        rows = [dict(row) for row in await connection.fetch("SELECT * FROM event_log")]
    connector = Connector(shipped(), types)
    expected = {str(row["id"]).encode(): connector.message_of(row) for row in rows}
    assert len(expected) >= EVENTS
    assert {row["aggregatetype"] for row in rows} == {kind.value for kind in EventType}
    found = await published(told.kafka, set(expected))
    assert found.keys() == expected.keys()
    different = [
        (expected[each], message) for each, messages in found.items() for message in messages - {expected[each]}
    ]
    assert different == []


async def test_the_columns_that_debezium_reads_are_never_null(told: Told) -> None:
    placements = shipped()["transforms.outbox.table.fields.additional.placement"].split(",")
    columns = [placement.split(":")[0] for placement in placements]
    missing = " OR ".join(f"{column} IS NULL OR {column}::text = ''" for column in columns)
    async with connected(told.platform.backends.database.admin) as connection:
        assert await connection.fetchval("SELECT count(*) FROM event_log") >= EVENTS
        assert [dict(row) for row in await connection.fetch(f"SELECT * FROM event_log WHERE {missing}")] == []


async def test_a_subject_says_what_the_event_is_about(told: Told) -> None:
    async with connected(told.platform.backends.database.admin) as connection:
        rows = await connection.fetch(
            "SELECT aggregatetype, subject, organization_id, company_id, payload FROM event_log"
        )
        codes = {row[0] for row in await connection.fetch("SELECT module_id FROM module_registry")}
        industries = {row[0] for row in await connection.fetch("SELECT industry_code FROM industry_templates")}
    # of the stream itself, the platform's included
    of_organization = {
        "supergraph_published",
        "organization_created",
        "organization_updated",
        "industry_applied",
        "bulk_assigned",
    }
    for row in rows:
        noun = row["aggregatetype"].removeprefix("module.")
        if noun in of_organization:
            assert row["subject"] == str(row["organization_id"])
        elif noun == "company_created":
            assert row["subject"] == str(row["company_id"])
        else:
            assert row["subject"] in (industries if noun.startswith("industry_") else codes), dict(row)


@pytest.mark.parametrize(
    ("sent_with", "kept"),
    [
        (TRACE, True),
        (TRACE.upper(), False),
        (TRACE.replace("00-", "ff-", 1), False),
        (TRACE + "-more", False),
        ("00-" + "0" * 32 + TRACE[35:], False),
        (TRACE[:36] + "0" * 16 + TRACE[52:], False),
        ("", False),
    ],
)
async def test_the_callers_trace_is_kept_when_it_is_one(told: Told, sent_with: str, kept: bool) -> None:
    organization = await sign_up(told.platform)
    query = "mutation($input: UpdateOrganizationInput!) { updateOrganization(input: $input) { revision } }"
    variables = {"input": {"organizationId": organization, "name": "traced"}}
    answer = await told.platform.post(query, variables, traceparent=sent_with)
    assert answer.json()["data"] == {"updateOrganization": {"revision": 2}}
    async with connected(told.platform.backends.database.admin) as connection:
        traces = await connection.fetch(
            "SELECT traceparent FROM event_log WHERE organization_id = $1 ORDER BY rev", organization
        )
    created, updated = (row[0] for row in traces)
    assert (updated == sent_with) is kept
    assert updated != created


async def test_with_debezium_nothing_waits_in_the_outbox(databases: Databases, servers: Endpoints) -> None:
    backends = replace(backends_on(await databases.create(), servers), delivery=Delivery(has_relay=False))
    async with (
        running_platform(backends, roles=frozenset({"api", "relay"})) as platform,
        connected(backends.database.admin) as connection,
    ):
        before = await connection.fetchval("SELECT count(*) FROM outbox")
        organization = await sign_up(platform)
        await rename(platform, organization)
        assert [event["revision"] for event in await events_of(platform, organization)] == [1, 2]
        await asyncio.sleep(0.6)  # more than two of a relay's polls: one that ran would have begun to send
        assert before > 0
        assert await connection.fetchval("SELECT count(*) FROM outbox") == before


def test_a_literal_that_looks_like_a_number_is_not_kept_as_it_is() -> None:
    """Why specversion is a column: InsertHeader would make 1 of it."""
    assert inserted("1.0") == b"1"
    assert inserted("application/json") == b"application/json"


async def sent(platform: Platform) -> None:
    async with connected(platform.backends.database.admin) as connection, asyncio.timeout(30):
        while await connection.fetchval("SELECT count(*) FROM outbox"):
            await asyncio.sleep(0.1)


async def published(kafka: str, ids: set[bytes]) -> dict[bytes, set[Message]]:
    """What lies on the broker under these ids: an event may lie there more than once."""
    found: dict[bytes, set[Message]] = {}
    async with kafka_from_the_start(kafka) as consumer, asyncio.timeout(30):
        while found.keys() != ids:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    message = message_in(record)
                    if message.headers and message.headers[0][0] == "id" and message.headers[0][1] in ids:
                        found.setdefault(message.headers[0][1], set()).add(message)
    return found


def message_in(record: ConsumerRecord) -> Message:
    headers: tuple[tuple[str, Any], ...] = tuple(record.headers)
    return Message(topic=record.topic, key=record.key, value=record.value, headers=headers)
