"""Old artifacts go, by a function alone: whoever publishes may drop what is old, and change or delete nothing else."""

from alembic import op

revision = "0010"
down_revision = "0009"

# What is served is kept whatever its age: the head refers to it.
FUNCTION = """
CREATE FUNCTION drop_old_supergraphs(kept int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE dropped int;
BEGIN
  IF kept < 10 THEN RAISE EXCEPTION 'the last ten are always kept'; END IF;
  DELETE FROM supergraph_artifacts
   WHERE version <= (SELECT max(version) FROM supergraph_artifacts) - kept
     AND version NOT IN (SELECT version FROM supergraph_head);
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END $$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION drop_old_supergraphs(int) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION drop_old_supergraphs(int) TO modplane_admin")


def downgrade() -> None:
    op.execute("DROP FUNCTION drop_old_supergraphs(int)")
