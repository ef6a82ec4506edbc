"""Revoked tokens: insert-only, one row per revocation, so that the table also says who revoked what and when."""

from alembic import op

revision = "0005"
down_revision = "0004"

# No key over the subject: a token may say more of its bearer than an index entry can hold.
TABLE = """
CREATE TABLE token_revocations(
  organization_id uuid NOT NULL, id uuid NOT NULL, subject text NOT NULL, not_before timestamptz NOT NULL,
  revoked_by text NOT NULL, revoked_at timestamptz NOT NULL, PRIMARY KEY(organization_id, id))
"""

# nullif: after the first use in a session an unset setting reads '' and not NULL. The sub-select runs once per query.
OWN_ROWS = "organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid)"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX token_revocations_time ON token_revocations(revoked_at)")
    op.execute("ALTER TABLE token_revocations ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE token_revocations FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON token_revocations TO modplane_app USING ({OWN_ROWS}) WITH CHECK ({OWN_ROWS})")
    op.execute("CREATE POLICY platform ON token_revocations TO modplane_admin USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, INSERT ON token_revocations TO modplane_app")
    op.execute("GRANT SELECT, INSERT, DELETE ON token_revocations TO modplane_admin")


def downgrade() -> None:
    op.execute("DROP TABLE token_revocations")
