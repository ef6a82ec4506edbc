"""A row of tenant_modules as commands plan with it and write it: without the cost of a session's rows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from models.base import JsonObject


class Held(NamedTuple):
    """What a plan has to know of a module that an organization has."""

    version: str
    state: str


@dataclass(kw_only=True, slots=True)
class TenantModule:
    """The columns of TenantModuleRow, which says what they mean."""

    organization_id: UUID
    module_id: str
    version: str
    state: str
    is_required: bool = False
    is_requested: bool = True
    industry_code: str | None = None
    industry_config: JsonObject
    industry_source: JsonObject
    configuration: JsonObject
    config_sources: JsonObject
    config_revision: int = 0
    enabled_features: list[str]
    disabled_features: list[str]
    revision: int = 0
    assigned_at: datetime
    assigned_by: str
    updated_at: datetime


COLUMNS = tuple(each.name for each in fields(TenantModule))
KEY = ("organization_id", "module_id")
READ = f"SELECT {', '.join(COLUMNS)} FROM tenant_modules WHERE organization_id = $1 AND module_id = ANY($2::text[])"
READ_ALL = f"SELECT {', '.join(COLUMNS)} FROM tenant_modules WHERE organization_id = $1"
# As part of a statement whose parameter it names: rows that are there already become what is given.
SAVE = f"""INSERT INTO tenant_modules({", ".join(COLUMNS)})
 SELECT {", ".join(COLUMNS)} FROM jsonb_populate_recordset(NULL::tenant_modules, {{rows}}::jsonb)
 ON CONFLICT ({", ".join(KEY)}) DO UPDATE
 SET {", ".join(f"{each} = excluded.{each}" for each in COLUMNS if each not in KEY)}"""
DELETE = "DELETE FROM tenant_modules WHERE organization_id = $1 AND module_id = ANY($2::text[])"


def read_held(assigned: str | None) -> dict[str, Held]:
    """By code, from open_tenant's text; None: the organization has no modules."""
    return {} if assigned is None else {code: Held(*each) for code, each in orjson.loads(assigned).items()}


def columns_of(row: TenantModule) -> JsonObject:
    return {each: getattr(row, each) for each in COLUMNS}


def as_json(rows: Sequence[TenantModule]) -> str:
    """The rows as SAVE takes them."""
    return orjson.dumps([columns_of(row) for row in rows], default=str).decode()  # the driver's own kind of UUID
