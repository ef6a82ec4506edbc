"""Records put on a topic by hand, as anybody may, and what became of them."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from sqlalchemy import URL

from events.types import EventType
from tests.live.tables import column

TOPIC = EventType.ASSIGNED.topic
Headers = dict[str, bytes | None]
Record = tuple[Headers, bytes | None]


def genuine(organization: str, **more: bytes | None) -> Headers:
    """Headers as the relay writes them."""
    return {
        "ce_id": str(uuid4()).encode(),
        "ce_organizationid": organization.encode(),
        "ce_rev": b"2",
        "ce_type": b"tenant.module.assigned.v1",
        "ce_time": b"2026-01-01T00:00:00Z",
        **more,
    }


def body(**more: object) -> bytes:
    document = {"organization_id": None, "module_id": "hr", "user_id": "stranger", "payload": {}, **more}
    return json.dumps(document).encode()


def assigned(organization: str, module: str, rev: int, **more: Any) -> Record:
    """An event as the relay would write it today, about one module."""
    now = datetime.now(UTC).isoformat().encode()
    assignment = {"module": module, "version": "1.0.0", "state": "ACTIVE", **more}
    headers = genuine(organization, ce_rev=str(rev).encode(), ce_time=now)
    return headers, body(module_id=module, payload={"assignment": assignment, "is_assigned": True})


async def put(
    kafka: str, *records: tuple[Headers, bytes | None], topic: str = TOPIC, key: bytes | None = b"by hand"
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        sent = [
            await producer.send(topic, value=value, key=key, headers=list(headers.items()))
            for headers, value in records
        ]
        await asyncio.gather(*sent)


async def texts(database: URL, query: str, *arguments: object) -> list[str]:
    """The first column of an answer that is text."""
    return [str(each) for each in await column(database, query, *arguments)]


ADOPTED = "SELECT module_id FROM module_adoption WHERE organization_id::text = $1 ORDER BY module_id"


async def adopted(database: URL, organization: str, *, until: str, seconds: float = 40) -> list[str]:
    """The modules that the read model has for an organization, once one of them is there."""
    async with asyncio.timeout(seconds):
        while until not in (found := await texts(database, ADOPTED, organization)):
            await asyncio.sleep(0.1)
    return found
