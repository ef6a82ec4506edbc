"""What the versions of modules bring into the graph, and the graphs composed of it: artifacts that never change."""

from alembic import op

revision = "0007"
down_revision = "0006"

# The bookkeeping of leases is no change of the version: it moves neither revision nor updated_at.
SUBGRAPHS = """
CREATE TABLE subgraph_versions(
  id uuid PRIMARY KEY, module_id text NOT NULL, version text NOT NULL,
  sdl text NOT NULL, sdl_sha256 bytea NOT NULL, stamped_sdl text, routing_url text NOT NULL,
  state text NOT NULL CHECK (state IN
    ('CHECKING','FAILED','NEEDS_APPROVAL','CHECKED','ACTIVATING','ACTIVE','RETIRING','RETIRED')),
  findings jsonb NOT NULL DEFAULT '[]', changes jsonb NOT NULL DEFAULT '[]',
  requested_by text NOT NULL, approved_by text, approval_reason text, asked_by text NOT NULL, activated_at timestamptz,
  revision bigint NOT NULL, lease_id uuid, lease_until timestamptz, attempts int NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE(module_id, version),
  FOREIGN KEY(module_id, version) REFERENCES module_versions(module_id, number),
  CHECK (stamped_sdl IS NOT NULL OR state IN ('CHECKING','FAILED')))
"""
# At most one version of a module is in the graph, whatever our code thinks.
IN_GRAPH = (
    "CREATE UNIQUE INDEX subgraph_versions_in_graph ON subgraph_versions(module_id)"
    " WHERE state IN ('ACTIVE','RETIRING')"
)
WAITING = (
    "CREATE INDEX subgraph_versions_waiting ON subgraph_versions(revision)"
    " WHERE state IN ('CHECKING','ACTIVATING','RETIRING')"
)
ARTIFACTS = """
CREATE TABLE supergraph_artifacts(
  version int PRIMARY KEY CHECK (version > 0), sdl text NOT NULL, public_sdl text NOT NULL, sha256 bytea NOT NULL,
  contracts jsonb NOT NULL, composer text NOT NULL, inputs jsonb NOT NULL, platform_sdl text NOT NULL,
  revision bigint NOT NULL, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())
"""
HEAD = """
CREATE TABLE supergraph_head(
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), version int NOT NULL REFERENCES supergraph_artifacts,
  revision bigint NOT NULL, moved_by text NOT NULL, moved_at timestamptz NOT NULL DEFAULT now())
"""
TABLES = "subgraph_versions, supergraph_artifacts, supergraph_head"


def upgrade() -> None:
    for statement in (SUBGRAPHS, IN_GRAPH, WAITING, ARTIFACTS, HEAD):
        op.execute(statement)
    op.execute(f"GRANT SELECT ON {TABLES} TO modplane_app")
    op.execute("GRANT SELECT, INSERT, UPDATE ON subgraph_versions, supergraph_head TO modplane_admin")
    op.execute("GRANT SELECT, INSERT ON supergraph_artifacts TO modplane_admin")


def downgrade() -> None:
    for table in ("supergraph_head", "supergraph_artifacts", "subgraph_versions"):
        op.execute(f"DROP TABLE {table}")
