"""The layers of effective configurations, from wherever they are read. Merging them is rules/config_merge.py's."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import text

from models.base import JsonObject
from models.module import ModuleVersionRow
from models.tenant_questions import Question, Rows
from models.tenant_reads import TenantReads
from queries.reader import Reader
from rules.config_merge import LeafSource, overlaid


class ConfigKey(NamedTuple):
    """Whose configuration of what. `module` None: of every module the organization has."""

    organization_id: UUID
    module: str | None
    company_id: UUID | None


@dataclass(slots=True, eq=False)  # many are made for one answer, so not frozen; nobody changes them
class ModuleLayers:
    """What the registry and the organization say of one module. Provenance is the text of JSON: seldom asked for."""

    organization_id: UUID
    module: str
    version: str
    defaults: JsonObject
    published_at: datetime
    published_revision: int
    industry: JsonObject
    industry_source: str
    configuration: JsonObject
    sources: str
    revision: int
    _merged: JsonObject | None = None

    @property
    def values(self) -> JsonObject:
        """Merged, once for all companies that are asked for together. Nobody changes them."""
        if self._merged is None:
            self._merged = overlaid(overlaid(self.defaults, self.industry), self.configuration)
        return self._merged


@dataclass(slots=True, eq=False)
class ConfigLayers:
    """What the tiers say of one module, and the rev that last touched any of the tenant's."""

    base: ModuleLayers
    company_id: UUID | None
    company: JsonObject
    company_sources: str
    revision: int
    _merged: JsonObject | None = None

    @property
    def organization_id(self) -> UUID:
        return self.base.organization_id

    @property
    def module(self) -> str:
        return self.base.module

    @property
    def values(self) -> JsonObject:
        """Merged. Nobody changes them."""
        if self._merged is None:
            self._merged = overlaid(self.base.values, self.company)
        return self._merged


class KeptConfig(NamedTuple):
    """What was merged before, without the layers."""

    organization_id: UUID
    module: str
    company_id: UUID | None
    revision: int
    values: JsonObject


def stored_sources(sources: Mapping[str, LeafSource]) -> JsonObject:
    """Provenance of a layer's leaves as its row keeps it."""
    return {pointer: asdict(source) for pointer, source in sources.items()}


def read_sources(stored: JsonObject) -> dict[str, LeafSource]:
    return {pointer: LeafSource(**source) for pointer, source in stored.items()}


# A company that is not the organization's yields no row: the same answer as a module that it has not got.
LAYERS = text(
    """
SELECT t.organization_id, t.module_id, wanted.company_id, t.version, v.default_config, v.published_at,
       v.revision AS published_revision, t.industry_config, t.industry_source::text,
       t.configuration, t.config_sources::text, t.config_revision,
       coalesce(c.configuration, '{}'::jsonb) AS company_config,
       coalesce(c.config_sources::text, '{}') AS company_sources, coalesce(c.revision, 0) AS company_revision
  FROM unnest(cast(:organizations AS uuid[]), cast(:modules AS text[]), cast(:companies AS uuid[]))
         AS wanted(organization_id, module_id, company_id)
  JOIN tenant_modules t ON t.organization_id = wanted.organization_id
       AND (wanted.module_id IS NULL OR t.module_id = wanted.module_id)
  JOIN module_registry m ON m.module_id = t.module_id AND m.deleted_at IS NULL
  JOIN module_versions v ON v.module_id = t.module_id AND v.number = t.version
  LEFT JOIN companies o ON o.organization_id = wanted.organization_id AND o.id = wanted.company_id
  LEFT JOIN company_modules c ON c.organization_id = t.organization_id AND c.company_id = wanted.company_id
       AND c.module_id = t.module_id
 WHERE (wanted.company_id IS NULL OR o.id IS NOT NULL) AND (:with_internal OR m.tier <> 'INTERNAL')
 ORDER BY t.module_id
"""
)
OF_TENANTS = Question("tenants_config_layers", ("uuid", "text", "uuid"))


async def load_config_layers(reader: Reader, keys: Collection[ConfigKey]) -> dict[ConfigKey, list[ConfigLayers]]:
    """For each key the layers of its module, or of all modules; empty when there is nothing to be seen."""
    asked: Sequence[ConfigKey] = list(keys)
    parameters = {
        "organizations": [key.organization_id for key in asked],
        "modules": [key.module for key in asked],
        "companies": [key.company_id for key in asked],
        "with_internal": reader.actor.is_platform_admin,
    }
    found: dict[ConfigKey, list[ConfigLayers]] = {key: [] for key in keys}
    known: set[tuple[ConfigKey, str]] = set()
    bases: dict[tuple[UUID, str], ModuleLayers] = {}
    for row in (await reader.session.execute(LAYERS, parameters)).mappings():
        organization_id, module, company_id = row["organization_id"], row["module_id"], row["company_id"]
        base = bases.get((organization_id, module))
        if base is None:
            published = (row["default_config"], row["published_at"], row["published_revision"])
            base = bases[organization_id, module] = _base_of(organization_id, row, published)
        for filtered in (module, None):
            key = ConfigKey(organization_id=organization_id, module=filtered, company_id=company_id)
            if key in found and (key, module) not in known:
                known.add((key, module))
                revision = max(base.revision, row["company_revision"])
                layers = ConfigLayers(base, company_id, row["company_config"], row["company_sources"], revision)
                found[key].append(layers)
    return found


Versions = Callable[[list[tuple[str, str]]], Awaitable[Sequence[ModuleVersionRow | None]]]


async def load_tenants_config_layers(
    reads: TenantReads, tenant: UUID, keys: Collection[ConfigKey], *, load_versions: Versions
) -> dict[ConfigKey, list[ConfigLayers]]:
    """The same, as one tenant and together with others' questions. Defaults come from the registry."""
    own = [key for key in keys if key.organization_id == tenant]
    asked = {(tenant, key.module, company_id) for key in own for company_id in (None, key.company_id)}
    rows = await reads.questions.ask(OF_TENANTS, asked) if asked else {}
    in_use = {(row["module_id"], row["version"]) for each in asked if each[2] is None for row in rows.get(each, ())}
    numbers = sorted(in_use)
    published = {
        each: (version.default_config, version.published_at, version.revision)
        for each, version in zip(numbers, await load_versions(numbers), strict=True)
        if version is not None
    }
    bases: dict[str | None, list[ModuleLayers]] = {
        module: [
            _base_of(tenant, row, published[row["module_id"], row["version"]])
            for row in rows.get((tenant, module, None), ())
        ]
        for module in {key.module for key in own}
    }
    return {key: _of_company(key, bases[key.module], rows.get((tenant, key.module, key.company_id), ())) for key in own}


def _of_company(key: ConfigKey, bases: list[ModuleLayers], rows: Rows) -> list[ConfigLayers]:
    if key.company_id is None:
        return [ConfigLayers(base, None, {}, "{}", base.revision) for base in bases]
    if not rows:
        return []  # no such company
    own = {row["module_id"]: row for row in rows}
    found = []
    for base in bases:
        row = own.get(base.module)
        if row is None:
            found.append(ConfigLayers(base, key.company_id, {}, "{}", base.revision))
        else:
            revision = max(base.revision, row["config_revision"])
            found.append(ConfigLayers(base, key.company_id, row["configuration"], row["config_sources"], revision))
    return found


def _base_of(
    organization_id: UUID, row: Mapping[str, Any] | asyncpg.Record, published: tuple[JsonObject, datetime, int]
) -> ModuleLayers:
    defaults, published_at, published_revision = published
    return ModuleLayers(
        organization_id=organization_id,
        module=row["module_id"],
        version=row["version"],
        defaults=defaults,
        published_at=published_at,
        published_revision=published_revision,
        industry=row["industry_config"],
        industry_source=row["industry_source"],
        configuration=row["configuration"],
        sources=row["config_sources"],
        revision=row["config_revision"],
    )
