"""What the platform's own consumer keeps: dead letters that can be replayed, and who has which module."""

from alembic import op

revision = "0003"
down_revision = "0002"

# headers: JSON, [[name, value in base64 or null], ...], because a record's headers are a list and its values bytes.
DEAD_LETTERS = """
ALTER TABLE dead_event ADD COLUMN key bytea, ADD COLUMN headers bytea, ADD COLUMN value bytea,
  ADD COLUMN published_at timestamptz,
  ADD CONSTRAINT dead_event_status CHECK (status IN ('parked','replay_requested','replayed'));
CREATE INDEX dead_event_newest ON dead_event(first_at, event_id, consumer);
CREATE INDEX dead_event_unpublished ON dead_event(first_at) WHERE published_at IS NULL;
CREATE INDEX dead_event_requested ON dead_event(consumer, first_at) WHERE status = 'replay_requested';
GRANT UPDATE(status, last_at) ON dead_event TO modplane_admin;
"""

# A read model over all tenants, for the platform alone: the application's role has no right on it at all.
ADOPTION = """
CREATE TABLE module_adoption(
  organization_id uuid NOT NULL, module_id text NOT NULL, applied_rev bigint NOT NULL,
  is_assigned boolean NOT NULL, version text NOT NULL, state text NOT NULL,
  PRIMARY KEY(organization_id, module_id)) WITH (fillfactor=80);
CREATE INDEX module_adoption_module ON module_adoption(module_id, version, state) WHERE is_assigned;
ALTER TABLE module_adoption ENABLE ROW LEVEL SECURITY;
ALTER TABLE module_adoption FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON module_adoption TO modplane_admin USING (true);
CREATE POLICY relay ON module_adoption TO modplane_relay USING (true) WITH CHECK (true);
GRANT SELECT ON module_adoption TO modplane_admin;
GRANT SELECT, INSERT, UPDATE ON module_adoption TO modplane_relay;
"""


def _run(script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(statement)


def upgrade() -> None:
    _run(DEAD_LETTERS)
    _run(ADOPTION)


def downgrade() -> None:
    op.execute("DROP TABLE module_adoption")
    op.execute("REVOKE UPDATE(status, last_at) ON dead_event FROM modplane_admin")
    op.execute("DROP INDEX dead_event_newest")
    op.execute(
        "ALTER TABLE dead_event DROP CONSTRAINT dead_event_status, DROP COLUMN key, DROP COLUMN headers,"
        " DROP COLUMN value, DROP COLUMN published_at"
    )
    op.execute("DROP INDEX dead_event_requested")
