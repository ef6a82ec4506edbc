"""What the Ariadne peer reads and writes: PostgreSQL by asyncpg, whose pool prepares each statement once."""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import orjson

from bench.compare.python.rules import (
    ACTOR,
    DATASCHEMA,
    TYPE,
    Refused,
    event_body,
    merge,
    now_utc,
    sources_of,
    traceparent,
)

MODULE_PAGE = """SELECT module_id, module_name, description, category, tier FROM module_registry
 WHERE deleted_at IS NULL AND tier <> 'INTERNAL' AND visibility = 'PUBLIC' ORDER BY module_id LIMIT $1"""
MODULES = """SELECT module_id, module_name, description, category, tier FROM module_registry
 WHERE module_id = ANY($1::text[]) AND deleted_at IS NULL AND tier <> 'INTERNAL'"""
ORGANIZATIONS = """SELECT o.organization_id::text AS id, o.name, o.plan, o.industry_code, r.rev FROM organizations o
 JOIN org_revision r USING (organization_id) WHERE o.organization_id = ANY($1::uuid[])"""
INDUSTRIES = """SELECT industry_code, industry_name FROM industry_templates
 WHERE industry_code = ANY($1::text[]) AND deleted_at IS NULL AND is_active"""
ASSIGNMENTS = """SELECT t.organization_id::text AS organization_id, t.module_id, t.version, t.state, t.configuration
 FROM tenant_modules t JOIN module_registry m ON m.module_id = t.module_id AND m.deleted_at IS NULL
 WHERE t.organization_id = ANY($1::uuid[]) AND m.tier <> 'INTERNAL' ORDER BY t.module_id"""
COMPANIES = """SELECT c.* FROM unnest($1::uuid[]) AS wanted(organization_id) CROSS JOIN LATERAL
 (SELECT organization_id::text AS organization_id, id::text AS id, name FROM companies
   WHERE organization_id = wanted.organization_id ORDER BY companies.id LIMIT $2) c ORDER BY c.id"""
LAYERS = """SELECT wanted.company_id::text AS company_id, t.module_id, v.default_config, t.industry_config,
       t.configuration, coalesce(c.configuration, '{}'::jsonb) AS company_config
  FROM unnest($1::uuid[], $2::uuid[]) AS wanted(organization_id, company_id)
  JOIN tenant_modules t ON t.organization_id = wanted.organization_id
  JOIN module_registry m ON m.module_id = t.module_id AND m.deleted_at IS NULL AND m.tier <> 'INTERNAL'
  JOIN module_versions v ON v.module_id = t.module_id AND v.number = t.version
  LEFT JOIN company_modules c ON c.organization_id = t.organization_id AND c.company_id = wanted.company_id
       AND c.module_id = t.module_id ORDER BY t.module_id"""

LOCK = "SELECT organization_id FROM organizations WHERE organization_id = $1 FOR UPDATE"
LATEST = """SELECT m.version, m.tier FROM module_registry m
 JOIN module_versions v ON v.module_id = m.module_id AND v.number = m.version
 WHERE m.module_id = $1 AND m.deleted_at IS NULL AND m.is_active"""
ASSIGNED = "SELECT module_id FROM tenant_modules WHERE organization_id = $1"
ADVANCE = "UPDATE org_revision SET rev = rev + 1 WHERE organization_id = $1 RETURNING rev"
INSERT = """INSERT INTO tenant_modules(organization_id, module_id, version, state, is_required, is_requested,
  industry_config, industry_source, configuration, config_sources, config_revision, enabled_features,
  disabled_features, revision, assigned_at, assigned_by, updated_at)
 VALUES ($1, $2, $3, 'ACTIVE', false, true, '{}', '{}', $4, $5, $6, '{}', '{}', $6, $7, $8, $7)"""
APPEND = """WITH logged AS (INSERT INTO event_log(id, organization_id, rev, aggregatetype, aggregateid, type, subject,
   subject_rev, modules, payload, source, dataschema, traceparent, actor, time, occurred_at)
  VALUES (uuidv7(), $1, $2, 'module.assigned', $1::uuid::text, $3, $4, $2, ARRAY[$4::text], $5,
   '/organizations/' || $1::uuid::text, $6, $7, $8, $9, $10))
 INSERT INTO outbox(shard, organization_id, rev, occurred_at)
 VALUES (get_byte(uuid_send($1), 15) % 64, $1, $2, $10)"""


async def open_pool(url: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(url, min_size=10, max_size=10, init=_read_json)


async def _read_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )


def _module(row: Any) -> dict[str, Any]:
    return {
        "code": row["module_id"],
        "name": row["module_name"],
        "description": row["description"],
        "category": row["category"],
        "tier": row["tier"],
    }


def _organization(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "plan": row["plan"],
        "revision": row["rev"],
        "industry_code": row["industry_code"],
    }


def _assignment(row: Any) -> dict[str, Any]:
    return {
        "version": row["version"],
        "state": row["state"],
        "config": row["configuration"],
        "module_code": row["module_id"],
    }


def _config(row: Any) -> dict[str, Any]:
    layers = (row["default_config"], row["industry_config"], row["configuration"], row["company_config"])
    return {"module_code": row["module_id"], "values": merge(*layers)}


def _lists(rows: Sequence[Any], key: str, value: Callable[[Any], Any]) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {}
    for row in rows:
        lists.setdefault(row[key], []).append(value(row))
    return lists


class Store:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def module_page(self, first: int) -> dict[str, Any]:
        rows = await self._pool.fetch(MODULE_PAGE, first + 1)
        return {"nodes": [_module(row) for row in rows[:first]]}

    async def modules(self, codes: list[str]) -> list[Any]:
        found = {row["module_id"]: _module(row) for row in await self._pool.fetch(MODULES, codes)}
        return [found.get(code) for code in codes]

    async def organizations(self, ids: list[str]) -> list[Any]:
        found = {row["id"]: _organization(row) for row in await self._pool.fetch(ORGANIZATIONS, ids)}
        return [found.get(each) for each in ids]

    async def industries(self, codes: list[str]) -> list[Any]:
        rows = await self._pool.fetch(INDUSTRIES, codes)
        found = {row["industry_code"]: {"code": row["industry_code"], "name": row["industry_name"]} for row in rows}
        return [found.get(code) for code in codes]

    async def assignments(self, ids: list[str]) -> list[Any]:
        found = _lists(await self._pool.fetch(ASSIGNMENTS, ids), "organization_id", _assignment)
        return [found.get(each, []) for each in ids]

    async def companies(self, organization_id: str, first: int) -> dict[str, Any]:
        rows = await self._pool.fetch(COMPANIES, [organization_id], first + 1)
        return {"nodes": [dict(row) for row in rows[:first]]}

    async def configs(self, keys: list[tuple[str, str]]) -> list[Any]:
        """By (organization, company)."""
        rows = await self._pool.fetch(LAYERS, [key[0] for key in keys], [key[1] for key in keys])
        found = _lists(rows, "company_id", _config)
        return [found.get(company, []) for _, company in keys]

    async def assign(self, organization_id: str, module: str, config: dict[str, Any]) -> dict[str, Any]:
        """State, counter, event log and outbox in one transaction, in the order Modplane takes its locks in."""
        async with self._pool.acquire() as connection, connection.transaction():
            organization = await connection.fetchrow(LOCK, organization_id)
            latest = await connection.fetchrow(LATEST, module)
            assigned = await connection.fetch(ASSIGNED, organization_id)
            if organization is None or latest is None:
                raise Refused("NOT_FOUND", "no such thing")
            if any(row["module_id"] == module for row in assigned):
                raise Refused("ALREADY_EXISTS", "it has it already")
            version, now = latest["version"], now_utc()
            rev = await connection.fetchval(ADVANCE, organization_id)
            sources = sources_of(config, rev, now)
            await connection.execute(INSERT, organization_id, module, version, config, sources, rev, now, ACTOR)
            body = event_body(
                organization_id, module, tier=latest["tier"], version=version, config=config, rev=rev, now=now
            )
            time = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
            event = (organization_id, rev, TYPE, module, body, DATASCHEMA, traceparent(), ACTOR, time, now)
            await connection.execute(APPEND, *event)
        assignment = {"version": version, "state": "ACTIVE", "config": config, "module_code": module}
        return {"errors": [], "revision": rev, "assignments": [assignment]}
