"""API keys of modules' services. Not a tenant's: only the platform's role may read them, or write."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLE = """
CREATE TABLE module_api_keys(
  id uuid PRIMARY KEY, module_id text NOT NULL REFERENCES module_registry, name text NOT NULL,
  secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
  created_by text NOT NULL, created_at timestamptz NOT NULL, expires_at timestamptz, last_used_at timestamptz,
  revoked_by text, revoked_at timestamptz)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX module_api_keys_module ON module_api_keys(module_id)")
    op.execute("GRANT SELECT, INSERT, UPDATE ON module_api_keys TO modplane_admin")


def downgrade() -> None:
    op.execute("DROP TABLE module_api_keys")
