"""Facts as event log and outbox take them, in the transaction of what they tell. Never sends a statement."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from events.envelope import dataschema_of, source_of, time_text
from events.facts import Fact
from models.ids import new_id

FACTS = """
SELECT * FROM jsonb_to_recordset($1::jsonb) AS f(
  ordinal int, id uuid, organization_id uuid, rev bigint, aggregatetype text, type text, subject text,
  modules text[], company_id uuid, payload jsonb, source text, dataschema text)
"""
LOG = """
INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, modules,
                      company_id, payload, source, dataschema, traceparent, actor, time, occurred_at)
SELECT id, organization_id, rev, aggregatetype, organization_id::text, type, subject, rev, modules, company_id,
       payload, source, dataschema, $2, $3, $4, $5::timestamptz FROM facts ORDER BY ordinal
"""
# The slot is the id's last byte, which is random: the same for an organization for ever, whatever the number of relays.
# Relays divide the slots among themselves, so that changing their number moves no row that waits.
SLOT = "get_byte(uuid_send(organization_id), 15) % 64"
QUEUE = f"""
INSERT INTO outbox(shard, organization_id, rev, occurred_at)
SELECT {SLOT}, organization_id, rev, $5::timestamptz FROM facts ORDER BY ordinal
"""
# Parts of a statement, by the names they need: two inserts for any number of facts. The outbox rows follow in the order
# of the list, and seq with them. $1 to $5 are `parameters_of`.
PARTS = (("facts", FACTS), ("logged", LOG))
PARTS_WITH_QUEUE = (*PARTS, ("queued", QUEUE))


def parameters_of(facts: Sequence[Fact], *, actor: str, traceparent: str) -> tuple[object, ...]:
    """Time is the writer's clock: order never depends on it."""
    now = datetime.now(UTC)
    records = [_record(ordinal, fact, actor) for ordinal, fact in enumerate(facts)]
    text = orjson.dumps(records, default=str).decode()  # the driver's UUIDs are not the plain ones
    return text, traceparent, actor, time_text(now), now


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
