"""Registry, industries, organizations, assignments, events; row-level security from the first row on."""

from alembic import op

revision = "0001"
down_revision = None

REGISTRY = """
CREATE TABLE module_registry(
  module_id text PRIMARY KEY CHECK (module_id ~ '^[a-z][a-z0-9-]{1,62}$'),
  module_name text NOT NULL, description text NOT NULL, category text NOT NULL, tags text[] NOT NULL DEFAULT '{}',
  tier text NOT NULL CHECK (tier IN ('CORE','OPTIONAL','INTERNAL')),
  visibility text NOT NULL CHECK (visibility IN ('PUBLIC','SHARED','PRIVATE')),
  is_active boolean NOT NULL DEFAULT true, service_name text, api_endpoint text, version text NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}', revision bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz);
CREATE TABLE module_versions(
  module_id text NOT NULL REFERENCES module_registry, number text NOT NULL,
  manifest jsonb NOT NULL, content_hash bytea NOT NULL, config_schema jsonb, default_config jsonb NOT NULL,
  requirements jsonb NOT NULL, permissions text[] NOT NULL, features text[] NOT NULL, required_plan text,
  revision bigint NOT NULL, published_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY(module_id, number));
CREATE TABLE industry_templates(
  id uuid PRIMARY KEY, industry_code text NOT NULL, industry_name text NOT NULL, description text NOT NULL,
  is_active boolean NOT NULL DEFAULT true, revision bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz);
CREATE UNIQUE INDEX industry_templates_code ON industry_templates(industry_code) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX industry_templates_name ON industry_templates(industry_name) WHERE deleted_at IS NULL;
CREATE TABLE industry_module_templates(
  template_id uuid NOT NULL REFERENCES industry_templates, module_id text NOT NULL REFERENCES module_registry,
  is_required boolean NOT NULL DEFAULT false, default_config jsonb NOT NULL DEFAULT '{}', display_order int NOT NULL,
  PRIMARY KEY(template_id, module_id));
CREATE INDEX industry_module_templates_module ON industry_module_templates(module_id);
"""

TENANTS = """
CREATE TABLE organizations(
  organization_id uuid PRIMARY KEY, name text NOT NULL, industry_code text, industry_name text,
  plan text NOT NULL, revision bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX organizations_industry ON organizations(industry_code, organization_id);
CREATE TABLE companies(
  organization_id uuid NOT NULL REFERENCES organizations, id uuid NOT NULL, name text NOT NULL,
  revision bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY(organization_id, id));
-- not unique: a unique key over all tenants would be an oracle, and ids are ours, random and sortable
CREATE INDEX companies_id ON companies(id);
CREATE TABLE tenant_modules(
  organization_id uuid NOT NULL REFERENCES organizations, module_id text NOT NULL REFERENCES module_registry,
  version text NOT NULL,
  state text NOT NULL CHECK (state IN ('INSTALLED','ACTIVE','SUSPENDED','UPDATING','FAILED')),
  is_required boolean NOT NULL DEFAULT false, is_requested boolean NOT NULL DEFAULT true,
  industry_code text, industry_config jsonb NOT NULL DEFAULT '{}',
  industry_source jsonb NOT NULL DEFAULT '{}', configuration jsonb NOT NULL DEFAULT '{}',
  config_sources jsonb NOT NULL DEFAULT '{}', config_revision bigint NOT NULL,
  enabled_features text[] NOT NULL DEFAULT '{}', disabled_features text[] NOT NULL DEFAULT '{}',
  revision bigint NOT NULL, assigned_at timestamptz NOT NULL DEFAULT now(), assigned_by text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY(organization_id, module_id),
  FOREIGN KEY(module_id, version) REFERENCES module_versions(module_id, number));
CREATE INDEX tenant_modules_module ON tenant_modules(module_id, organization_id);
CREATE TABLE company_modules(
  organization_id uuid NOT NULL, company_id uuid NOT NULL, module_id text NOT NULL,
  is_enabled boolean NOT NULL DEFAULT true, configuration jsonb NOT NULL DEFAULT '{}',
  config_sources jsonb NOT NULL DEFAULT '{}',
  enabled_features text[] NOT NULL DEFAULT '{}', disabled_features text[] NOT NULL DEFAULT '{}',
  revision bigint NOT NULL, customized_at timestamptz NOT NULL DEFAULT now(), customized_by text NOT NULL,
  PRIMARY KEY(organization_id, company_id, module_id),
  FOREIGN KEY(organization_id, company_id) REFERENCES companies,
  -- what a company overrides goes when the organization gives the module up; config_revisions keeps the history
  FOREIGN KEY(organization_id, module_id) REFERENCES tenant_modules ON DELETE CASCADE);
CREATE INDEX company_modules_module ON company_modules(organization_id, module_id);
CREATE TABLE config_revisions(
  organization_id uuid NOT NULL, module_id text NOT NULL, company_id uuid NOT NULL, revision bigint NOT NULL,
  configuration jsonb NOT NULL, reason text, set_by text NOT NULL, set_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY(organization_id, module_id, company_id, revision));
CREATE TABLE operations(
  organization_id uuid NOT NULL, id uuid NOT NULL, kind text NOT NULL,
  status text NOT NULL CHECK (status IN ('PENDING','RUNNING','SUCCEEDED','PARTIALLY_SUCCEEDED','FAILED','CANCELLED')),
  request jsonb NOT NULL, requested_by text NOT NULL, done int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0, total int NOT NULL,
  position uuid, errors jsonb NOT NULL DEFAULT '[]', lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(), started_at timestamptz, finished_at timestamptz,
  PRIMARY KEY(organization_id, id));
CREATE INDEX operations_open ON operations(created_at) WHERE status IN ('PENDING','RUNNING');
"""

EVENTS = """
CREATE TABLE org_revision(organization_id uuid PRIMARY KEY, rev bigint NOT NULL DEFAULT 0) WITH (fillfactor=50);
CREATE TABLE event_log(
  id uuid NOT NULL, organization_id uuid NOT NULL, rev bigint NOT NULL, aggregatetype text NOT NULL,
  aggregateid text NOT NULL, type text NOT NULL, subject text NOT NULL, subject_rev bigint NOT NULL,
  modules text[] NOT NULL DEFAULT '{}', company_id uuid,
  payload jsonb NOT NULL, traceparent text, actor text, occurred_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY(organization_id, rev, occurred_at)) PARTITION BY RANGE(occurred_at);
CREATE INDEX event_log_time ON event_log(occurred_at, organization_id, rev);
CREATE TABLE outbox(
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shard smallint NOT NULL, organization_id uuid NOT NULL,
  rev bigint NOT NULL, occurred_at timestamptz NOT NULL, attempts int NOT NULL DEFAULT 0)
  WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0);
CREATE INDEX outbox_order ON outbox(shard, seq);
CREATE TABLE inbox(consumer text NOT NULL, event_id uuid NOT NULL, occurred_at timestamptz NOT NULL,
  PRIMARY KEY(consumer, event_id, occurred_at)) PARTITION BY RANGE(occurred_at);
CREATE TABLE dead_event(
  consumer text NOT NULL, event_id uuid NOT NULL, organization_id uuid, rev bigint, topic text, partition int,
  "offset" bigint, error_class text, error_text text, attempts int NOT NULL, first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL, status text NOT NULL, PRIMARY KEY(consumer, event_id));
CREATE TABLE idempotency_key(
  organization_id uuid NOT NULL, key text NOT NULL, request_hash bytea NOT NULL, response jsonb,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY(organization_id, key));
CREATE TABLE event_log_default PARTITION OF event_log DEFAULT;
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;
INSERT INTO org_revision(organization_id, rev) VALUES ('00000000-0000-0000-0000-000000000000', 0);
"""

# Day partitions are made ahead of time by whoever runs the relay, which may not create tables itself. A day that
# already has rows in the default partition stays there: nothing is ever refused for want of a partition.
PARTITIONS = """
CREATE FUNCTION ensure_event_partitions(days_ahead int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE parent text; day date; leaf text; made int := 0;
BEGIN
  IF days_ahead NOT BETWEEN 0 AND 31 THEN RAISE EXCEPTION 'days_ahead must be 0 to 31'; END IF;
  PERFORM pg_advisory_xact_lock(hashtext('modplane.event_partitions'));
  FOREACH parent IN ARRAY ARRAY['event_log', 'inbox'] LOOP
    FOR i IN 0..days_ahead LOOP
      day := (now() AT TIME ZONE 'UTC')::date + i;
      leaf := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
      IF to_regclass(leaf) IS NULL THEN
        BEGIN
          EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', leaf, parent,
                         day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
          made := made + 1;
        EXCEPTION WHEN check_violation THEN NULL;
        END;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$
"""

PARTITION_RIGHTS = """
REVOKE ALL ON FUNCTION ensure_event_partitions(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_event_partitions(int) TO modplane_relay;
SELECT ensure_event_partitions(7);
"""

TENANT_TABLES = (
    "organizations",
    "companies",
    "tenant_modules",
    "company_modules",
    "config_revisions",
    "operations",
    "org_revision",
    "event_log",
    "outbox",
    "idempotency_key",
)

# nullif: after the first use in a session an unset setting reads '' and not NULL. The sub-select runs once per query.
OWN_ROWS = "organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid)"

GRANTS = """
GRANT USAGE ON SCHEMA public TO modplane_app, modplane_admin, modplane_relay;
GRANT SELECT ON module_registry, module_versions, industry_templates, industry_module_templates TO modplane_app;
GRANT SELECT, INSERT, UPDATE ON organizations, companies, tenant_modules, company_modules, org_revision,
  idempotency_key TO modplane_app;
GRANT DELETE ON tenant_modules, company_modules TO modplane_app;
GRANT SELECT, INSERT ON config_revisions, event_log TO modplane_app;
GRANT INSERT ON outbox TO modplane_app;
GRANT SELECT ON operations TO modplane_app;

GRANT SELECT, INSERT, UPDATE ON module_registry, industry_templates TO modplane_admin;
GRANT SELECT, INSERT ON module_versions TO modplane_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON industry_module_templates TO modplane_admin;
GRANT SELECT, INSERT, UPDATE ON organizations, companies, org_revision, idempotency_key, operations TO modplane_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_modules, company_modules TO modplane_admin;
GRANT SELECT, INSERT ON config_revisions, event_log TO modplane_admin;
GRANT SELECT, INSERT ON outbox TO modplane_admin;
GRANT SELECT ON dead_event TO modplane_admin;

GRANT SELECT ON event_log, org_revision TO modplane_relay;
GRANT SELECT, UPDATE, DELETE ON outbox TO modplane_relay;
GRANT SELECT, INSERT, DELETE ON inbox TO modplane_relay;
GRANT SELECT, INSERT, UPDATE ON dead_event TO modplane_relay;
"""


def _run(script: str) -> None:
    """Statement by statement: the driver prepares each one, and a prepared statement is a single one."""
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(statement)


def upgrade() -> None:
    for script in (REGISTRY, TENANTS, EVENTS):
        _run(script)
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} TO modplane_app USING ({OWN_ROWS}) WITH CHECK ({OWN_ROWS})")
        op.execute(f"CREATE POLICY platform ON {table} TO modplane_admin USING (true) WITH CHECK (true)")
    for table in ("event_log", "outbox", "org_revision"):
        op.execute(f"CREATE POLICY relay ON {table} TO modplane_relay USING (true) WITH CHECK (true)")
    _run(GRANTS)
    op.execute(PARTITIONS)
    _run(PARTITION_RIGHTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION ensure_event_partitions(int)")
    for table in ("inbox", "dead_event", "outbox", "event_log", "org_revision", "idempotency_key", "operations"):
        op.execute(f"DROP TABLE {table}")
    for table in ("config_revisions", "company_modules", "tenant_modules", "companies", "organizations"):
        op.execute(f"DROP TABLE {table}")
    for table in ("industry_module_templates", "industry_templates", "module_versions", "module_registry"):
        op.execute(f"DROP TABLE {table}")
    op.execute("REVOKE ALL ON SCHEMA public FROM modplane_app, modplane_admin, modplane_relay")
