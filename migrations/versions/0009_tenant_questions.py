"""Questions of many tenants in one statement, each answered as the tenant that asks it.

A function goes through the questions one by one, and before each sets whose rows may be seen: what a tenant sees is
row-level security's to decide, as if it had asked alone. `n` is the question's place. The functions change nothing, and
are STABLE: all that one call reads is of one snapshot.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

FUNCTION = """
CREATE FUNCTION {name}({parameters}) RETURNS TABLE({columns})
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  FOR n IN 1 .. coalesce(array_length(tenants, 1), 0) LOOP
    PERFORM set_config('app.organization_id', tenants[n]::text, true);
    {body}
  END LOOP;
END $$
"""

ORGANIZATIONS = FUNCTION.format(
    name="tenants_organizations",
    parameters="tenants uuid[]",
    columns="n int, organization_id uuid, name text, industry_code text, plan text, rev bigint",
    body="""
    RETURN QUERY SELECT n, o.organization_id, o.name, o.industry_code, o.plan, r.rev
      FROM organizations o JOIN org_revision r USING (organization_id) WHERE o.organization_id = tenants[n];""",
)

# INTERNAL modules are nothing that a tenant sees; of a deleted one a row may be left until the worker has been there.
SEEN = "module_registry m USING (module_id) WHERE t.organization_id = tenants[n] AND m.deleted_at IS NULL"
SEEN += " AND m.tier <> 'INTERNAL'"

ASSIGNMENTS = FUNCTION.format(
    name="tenants_assignments",
    parameters="tenants uuid[]",
    columns="n int, organization_id uuid, module_id text, version text, state text, is_required boolean,"
    " is_requested boolean, configuration jsonb, enabled_features text[], disabled_features text[], revision bigint,"
    " assigned_at timestamptz, assigned_by text",
    body=f"""
    RETURN QUERY SELECT n, t.organization_id, t.module_id, t.version, t.state, t.is_required, t.is_requested,
        t.configuration, t.enabled_features, t.disabled_features, t.revision, t.assigned_at, t.assigned_by
      FROM tenant_modules t JOIN {SEEN} ORDER BY t.module_id;""",
)

COMPANIES = FUNCTION.format(
    name="tenants_companies",
    parameters="tenants uuid[], afters uuid[], onlies uuid[], sizes int[]",
    columns="n int, organization_id uuid, id uuid, name text",
    body="""
    RETURN QUERY SELECT n, c.organization_id, c.id, c.name FROM companies c
      WHERE c.organization_id = tenants[n] AND (afters[n] IS NULL OR c.id > afters[n])
        AND (onlies[n] IS NULL OR c.id = onlies[n]) ORDER BY c.id LIMIT sizes[n];""",
)

# Without a company the organization's layers of its modules; with one what it overrides, and a row without a module so
# that one can tell that there is such a company. Provenance is text: it is seldom asked for.
LAYERS = FUNCTION.format(
    name="tenants_config_layers",
    parameters="tenants uuid[], modules text[], companies uuid[]",
    columns="n int, module_id text, version text, industry_config jsonb, industry_source text, configuration jsonb,"
    " config_sources text, config_revision bigint",
    body=f"""
    IF companies[n] IS NULL THEN
      RETURN QUERY SELECT n, t.module_id, t.version, t.industry_config, t.industry_source::text, t.configuration,
          t.config_sources::text, t.config_revision
        FROM tenant_modules t JOIN {SEEN} AND (modules[n] IS NULL OR t.module_id = modules[n]) ORDER BY t.module_id;
    ELSE
      RETURN QUERY SELECT n, c.module_id, NULL::text, NULL::jsonb, NULL::text, c.configuration,
          c.config_sources::text, c.revision
        FROM companies o LEFT JOIN company_modules c ON c.organization_id = o.organization_id AND c.company_id = o.id
          AND (modules[n] IS NULL OR c.module_id = modules[n])
        WHERE o.organization_id = tenants[n] AND o.id = companies[n];
    END IF;""",
)

SIGNATURES = (
    "tenants_organizations(uuid[])",
    "tenants_assignments(uuid[])",
    "tenants_companies(uuid[], uuid[], uuid[], int[])",
    "tenants_config_layers(uuid[], text[], uuid[])",
)


def upgrade() -> None:
    for statement in (ORGANIZATIONS, ASSIGNMENTS, COMPANIES, LAYERS):
        op.execute(statement)
    for signature in SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO modplane_app")


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
