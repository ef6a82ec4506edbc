"""What PostgreSQL's own catalogue says: the whole schema as text, and every hole in the wall between tenants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import URL

from app.migrate import connect_owner

# Tables that belong to no tenant. The application may read them, never write; a name that is not here needs the wall.
GLOBAL = [
    "module_registry",
    "module_versions",
    "industry_templates",
    "industry_module_templates",
    "registry_revision",
    "subgraph_versions",
    "supergraph_artifacts",
    "supergraph_head",
]
OWN_ROWS = (
    "(organization_id = ( SELECT (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid"
    ' AS "nullif"))'
)

BREACHES = """
WITH touched AS (
  SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = 'public' AND c.relkind IN ('r','p','v','m','f')
     AND (has_table_privilege('modplane_app', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER')
          OR has_any_column_privilege('modplane_app', c.oid, 'SELECT,INSERT,UPDATE,REFERENCES'))),
applicable AS (
  SELECT p.*, pg_get_expr(p.polqual, p.polrelid) AS qual, pg_get_expr(p.polwithcheck, p.polrelid) AS checked
    FROM pg_policy p WHERE p.polpermissive AND EXISTS (SELECT 1 FROM unnest(p.polroles) AS role
           WHERE role = 0 OR pg_has_role('modplane_app', role, 'MEMBER'))),
walled AS (SELECT * FROM touched WHERE relkind IN ('r','p') AND relname <> ALL($1))
SELECT relname || ': more than rows' FROM touched
 WHERE has_table_privilege('modplane_app', oid, 'TRUNCATE,REFERENCES,TRIGGER')
UNION ALL SELECT relname || ': global, yet written' FROM touched
 WHERE relname = ANY($1) AND (has_table_privilege('modplane_app', oid, 'INSERT,UPDATE,DELETE')
                              OR has_any_column_privilege('modplane_app', oid, 'INSERT,UPDATE'))
UNION ALL SELECT relname || ': neither a table nor a view of the caller''s rights' FROM touched
 WHERE relkind IN ('m','f') OR (relkind = 'v' AND NOT coalesce(
   reloptions && ARRAY['security_invoker=true','security_invoker=on','security_invoker=1'], false))
UNION ALL SELECT relname || ': a partition is not walled by its parent' FROM walled WHERE relispartition
UNION ALL SELECT relname || ': row-level security is not forced' FROM walled
 WHERE NOT (relrowsecurity AND relforcerowsecurity)
UNION ALL SELECT relname || ': no organization_id' FROM walled w WHERE NOT EXISTS (SELECT 1 FROM pg_attribute a
   WHERE a.attrelid = w.oid AND a.attname = 'organization_id' AND a.attnotnull AND NOT a.attisdropped)
UNION ALL SELECT relname || ': not exactly one policy' FROM walled w
 WHERE (SELECT count(*) FROM applicable p WHERE p.polrelid = w.oid) <> 1
UNION ALL SELECT relname || ': the policy is another' FROM walled w JOIN applicable p ON p.polrelid = w.oid
 WHERE p.polcmd <> '*' OR p.qual IS DISTINCT FROM $2 OR p.checked IS DISTINCT FROM $2
UNION ALL SELECT p.proname || ': runs with its owner''s rights' FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'public' AND p.prosecdef AND has_function_privilege('modplane_app', p.oid, 'EXECUTE')
UNION ALL SELECT r.rolname || ': passes every policy' FROM pg_roles r
 WHERE pg_has_role('modplane_app', r.oid, 'MEMBER') AND (r.rolsuper OR r.rolbypassrls)
UNION ALL SELECT c.relname || ': owned by the application' FROM pg_class c
 WHERE pg_has_role('modplane_app', c.relowner, 'MEMBER')
ORDER BY 1
"""

# Day partitions come and go with the calendar: of the partitions only the default ones belong to the schema.
OF_SCHEMA = "c.relnamespace = 'public'::regnamespace AND (NOT c.relispartition OR c.relname LIKE '%\\_default')"
SCHEMA = f"""
SELECT format('%s %s rls=%s force=%s %s %s', c.relkind, c.relname, c.relrowsecurity, c.relforcerowsecurity,
              c.reloptions, c.relacl) FROM pg_class c WHERE c.relkind <> 'i' AND {OF_SCHEMA}
UNION ALL SELECT format('column %s.%s %s %s notnull=%s %s %s', c.relname, a.attnum, a.attname,
              format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid))
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relkind IN ('r','p') AND {OF_SCHEMA}
UNION ALL SELECT format('constraint %s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
  FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid WHERE {OF_SCHEMA}
UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid WHERE {OF_SCHEMA}
UNION ALL SELECT format('policy %s %s %s %s %s %s', p.tablename, p.policyname, p.roles, p.cmd, p.qual, p.with_check)
  FROM pg_policies p WHERE p.schemaname = 'public'
UNION ALL SELECT pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
  FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL SELECT format('schema %s', nspacl) FROM pg_namespace WHERE nspname = 'public'
ORDER BY 1
"""


@asynccontextmanager
async def connected(url: URL) -> AsyncIterator[asyncpg.Connection]:
    """A raw connection as the URL's role."""
    connection = await connect_owner(url)
    try:
        yield connection
    finally:
        await connection.close()


async def find_breaches(connection: asyncpg.Connection) -> list[str]:
    """Every way past the wall between tenants that the catalogue knows, as `name: what is wrong`."""
    return [row[0] for row in await connection.fetch(BREACHES, GLOBAL, OWN_ROWS)]


async def read_schema(url: URL) -> list[str]:
    """Tables, columns, constraints, indexes, policies, functions and rights, as sorted lines."""
    async with connected(url) as connection:
        return [row[0] for row in await connection.fetch(SCHEMA)]


async def list_tenant_tables(connection: asyncpg.Connection) -> list[str]:
    """Tables with an organization_id that the application may touch, and that are no partitions: by the catalogue.

    dead_event notes where a poisoned message came from, module_adoption counts over all tenants: both are nobody's but
    the platform's.
    """
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attname = 'organization_id'"
        f" AND a.attnotnull AND c.relkind IN ('r','p') AND {OF_SCHEMA} AND NOT c.relispartition"
        " AND has_table_privilege('modplane_app', c.oid, 'SELECT,INSERT,UPDATE,DELETE') ORDER BY 1"
    )
    return [row[0] for row in rows]
