-- Run once as the database's owner, on a server with wal_level = logical. Replace the password.

CREATE ROLE modplane_debezium LOGIN REPLICATION NOSUPERUSER NOBYPASSRLS PASSWORD 'change-me';
-- For the table's columns only: row-level security is forced and gives this role no row. What the connector sends it
-- gets from the write-ahead log, which knows no policies: whoever has this login can read every tenant's events.
GRANT USAGE ON SCHEMA public TO modplane_debezium;
GRANT SELECT ON event_log TO modplane_debezium;

-- Inserts only: days are dropped by retention, and strays deleted, and neither is an event. Through the root, so that
-- a day's partition comes under the name of its parent, also one that is made later.
CREATE PUBLICATION modplane_outbox FOR TABLE event_log
  WITH (publish = 'insert', publish_via_partition_root = true);

-- A connector that stands still keeps the write-ahead log, until the disk is full and the database stops. Bound it: a
-- slot that falls further behind than this is lost, and with it what it had not read (README.md says what to do then).
-- ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';
-- SELECT pg_reload_conf();
-- Watch: SELECT slot_name, active, wal_status, safe_wal_size FROM pg_replication_slots;
