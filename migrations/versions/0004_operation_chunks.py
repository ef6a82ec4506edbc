"""Chunks of an operation: what a worker leases, and does in one transaction."""

from alembic import op

revision = "0004"
down_revision = "0003"

CHUNKS = """
CREATE TABLE operation_chunks(
  organization_id uuid NOT NULL, operation_id uuid NOT NULL, number int NOT NULL,
  members uuid[] NOT NULL CHECK (cardinality(members) > 0),
  status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING','RUNNING','DONE')),
  lease_id uuid, lease_until timestamptz, attempts int NOT NULL DEFAULT 0, failed int NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz,
  PRIMARY KEY(organization_id, operation_id, number),
  FOREIGN KEY(organization_id, operation_id) REFERENCES operations)
"""
OPEN = "CREATE INDEX operation_chunks_open ON operation_chunks(organization_id, operation_id) WHERE status <> 'DONE'"
OWN_ROWS = "organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid)"

# What knows no chunks does such an operation again from the first organization on: given modules stay as they are.
BEGIN_AGAIN = """
UPDATE operations SET lease_until = NULL, position = NULL, done = 0, failed = 0, errors = '[]'
 WHERE status = 'RUNNING' AND lease_until = 'infinity'
"""


def upgrade() -> None:
    op.execute(CHUNKS)
    op.execute(OPEN)
    op.execute("ALTER TABLE operation_chunks ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE operation_chunks FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON operation_chunks TO modplane_app USING ({OWN_ROWS}) WITH CHECK ({OWN_ROWS})")
    op.execute("CREATE POLICY platform ON operation_chunks TO modplane_admin USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT ON operation_chunks TO modplane_app")
    op.execute("GRANT SELECT, INSERT, UPDATE ON operation_chunks TO modplane_admin")


def downgrade() -> None:
    op.execute("DROP TABLE operation_chunks")
    # the owner is behind the wall too while row-level security is forced
    op.execute("ALTER TABLE operations NO FORCE ROW LEVEL SECURITY")
    op.execute(BEGIN_AGAIN)
    op.execute("ALTER TABLE operations FORCE ROW LEVEL SECURITY")
