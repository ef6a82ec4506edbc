"""Worlds of a given size, written straight into the tables: one hub, `size` of everything around it.

Registry: `hub-N` requires N leaves, each leaf requires `base-N`; the hub has N versions and N keys of configuration.
Tenants: `big` has all of it and N companies and events; N small organizations have a leaf, the base and a company.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from models.database import Database
from queries.page import encode_cursor

REGISTRY = """
INSERT INTO module_registry(module_id, module_name, description, category, tier, visibility, version, revision)
SELECT m.code, m.code, '', m.category, 'OPTIONAL', 'PUBLIC', m.version, 1 FROM (
  SELECT 'hub-' || :n AS code, 'hubs' AS category, '1.0.' || :n AS version
  UNION ALL SELECT 'base-' || :n, 'bases', '1.0.1'
  UNION ALL SELECT 'leaf-' || :n || '-' || i, 'size-' || :n, '1.0.1' FROM generate_series(1, :n) i) m;
INSERT INTO module_versions(module_id, number, manifest, content_hash, default_config, requirements, permissions,
                            features, revision)
SELECT v.code, v.number, '{}', '', v.config, v.requirements, '{}', '{}', 1 FROM (
  SELECT 'base-' || :n AS code, '1.0.1' AS number, '{"a": 1}'::jsonb AS config, '[]'::jsonb AS requirements
  UNION ALL SELECT 'leaf-' || :n || '-' || i, '1.0.1', '{"a": 1}', jsonb_build_array(
    jsonb_build_object('module', 'base-' || :n, 'range', '^1', 'is_optional', false)) FROM generate_series(1, :n) i
  UNION ALL SELECT 'hub-' || :n, '1.0.' || v,
    (SELECT jsonb_object_agg('key' || i, i) FROM generate_series(1, :n) i),
    (SELECT jsonb_agg(jsonb_build_object('module', 'leaf-' || :n || '-' || i, 'range', '^1', 'is_optional', false))
       FROM generate_series(1, :n) i) FROM generate_series(greatest(1, :n - 210), :n) v) v;
INSERT INTO industry_templates(id, industry_code, industry_name, description, revision)
SELECT gen_random_uuid(), code, code, '', 1 FROM (
  SELECT 'industry-' || :n AS code UNION ALL SELECT 'industry-' || :n || '-' || i FROM generate_series(1, :n) i) c;
INSERT INTO industry_module_templates(template_id, module_id, default_config, display_order)
SELECT t.id, 'leaf-' || :n || '-' || i, '{"a": 2}', i FROM industry_templates t, generate_series(1, :n) i
 WHERE t.industry_code = 'industry-' || :n OR (t.industry_code = 'industry-' || :n || '-' || i);
INSERT INTO subgraph_versions(id, module_id, version, sdl, sdl_sha256, stamped_sdl, routing_url, state, findings,
                              requested_by, asked_by, revision)
SELECT gen_random_uuid(), module_id, version, 'sdl', '', 'sdl', 'https://leaf.example.com', 'ACTIVE',
  jsonb_build_array(jsonb_build_object('severity', 'WARNING', 'code', 'SEEN', 'message', 'seen', 'line', 1,
                                       'column', 1, 'coordinate', null)), 'tester', 'tester', 1
  FROM module_registry WHERE category = 'size-' || :n;
INSERT INTO supergraph_artifacts(version, sdl, public_sdl, sha256, contracts, composer, inputs, platform_sdl, revision,
                                 created_by)
SELECT before + i, 'sdl', 'sdl', '', '{}', 'composer', jsonb_build_array(jsonb_build_object('name', 'platform',
  'subgraph_id', null, 'version', null, 'url', 'http://platform', 'sha256', '')), 'sdl', 1, 'tester'
  FROM generate_series(1, :n) i, (SELECT coalesce(max(version), 0) AS before FROM supergraph_artifacts) a
"""
TENANTS = """
INSERT INTO organizations(organization_id, name, industry_code, plan, revision)
SELECT gen_random_uuid(), name, industry, 'free', 1 FROM (
  SELECT 'Big of ' || :n AS name, 'industry-' || :n AS industry
  UNION ALL SELECT 'Small of ' || :n || '.', 'industry-' || :n || '-1' FROM generate_series(1, :n)) o;
INSERT INTO org_revision(organization_id, rev)
SELECT organization_id, :n FROM organizations WHERE name LIKE '% of ' || :n || '%';
INSERT INTO companies(organization_id, id, name, revision)
SELECT organization_id, gen_random_uuid(), 'Company', 1 FROM organizations,
  generate_series(1, CASE WHEN name LIKE 'Big%' THEN :n ELSE 1 END) WHERE name LIKE '% of ' || :n || '%';
INSERT INTO tenant_modules(organization_id, module_id, version, state, is_requested, industry_code, industry_config,
                           configuration, config_revision, revision, assigned_by)
SELECT o.organization_id, m.module_id, m.version, 'ACTIVE', m.category = 'hubs', 'industry-' || :n,
       '{"a": 2}', '{"a": 3}', 1, 1, 'tester' FROM organizations o, module_registry m
 WHERE (o.name = 'Big of ' || :n AND (m.category = 'size-' || :n OR m.module_id IN ('hub-' || :n, 'base-' || :n)))
    OR (o.name = 'Small of ' || :n || '.' AND m.module_id IN ('base-' || :n, 'leaf-' || :n || '-1'));
INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject, subject_rev, modules,
                      payload, actor)
SELECT gen_random_uuid(), organization_id, i, 'module.assigned', organization_id::text, 'tenant.module.assigned.v1',
       'leaf-' || :n || '-' || i, i, ARRAY['leaf-' || :n || '-' || i],
       jsonb_build_object('organization_id', organization_id, 'module_id', 'leaf-' || :n || '-' || i,
                          'user_id', 'tester', 'payload', '{}'::jsonb), 'tester'
  FROM organizations, generate_series(1, :n) i WHERE name = 'Big of ' || :n;
INSERT INTO operations(organization_id, id, kind, status, request, requested_by, total, errors)
SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'WORLD-' || :n, 'FAILED', '{}', 'tester', :n,
  jsonb_agg(jsonb_build_object('type', 'NotFound', 'code', 'NOT_FOUND', 'message', 'no', 'path', '[]'::jsonb,
                               'pointer', null, 'organization_id', null)) FROM generate_series(1, :n)
"""
# what only the event roles may write
CONSUMED = """
INSERT INTO module_adoption(organization_id, module_id, applied_rev, is_assigned, version, state)
SELECT gen_random_uuid(), 'hub-' || :n, 1, true, '1.0.' || i, 'ACTIVE' FROM generate_series(1, :n) i
UNION ALL SELECT gen_random_uuid(), 'leaf-' || :n || '-' || i, 1, true, '1.0.1', 'ACTIVE' FROM generate_series(1, :n) i;
INSERT INTO dead_event(consumer, event_id, attempts, first_at, last_at, status)
SELECT 'world-' || :n, gen_random_uuid(), 1, now(), now(), 'parked' FROM generate_series(1, :n)
"""
BIG = "SELECT organization_id FROM organizations WHERE name = 'Big of ' || :n"
COMPANIES = f"SELECT id FROM companies WHERE organization_id = ({BIG}) ORDER BY id"
SMALL_COMPANIES = (
    "SELECT id FROM companies JOIN organizations o USING (organization_id) WHERE o.name = 'Small of ' || :n || '.'"
)
SMALL = "SELECT organization_id FROM organizations WHERE name = 'Small of ' || :n || '.' ORDER BY organization_id"
OPERATION = "SELECT id FROM operations WHERE kind = 'WORLD-' || :n"


@dataclass(frozen=True)
class World:
    """Where to find a world's things."""

    size: int
    big: str
    companies: list[str]
    small: list[str]
    small_companies: list[str]
    operation: str

    @property
    def leaves(self) -> list[str]:
        return [f"leaf-{self.size}-{number}" for number in range(1, self.size + 1)]

    @property
    def variables(self) -> dict[str, object]:
        """What the queries of test_statement_counts.py ask with."""
        return {
            "first": min(self.size, 200),
            "category": f"size-{self.size}",
            "hub": f"hub-{self.size}",
            "base": f"base-{self.size}",
            "industry": f"industry-{self.size}",
            "afterIndustry": encode_cursor(f"industry-{self.size}"),
            "search": f"Small of {self.size}.",
            "big": self.big,
            "company": self.companies[0],
            "operation": self.operation,
            "deadConsumer": f"world-{self.size}",
        }


def _typed(statement: str) -> str:
    """A number for generate_series, a text for names."""
    return statement.replace("|| :n", "|| cast(cast(:n AS int) AS text)").replace(" :n", " cast(:n AS int)")


async def build_world(database: Database, size: int) -> World:
    async with database.relay_engine.begin() as connection:
        for statement in CONSUMED.split(";\n"):
            await connection.execute(text(_typed(statement)), {"n": size})
    async with database.platform_session() as session:
        for statement in (*REGISTRY.split(";\n"), *TENANTS.split(";\n")):
            await session.execute(text(_typed(statement)), {"n": size})
        await session.commit()

        async def ids(query: str) -> list[str]:
            typed = query.replace("|| :n", "|| cast(cast(:n AS int) AS text)")
            return [str(found) for found in await session.scalars(text(typed), {"n": size}) if isinstance(found, UUID)]

        (big,), (operation,) = await ids(BIG), await ids(OPERATION)
        return World(
            size=size,
            big=big,
            companies=await ids(COMPANIES),
            small=await ids(SMALL),
            small_companies=await ids(SMALL_COMPANIES),
            operation=operation,
        )
