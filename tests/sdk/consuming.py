"""A consumer of a module's, what it notes of the events that it applies, and records for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer
from modplane_sdk.consumer import EventConsumer
from modplane_sdk.events import Event, Subscriptions
from modplane_sdk.inbox import PostgresInbox
from sqlalchemy import URL

from tests.live.records import body, genuine
from tests.support.platform import Platform

MODULE = "consuming"
ASSIGNED = "tenant.module.assigned"
UNASSIGNED = "tenant.module.unassigned"
APPLIED = "CREATE TABLE billing_applied (handler text, event uuid, organization uuid, revision bigint)"


@dataclass
class World:
    """A platform whose events flow, a database of the module's own, and a consumer that runs."""

    platform: Platform
    kafka: str
    pool: asyncpg.Pool

    async def applied(self, organization: str, handler: str = "keep") -> list[int]:
        """The revisions that a handler has applied, in order."""
        rows = await self.pool.fetch(
            "SELECT revision FROM billing_applied WHERE organization = $1 AND handler = $2 ORDER BY ctid",
            organization,
            handler,
        )
        return [row["revision"] for row in rows]


def dsn(database: URL) -> str:
    """As asyncpg takes it."""
    return database.set(drivername="postgresql").render_as_string(hide_password=False)


def make_subscriptions() -> Subscriptions:
    subscriptions = Subscriptions()

    @subscriptions.subscribe(ASSIGNED, UNASSIGNED)
    async def keep(event: Event, connection: asyncpg.Connection) -> None:
        await note("keep", event, connection)
        if event.actor == "poison":
            raise RuntimeError("cannot be applied")
        if event.actor == "shaky" and event.id not in failed:
            failed.add(event.id)
            raise ConnectionError("just once")

    @subscriptions.subscribe(ASSIGNED, is_state=False)
    async def count(event: Event, connection: asyncpg.Connection) -> None:
        await note("count", event, connection)

    failed: set[str] = set()
    return subscriptions


async def note(handler: str, event: Event, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO billing_applied VALUES ($1, $2, $3, $4)",
        handler,
        event.id,
        event.organization_id,
        event.revision,
    )


@asynccontextmanager
async def consuming(kafka: str, pool: asyncpg.Pool, module: str = MODULE) -> AsyncIterator["asyncio.Task[None]"]:
    consumer = EventConsumer(module, make_subscriptions(), kafka, PostgresInbox(pool, prefix="billing_"))
    task = asyncio.create_task(consumer.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=25)
        assert task.cancelled()


def record(
    organization: str, revision: int, *, actor: str = "tester", module: str = MODULE, **more: bytes
) -> tuple[dict[str, bytes | None], bytes]:
    headers = genuine(organization, ce_rev=str(revision).encode(), **more)
    assignment = {"module": module, "state": "ACTIVE", "config": {}}
    return headers, body(module_id=module, user_id=actor, payload={"assignment": assignment, "is_assigned": True})


async def dead_letter(kafka: str, is_it: Callable[[Any], bool], module: str = MODULE) -> tuple[dict[str, bytes], Any]:
    """Headers and value of the module's first dead letter that is the one, once it is there."""
    consumer = AIOKafkaConsumer(f"{module}.dlq", bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            while True:
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    for each in filter(is_it, records):
                        return dict(each.headers), each.value
    finally:
        await consumer.stop()
