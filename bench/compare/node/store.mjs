// What both Node peers read and write: PostgreSQL by node-postgres, each statement prepared once per connection.
import { randomBytes } from "node:crypto";
import pg from "pg";

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });

// Times stay text, revs (bigint) become numbers: nothing that is measured needs a Date or a BigInt.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

const named = (name, text) => (values, client = pool) => client.query({ name, text, values }).then((found) => found.rows);

const readModulePage = named(
  "module_page",
  `SELECT module_id, module_name, description, category, tier FROM module_registry
    WHERE deleted_at IS NULL AND tier <> 'INTERNAL' AND visibility = 'PUBLIC' ORDER BY module_id LIMIT $1`,
);
const readModules = named(
  "modules",
  `SELECT module_id, module_name, description, category, tier FROM module_registry
    WHERE module_id = ANY($1::text[]) AND deleted_at IS NULL AND tier <> 'INTERNAL'`,
);
const readOrganizations = named(
  "organizations",
  `SELECT o.organization_id, o.name, o.plan, o.industry_code, r.rev FROM organizations o
     JOIN org_revision r USING (organization_id) WHERE o.organization_id = ANY($1::uuid[])`,
);
const readIndustries = named(
  "industries",
  `SELECT industry_code, industry_name FROM industry_templates
    WHERE industry_code = ANY($1::text[]) AND deleted_at IS NULL AND is_active`,
);
const readAssignments = named(
  "assignments",
  `SELECT t.organization_id, t.module_id, t.version, t.state, t.configuration FROM tenant_modules t
     JOIN module_registry m ON m.module_id = t.module_id AND m.deleted_at IS NULL
    WHERE t.organization_id = ANY($1::uuid[]) AND m.tier <> 'INTERNAL' ORDER BY t.module_id`,
);
const readCompanies = named(
  "companies",
  `SELECT c.* FROM unnest($1::uuid[]) AS wanted(organization_id) CROSS JOIN LATERAL
    (SELECT organization_id, id, name FROM companies WHERE organization_id = wanted.organization_id
      ORDER BY id LIMIT $2) c ORDER BY c.organization_id, c.id`,
);
const readLayers = named(
  "layers",
  `SELECT wanted.company_id, t.module_id, v.default_config, t.industry_config, t.configuration,
          coalesce(c.configuration, '{}'::jsonb) AS company_config
     FROM unnest($1::uuid[], $2::uuid[]) AS wanted(organization_id, company_id)
     JOIN tenant_modules t ON t.organization_id = wanted.organization_id
     JOIN module_registry m ON m.module_id = t.module_id AND m.deleted_at IS NULL AND m.tier <> 'INTERNAL'
     JOIN module_versions v ON v.module_id = t.module_id AND v.number = t.version
     LEFT JOIN company_modules c ON c.organization_id = t.organization_id AND c.company_id = wanted.company_id
          AND c.module_id = t.module_id
    ORDER BY t.module_id`,
);

const asModule = (row) => ({
  code: row.module_id,
  name: row.module_name,
  description: row.description,
  category: row.category,
  tier: row.tier,
});
const asAssignment = (row) => ({
  version: row.version,
  state: row.state,
  config: row.configuration,
  moduleCode: row.module_id,
});

const firstBy = (rows, key, value) => new Map(rows.map((row) => [row[key], value(row)]));
function listsBy(rows, key, value) {
  const lists = new Map();
  for (const row of rows) {
    const list = lists.get(row[key]);
    if (list === undefined) lists.set(row[key], [value(row)]);
    else list.push(value(row));
  }
  return lists;
}
const distinct = (keys) => [...new Set(keys)];

export async function modulePage(first) {
  // One more than is shown, as a page that says whether there is a next one has to read.
  const rows = await readModulePage([first + 1]);
  return { nodes: rows.slice(0, first).map(asModule) };
}

// The batch functions take keys and answer in their order: what a DataLoader wants, and a Mercurius loader too.
export async function modulesByCode(codes) {
  const found = firstBy(await readModules([distinct(codes)]), "module_id", asModule);
  return codes.map((code) => found.get(code) ?? null);
}

export async function organizationsById(ids) {
  const found = firstBy(await readOrganizations([distinct(ids)]), "organization_id", (row) => ({
    id: row.organization_id,
    name: row.name,
    plan: row.plan,
    revision: row.rev,
    industryCode: row.industry_code,
  }));
  return ids.map((id) => found.get(id) ?? null);
}

export async function industriesByCode(codes) {
  const found = firstBy(await readIndustries([distinct(codes)]), "industry_code", (row) => ({
    code: row.industry_code,
    name: row.industry_name,
  }));
  return codes.map((code) => found.get(code) ?? null);
}

export async function assignmentsByOrganization(ids) {
  const found = listsBy(await readAssignments([distinct(ids)]), "organization_id", asAssignment);
  return ids.map((id) => found.get(id) ?? []);
}

export async function companiesByOrganization(ids, first) {
  const found = listsBy(await readCompanies([distinct(ids), first + 1]), "organization_id", (row) => ({
    id: row.id,
    name: row.name,
    organizationId: row.organization_id,
  }));
  return ids.map((id) => ({ nodes: (found.get(id) ?? []).slice(0, first) }));
}

export async function configsByCompany(companies) {
  const rows = await readLayers([companies.map((each) => each.organizationId), companies.map((each) => each.id)]);
  const found = listsBy(rows, "company_id", (row) => ({
    moduleCode: row.module_id,
    values: merge(row.default_config, row.industry_config, row.configuration, row.company_config),
  }));
  return companies.map((each) => found.get(each.id) ?? []);
}

// Objects merge, everything else replaces. The layers are this query's own rows, so what they hold may be shared.
function merge(...layers) {
  const merged = {};
  for (const layer of layers) mergeInto(merged, layer);
  return merged;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function mergeInto(target, source) {
  for (const key of Object.keys(source)) {
    const value = source[key];
    if (isObject(value)) {
      if (!isObject(target[key]) || !Object.hasOwn(target, key)) target[key] = {};
      mergeInto(target[key], value);
    } else {
      target[key] = value;
    }
  }
}

const lockOrganization = named(
  "lock_organization",
  "SELECT organization_id, plan FROM organizations WHERE organization_id = $1 FOR UPDATE",
);
const readLatest = named(
  "latest",
  `SELECT m.module_id, m.version, m.tier FROM module_registry m
     JOIN module_versions v ON v.module_id = m.module_id AND v.number = m.version
    WHERE m.module_id = $1 AND m.deleted_at IS NULL AND m.is_active`,
);
const readAssigned = named("assigned", "SELECT module_id FROM tenant_modules WHERE organization_id = $1");
const advance = named(
  "advance",
  "UPDATE org_revision SET rev = rev + 1 WHERE organization_id = $1 RETURNING rev",
);
const insertAssignment = named(
  "insert_assignment",
  `INSERT INTO tenant_modules(organization_id, module_id, version, state, is_required, is_requested, industry_config,
     industry_source, configuration, config_sources, config_revision, enabled_features, disabled_features, revision,
     assigned_at, assigned_by, updated_at)
   VALUES ($1, $2, $3, 'ACTIVE', false, true, '{}', '{}', $4, $5, $6, '{}', '{}', $6, $7, $8, $7)`,
);
const appendEvent = named(
  "append_event",
  `WITH logged AS (INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject,
     subject_rev, modules, payload, source, dataschema, traceparent, actor, time, occurred_at)
   VALUES (uuidv7(), $1, $2, 'module.assigned', $1::uuid::text, $3, $4, $2, ARRAY[$4::text], $5,
     '/organizations/' || $1::uuid::text, $6, $7, $8, $9::text, $9::text::timestamptz))
   INSERT INTO outbox(shard, organization_id, rev, occurred_at)
   VALUES (get_byte(uuid_send($1), 15) % 64, $1, $2, $9::text::timestamptz)`,
);

const ACTOR = "bench";
const TYPE = "tenant.module.assigned.v1";
const DATASCHEMA = `https://modplane.dev/schemas/events/${TYPE}.json`;

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// State, counter, event log and outbox in one transaction, in the order Modplane takes its locks in.
export async function assign({ organizationId, module, config }) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const payload = await write(client, organizationId, module, config ?? {});
    await client.query("COMMIT");
    return payload;
  } catch (error) {
    await client.query("ROLLBACK");
    if (!(error instanceof Refused)) throw error;
    return { errors: [{ code: error.code, message: error.message }], revision: null, assignments: [] };
  } finally {
    client.release();
  }
}

async function write(client, organizationId, code, config) {
  const [organization] = await lockOrganization([organizationId], client);
  const [latest] = await readLatest([code], client);
  const assigned = await readAssigned([organizationId], client);
  if (organization === undefined || latest === undefined) throw new Refused("NOT_FOUND", "no such thing");
  if (assigned.some((row) => row.module_id === code)) throw new Refused("ALREADY_EXISTS", "it has it already");
  const now = new Date().toISOString().replace("Z", "000Z");
  const [{ rev }] = await advance([organizationId], client);
  const source = { revision: rev, set_by: ACTOR, set_at: now, reason: null };
  const sources = Object.fromEntries(leaves(config, "").map((pointer) => [pointer, source]));
  const row = [organizationId, code, latest.version, config, sources, rev, now, ACTOR];
  await insertAssignment(row, client);
  const body = eventBody(organizationId, latest, config, rev, now);
  const traceparent = `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-00`;
  await appendEvent([organizationId, rev, TYPE, code, body, DATASCHEMA, traceparent, ACTOR, now], client);
  const assignment = { version: latest.version, state: "ACTIVE", config, moduleCode: code };
  return { errors: [], revision: rev, assignments: [assignment] };
}

function leaves(value, pointer) {
  if (!isObject(value) || (pointer !== "" && Object.keys(value).length === 0)) return [pointer];
  return Object.keys(value).flatMap((key) =>
    leaves(value[key], `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`),
  );
}

function eventBody(organizationId, latest, config, rev, now) {
  const assignment = {
    module: latest.module_id,
    tier: latest.tier,
    version: latest.version,
    state: "ACTIVE",
    is_required: false,
    is_requested: true,
    industry_code: null,
    industry_config: {},
    config,
    enabled_features: [],
    disabled_features: [],
    revision: rev,
    assigned_at: now,
    assigned_by: ACTOR,
  };
  const payload = { assignment, is_assigned: true };
  return { organization_id: organizationId, module_id: latest.module_id, user_id: ACTOR, payload };
}
