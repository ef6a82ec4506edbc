"""Writing facts: event log and outbox, in the caller's transaction. Never commits."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from events.envelope import dataschema_of, source_of, time_text
from events.facts import Fact
from models.ids import new_id

FACTS = """
SELECT * FROM jsonb_to_recordset(cast(:facts AS jsonb)) AS f(
  ordinal int, id uuid, organization_id uuid, rev bigint, aggregatetype text, type text, subject text,
  modules text[], company_id uuid, payload jsonb, source text, dataschema text)
"""
LOG = """
INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, modules,
                      company_id, payload, source, dataschema, traceparent, actor, time, occurred_at)
SELECT id, organization_id, rev, aggregatetype, organization_id::text, type, subject, rev, modules, company_id,
       payload, source, dataschema, :traceparent, :actor, :time, :occurred_at FROM facts ORDER BY ordinal
"""
# The slot is the id's last byte, which is random: the same for an organization for ever, whatever the number of relays.
# Relays divide the slots among themselves, so that changing their number moves no row that waits.
QUEUE = """
INSERT INTO outbox(shard, organization_id, rev, occurred_at)
SELECT get_byte(uuid_send(organization_id), 15) % 64, organization_id, rev, :occurred_at FROM facts ORDER BY ordinal
"""
# Two inserts for any number of facts. The outbox rows follow in the order of the list, and seq with them.
APPEND_AND_QUEUE = text(f"WITH facts AS ({FACTS}), logged AS ({LOG}) {QUEUE}")
APPEND = text(f"WITH facts AS ({FACTS}) {LOG}")


async def append_facts(
    session: AsyncSession, facts: Sequence[Fact], *, actor: str, traceparent: str, has_relay: bool = True
) -> None:
    """Log the facts, and queue them for the relay if there is one: otherwise Debezium reads the log itself.

    Time is the writer's clock: order never depends on it.
    """
    if not facts:
        return
    records = [_record(ordinal, fact, actor) for ordinal, fact in enumerate(facts)]
    now = datetime.now(UTC)
    await session.execute(
        APPEND_AND_QUEUE if has_relay else APPEND,
        {
            "facts": orjson.dumps(records, default=str).decode(),  # the driver's UUIDs are not the plain ones
            "actor": actor,
            "traceparent": traceparent,
            "time": time_text(now),
            "occurred_at": now,
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
        "subject": fact.subject,
        "modules": list(fact.modules),
        "company_id": fact.company_id,
        "payload": fact.body(actor),
        "source": source_of(fact.organization_id),
        "dataschema": dataschema_of(fact.type.cloud_event_type),
    }
