"""The registry's revision, readable by everybody like the registry: whether what a process has in memory is so now.

The counter of the platform's stream says the same, but stands in a table of tenants, behind their wall.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLE = "CREATE TABLE registry_revision(is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), rev bigint NOT NULL)"
FILL = (
    "INSERT INTO registry_revision(rev)"
    " SELECT rev FROM org_revision WHERE organization_id = '00000000-0000-0000-0000-000000000000'"
)


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(FILL)
    op.execute("GRANT SELECT ON registry_revision TO modplane_app")
    op.execute("GRANT SELECT, UPDATE ON registry_revision TO modplane_admin")


def downgrade() -> None:
    op.execute("DROP TABLE registry_revision")
