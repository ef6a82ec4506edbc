"""How a tenant's transaction begins, in one statement: whose it is, its locks, and what planning has to know.

VOLATILE, so that each statement inside reads anew: what comes after the lock is what was committed before it. With the
caller's rights: what it may see and lock is row-level security's to decide.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

# All is null but the registry's revision when the tenant sees no such organization. `assigned`: from a module's code to
# version and state. `claimed` is null when there is no key, or the key is this request's from now on; else it is the
# hash of the request that had it before, and `response` what that was answered.
OPEN_TENANT = """
CREATE FUNCTION open_tenant(tenant uuid, claim text, hash bytea, OUT plan text, OUT revision bigint, OUT rev bigint,
  OUT registry_rev bigint, OUT assigned text, OUT claimed bytea, OUT response jsonb)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM set_config('app.organization_id', tenant::text, true);
  PERFORM pg_advisory_xact_lock_shared(hashtext('modplane.registry'));
  SELECT r.rev INTO open_tenant.registry_rev FROM registry_revision r;
  SELECT o.plan, o.revision INTO open_tenant.plan, open_tenant.revision FROM organizations o
   WHERE o.organization_id = tenant FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT r.rev INTO open_tenant.rev FROM org_revision r WHERE r.organization_id = tenant;
  SELECT json_object_agg(t.module_id, json_build_array(t.version, t.state)) INTO open_tenant.assigned
    FROM tenant_modules t WHERE t.organization_id = tenant;
  WHILE claim IS NOT NULL LOOP
    INSERT INTO idempotency_key(organization_id, key, request_hash) VALUES (tenant, claim, hash)
        ON CONFLICT (organization_id, key) DO NOTHING;
    EXIT WHEN FOUND;
    SELECT k.request_hash, k.response INTO open_tenant.claimed, open_tenant.response FROM idempotency_key k
     WHERE k.organization_id = tenant AND k.key = claim;
    EXIT WHEN FOUND;  -- else retention has deleted it between the two
  END LOOP;
END $$
"""
SIGNATURE = "open_tenant(uuid, text, bytea)"


def upgrade() -> None:
    op.execute(OPEN_TENANT)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO modplane_app")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
