"""An event that no broker takes: set aside and told of, while everything behind it goes on."""

from uuid import UUID

from tests.live.clients import header, kafka_from_the_start, over_websocket, records_of
from tests.live.conftest import Live
from tests.live.tables import column, execute
from tests.support.stories import rename, sign_up

# What only a bug could write: two megabytes in one event. The log has it, numbered like any other.
POISON = """
WITH counted AS (UPDATE org_revision SET rev = rev + 1 WHERE organization_id = $1 RETURNING rev),
 logged AS (
  INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, payload,
                        actor, occurred_at)
  SELECT gen_random_uuid(), $1, rev, 'module.organization_updated', $1::text, 'tenant.module.organization_updated.v1',
         '', rev, jsonb_build_object('organization_id', $1::text, 'module_id', NULL, 'user_id', 'bug',
                                     'payload', jsonb_build_object('big', repeat('x', 2000000))), 'bug', now()
    FROM counted RETURNING rev, occurred_at)
INSERT INTO outbox(shard, organization_id, rev, occurred_at) SELECT 0, $1, rev, occurred_at FROM logged
"""
PARKED = "SELECT rev FROM dead_event WHERE consumer = 'relay' AND organization_id = $1"


async def test_poison_does_not_stop_the_stream(live: Live) -> None:
    organization = await sign_up(live.platform)
    async with over_websocket(live.platform, organization=organization) as subscriber:
        await execute(live.database, POISON, UUID(organization))
        await rename(live.platform, organization)
        events = await subscriber.take(2)
    # the tail shows a gap, and the log fills it: subscribers get even what Kafka would not take
    assert [event["revision"] for event in events] == [2, 3]
    async with kafka_from_the_start(live.kafka) as consumer:
        records = await records_of(consumer, organization, 2)
    assert sorted(int(header(record, "ce_rev")) for record in records) == [1, 3]
    assert await column(live.database, PARKED, UUID(organization)) == [2]
    assert await column(
        live.database, "SELECT count(*) FROM outbox WHERE organization_id = $1", UUID(organization)
    ) == [0]
