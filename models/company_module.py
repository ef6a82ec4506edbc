"""A row of company_modules as commands write it, and the history that both tiers have: without a session's rows."""

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import orjson

from models.base import JsonObject


@dataclass(kw_only=True, slots=True)
class CompanyModule:
    """The columns of CompanyModuleRow, which says what they mean. The last two are None before it is written."""

    organization_id: UUID
    company_id: UUID
    module_id: str
    is_enabled: bool
    configuration: JsonObject
    config_sources: JsonObject
    enabled_features: list[str]
    disabled_features: list[str]
    revision: int
    customized_at: datetime | None
    customized_by: str | None


COLUMNS = tuple(each.name for each in fields(CompanyModule))
KEY = ("organization_id", "company_id", "module_id")
JSON = ("configuration", "config_sources")
# One row for a company of the organization, whether it has overridden anything yet or not; none for any other.
FIND = """
SELECT c.organization_id, c.id AS company_id, $3::text AS module_id, coalesce(m.is_enabled, true) AS is_enabled,
       coalesce(m.configuration, '{}') AS configuration, coalesce(m.config_sources, '{}') AS config_sources,
       coalesce(m.enabled_features, '{}') AS enabled_features,
       coalesce(m.disabled_features, '{}') AS disabled_features,
       coalesce(m.revision, 0) AS revision, m.customized_at, m.customized_by
  FROM companies c LEFT JOIN company_modules m
    ON m.organization_id = c.organization_id AND m.company_id = c.id AND m.module_id = $3
 WHERE c.organization_id = $1 AND c.id = $2
"""
SAVE = f"""INSERT INTO company_modules({", ".join(COLUMNS)})
 VALUES ({", ".join(f"${place}" + "::jsonb" * (each in JSON) for place, each in enumerate(COLUMNS, 1))})
 ON CONFLICT ({", ".join(KEY)}) DO UPDATE
 SET {", ".join(f"{each} = excluded.{each}" for each in COLUMNS if each not in KEY)}"""
REMEMBER = """
INSERT INTO config_revisions(organization_id, module_id, company_id, revision, configuration, reason, set_by, set_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)
"""
OF_MODULE = "SELECT company_id, configuration FROM company_modules WHERE organization_id = $1 AND module_id = $2"


def parameters_of(row: CompanyModule) -> tuple[object, ...]:
    """As SAVE takes them."""
    values = {each: getattr(row, each) for each in COLUMNS}
    return tuple(orjson.dumps(value).decode() if name in JSON else value for name, value in values.items())
