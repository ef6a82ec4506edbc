"""Events as Debezium's router reads them, slots of the outbox, and an end to what is kept."""

from alembic import op

revision = "0002"
down_revision = "0001"

# specversion is a column because Kafka Connect's InsertHeader reads a literal "1.0" as the number 1.
COLUMNS = """
ALTER TABLE event_log ADD COLUMN specversion text NOT NULL DEFAULT '1.0', ADD COLUMN source text,
  ADD COLUMN time text, ADD COLUMN dataschema text;
DROP INDEX outbox_order;
CREATE INDEX idempotency_key_created ON idempotency_key(created_at);
"""

# Row-level security is forced, and holds for the owner too: without NO FORCE there would be no row to fill.
BACKFILL = """
ALTER TABLE event_log NO FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY;
UPDATE event_log SET source = '/organizations/' || organization_id,
  time = to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  dataschema = 'https://modplane.dev/schemas/events/' || type || '.json',
  subject = coalesce(nullif(subject, ''), payload -> 'payload' -> 'industry' ->> 'code', company_id::text,
                     organization_id::text);
UPDATE outbox SET shard = get_byte(uuid_send(organization_id), 15) % 64;
ALTER TABLE event_log FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
"""

# One day at a time, because a lock on the parent is held to the end of the transaction; and waiting for it no longer
# than this, because writers queue up behind whoever waits. DETACH CONCURRENTLY would not lock writers out, but runs
# neither inside a function nor beside a default partition.
DROP_DAY = """
CREATE FUNCTION drop_event_day(parent text, kept_from timestamptz) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE leaf text;
BEGIN
  IF parent NOT IN ('event_log', 'inbox') THEN RAISE EXCEPTION 'no event table %', parent; END IF;
  IF kept_from > now() - interval '1 day' THEN RAISE EXCEPTION 'the last day is always kept'; END IF;
  SELECT c.relname INTO leaf FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
   WHERE i.inhparent = parent::regclass AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
     AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= kept_from
   ORDER BY c.relname LIMIT 1;
  IF leaf IS NOT NULL THEN EXECUTE format('DROP TABLE %I', leaf); END IF;
  RETURN leaf;
END $$
"""

DELETE_STRAYS = """
CREATE FUNCTION delete_stray_events(parent text, kept_from timestamptz, batch int) RETURNS int LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE leaf text := parent || '_default'; deleted int;
BEGIN
  IF parent NOT IN ('event_log', 'inbox') THEN RAISE EXCEPTION 'no event table %', parent; END IF;
  IF kept_from > now() - interval '1 day' THEN RAISE EXCEPTION 'the last day is always kept'; END IF;
  EXECUTE format('DELETE FROM %I WHERE ctid = ANY(ARRAY(SELECT ctid FROM %I WHERE occurred_at < $1 LIMIT $2))',
                 leaf, leaf) USING kept_from, batch;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN deleted;
END $$
"""

RIGHTS = """
REVOKE ALL ON FUNCTION drop_event_day(text, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION delete_stray_events(text, timestamptz, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_event_day(text, timestamptz) TO modplane_relay;
GRANT EXECUTE ON FUNCTION delete_stray_events(text, timestamptz, int) TO modplane_relay;
GRANT SELECT (organization_id, key, created_at), DELETE ON idempotency_key TO modplane_relay;
CREATE POLICY relay ON idempotency_key TO modplane_relay USING (true);
"""

UNDO = """
DROP POLICY relay ON idempotency_key;
REVOKE SELECT (organization_id, key, created_at), DELETE ON idempotency_key FROM modplane_relay;
DROP FUNCTION delete_stray_events(text, timestamptz, int);
DROP FUNCTION drop_event_day(text, timestamptz);
DROP INDEX idempotency_key_created;
CREATE INDEX outbox_order ON outbox(shard, seq);
ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY;
UPDATE outbox SET shard = 0;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE event_log DROP COLUMN dataschema, DROP COLUMN time, DROP COLUMN source, DROP COLUMN specversion;
"""


def _run(script: str) -> None:
    """Statement by statement: the driver prepares each one, and a prepared statement is a single one."""
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(statement)


def upgrade() -> None:
    _run(COLUMNS)
    _run(BACKFILL)
    op.execute(DROP_DAY)
    op.execute(DELETE_STRAYS)
    _run(RIGHTS)


def downgrade() -> None:
    _run(UNDO)
