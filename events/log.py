"""Writing facts: event log and outbox, in the caller's transaction. Never commits."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from events.facts import Fact
from models.ids import new_id

SHARDS = 1

# Two inserts for any number of facts. The outbox rows follow in the order of the list, and seq with them.
APPEND = text("""
WITH facts AS (
  SELECT * FROM jsonb_to_recordset(cast(:facts AS jsonb)) AS f(
    ordinal int, id uuid, organization_id uuid, rev bigint, aggregatetype text, type text, subject text,
    modules text[], company_id uuid, payload jsonb)),
 logged AS (
  INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, modules,
                        company_id, payload, traceparent, actor, occurred_at)
  SELECT id, organization_id, rev, aggregatetype, organization_id::text, type, subject, rev, modules, company_id,
         payload, :traceparent, :actor, :occurred_at FROM facts ORDER BY ordinal)
INSERT INTO outbox(shard, organization_id, rev, occurred_at)
SELECT 0, organization_id, rev, :occurred_at FROM facts ORDER BY ordinal
""")


async def append_facts(session: AsyncSession, facts: Sequence[Fact], *, actor: str, traceparent: str | None) -> None:
    """Log the facts and queue them for the relay. Time is the writer's clock: order never depends on it."""
    if not facts:
        return
    records = [_record(ordinal, fact, actor) for ordinal, fact in enumerate(facts)]
    await session.execute(
        APPEND,
        {
            "facts": orjson.dumps(records, default=str).decode(),  # the driver's UUIDs are not the plain ones
            "actor": actor,
            "traceparent": traceparent,
            "occurred_at": datetime.now(UTC),
        },
    )


def _record(ordinal: int, fact: Fact, actor: str) -> dict[str, Any]:
    return {
        "ordinal": ordinal,
        "id": new_id(),
        "organization_id": fact.organization_id,
        "rev": fact.revision,
        "aggregatetype": fact.type.value,
        "type": fact.type.cloud_event_type,
        "subject": fact.module or "",
        "modules": list(fact.modules),
        "company_id": fact.company_id,
        "payload": fact.body(actor),
    }
