"""Modules, industries and organizations to compare with. The registry by the product's own mutations, tenants by SQL.

Organizations are written as they are long after sign-up: every row carries the rev that wrote it, the counter stands at
the last, and the log is empty, as retention leaves it. Nothing reads further back than that.
"""

from typing import Any

import asyncpg

from bench.chaos.client import Client

MODULES = [f"bench-{number:02}" for number in range(1, 25)]
ASSIGNED, ASSIGNABLE = MODULES[:10], MODULES[10:]
SECTORS = [f"sector-{number}" for number in range(5)]
REV = 26  # of every organization: one for itself, ten modules, three companies, four overrides of each company

REGISTER = "mutation($m: JSON!) { registerModule(input: {manifest: $m}) { errors { code message } } }"
INDUSTRY = """mutation($c: String!, $n: String!, $m: [IndustryModuleInput!]!) {
  createIndustry(input: {code: $c, name: $n, modules: $m}) { errors { code message } } }"""

DEFAULTS: dict[str, Any] = {
    "general": {"enabled": True, "language": "en", "timezone": "Europe/Berlin", "title": "Standard", "retention": 90},
    "limits": {"daily": 1000, "burst": 50, "per_user": 20, "window_seconds": 60, "attachments_bytes": 10_485_760},
    "notifications": {
        "email": True,
        "channels": ["inbox", "email", "push"],
        "digest": {"enabled": True, "hour": 8, "weekdays": ["mon", "tue", "wed", "thu", "fri"]},
    },
    "appearance": {"theme": "light", "accent": "#2563eb", "density": "comfortable", "columns": ["name", "owner"]},
    "integrations": {"webhooks": [], "export": {"format": "csv", "delimiter": ";", "with_header": True}},
}

# Who set a value, as Modplane keeps it beside the value.
SOURCE = """jsonb_build_object('revision', {rev}, 'set_by', 'bench', 'set_at', '2026-01-01T00:00:00+00:00',
 'reason', NULL)"""
ORGANIZATIONS = """INSERT INTO organizations(organization_id, name, industry_code, industry_name, plan, revision)
SELECT uuidv7(), 'Organization ' || n, 'sector-' || n % 5, 'Sector ' || n % 5, 'standard', 1
  FROM generate_series(1, $1::int) n"""
REVISIONS = "INSERT INTO org_revision(organization_id, rev) SELECT organization_id, $1::bigint FROM organizations"
TENANT_MODULES = f"""INSERT INTO tenant_modules(organization_id, module_id, version, state, configuration,
  config_sources, config_revision, revision, assigned_by)
SELECT o.organization_id, m.code, '1.0.0', 'ACTIVE',
  jsonb_build_object('general', jsonb_build_object('title', o.name || ' ' || m.n),
   'limits', jsonb_build_object('daily', 100 * m.n), 'notifications', '{{"digest": {{"hour": 7}}}}'::jsonb),
  jsonb_build_object('/general/title', s.source, '/limits/daily', s.source, '/notifications/digest/hour', s.source),
  1 + m.n, 1 + m.n, 'bench'
  FROM organizations o CROSS JOIN unnest($1::text[]) WITH ORDINALITY AS m(code, n)
  CROSS JOIN LATERAL (SELECT {SOURCE.format(rev="1 + m.n")} AS source) s"""
COMPANIES = """INSERT INTO companies(organization_id, id, name, revision)
SELECT o.organization_id, uuidv7(), 'Company ' || c, 11 + c FROM organizations o CROSS JOIN generate_series(1, 3) c"""
COMPANY_MODULES = f"""INSERT INTO company_modules(organization_id, company_id, module_id, configuration, config_sources,
  revision, customized_by)
SELECT c.organization_id, c.id, ($1::text[])[1 + ((c.revision - 12) * 4 + k - 1) % 10],
  jsonb_build_object('general', '{{"language": "de"}}'::jsonb, 'limits', jsonb_build_object('burst', 10 * k)),
  jsonb_build_object('/general/language', s.source, '/limits/burst', s.source), s.rev, 'bench'
  FROM companies c CROSS JOIN generate_series(1, 4) k
  CROSS JOIN LATERAL (SELECT 14 + (c.revision - 12) * 4 + k AS rev) r
  CROSS JOIN LATERAL (SELECT r.rev, {SOURCE.format(rev="r.rev")} AS source) s"""


def manifest(code: str) -> dict[str, Any]:
    sections = {name: {"type": "object", "title": name.capitalize()} for name in DEFAULTS}
    return {
        "name": code,
        "display_name": f"Module {code[-2:]}",
        "version": "1.0.0",
        "description": f"What {code} does for those who compare servers, in a sentence of the usual length.",
        "category": "Operations",
        "tags": ["bench"],
        "permissions": [f"{code}:read", f"{code}:write"],
        "configuration": {"defaults": DEFAULTS, "schema": {"type": "object", "properties": sections}},
    }


async def register(client: Client) -> None:
    """The registry, as an administrator."""
    for code in MODULES:
        await _done(client, REGISTER, {"m": manifest(code)})
    for code in SECTORS:
        modules = [{"module": each} for each in ASSIGNED]
        await _done(client, INDUSTRY, {"c": code, "n": code.replace("-", " ").capitalize(), "m": modules})


async def _done(client: Client, document: str, variables: dict[str, Any]) -> None:
    answer = await client.ask(document, variables)
    if "errors" in answer or any(payload["errors"] for payload in answer["data"].values()):
        raise RuntimeError(str(answer)[:500])


async def write_organizations(connection: asyncpg.Connection, count: int, *, companies: bool = True) -> None:
    """Organizations with their modules, and companies with what they override unless nobody will ask for them."""
    # right by construction, and checked below: foreign keys of a million rows would take most of the time
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(ORGANIZATIONS, count)
    await connection.execute(REVISIONS, REV)
    await connection.execute(TENANT_MODULES, ASSIGNED)
    if companies:
        await connection.execute(COMPANIES)
        await connection.execute(COMPANY_MODULES, ASSIGNED)
    await connection.execute("SET session_replication_role = origin")
    await _check(connection)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")


async def _check(connection: asyncpg.Connection) -> None:
    orphans = await connection.fetchval(
        "SELECT (SELECT count(*) FROM tenant_modules t LEFT JOIN module_versions v"
        "  ON v.module_id = t.module_id AND v.number = t.version WHERE v.module_id IS NULL)"
        " + (SELECT count(*) FROM company_modules c LEFT JOIN tenant_modules t USING (organization_id, module_id)"
        "  WHERE t.module_id IS NULL)"
    )
    if orphans:
        raise RuntimeError(f"{orphans} rows refer to nothing")


async def read_ids(connection: asyncpg.Connection) -> list[str]:
    """Every organization, in the order they were written."""
    rows = await connection.fetch("SELECT organization_id::text FROM organizations ORDER BY organization_id")
    return [row[0] for row in rows]
