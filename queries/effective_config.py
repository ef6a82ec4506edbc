"""The layers of effective configurations. Merging them is rules/config_merge.py's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from models.base import JsonObject
from queries.reader import Reader
from rules.config_merge import LeafSource


@dataclass(frozen=True)
class ConfigKey:
    """Whose configuration of what. `module` None: of every module the organization has."""

    organization_id: UUID
    module: str | None
    company_id: UUID | None


@dataclass(frozen=True)
class ConfigLayers:
    """What the tiers say of one module, and the rev that last touched any of the tenant's."""

    organization_id: UUID
    module: str
    company_id: UUID | None
    version: str
    defaults: JsonObject
    published_at: datetime
    published_revision: int
    industry: JsonObject
    industry_source: JsonObject
    organization: JsonObject
    organization_sources: JsonObject
    company: JsonObject
    company_sources: JsonObject
    revision: int


def stored_sources(sources: Mapping[str, LeafSource]) -> JsonObject:
    """Provenance of a layer's leaves as its row keeps it."""
    return {pointer: asdict(source) for pointer, source in sources.items()}


def read_sources(stored: JsonObject) -> dict[str, LeafSource]:
    return {pointer: LeafSource(**source) for pointer, source in stored.items()}


# A company that is not the organization's yields no row: the same answer as a module that it has not got.
LAYERS = text("""
SELECT t.organization_id, t.module_id, wanted.company_id, t.version, v.default_config, v.published_at,
       v.revision AS published_revision, t.industry_config, t.industry_source,
       t.configuration, t.config_sources,
       coalesce(c.configuration, '{}'::jsonb) AS company_config,
       coalesce(c.config_sources, '{}'::jsonb) AS company_sources,
       greatest(t.config_revision, coalesce(c.revision, 0)) AS revision
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
""")


async def load_config_layers(reader: Reader, keys: Collection[ConfigKey]) -> dict[ConfigKey, list[ConfigLayers]]:
    """For each key the layers of its module, or of all modules; empty when there is nothing to be seen."""
    asked: Sequence[ConfigKey] = list(keys)
    parameters = {
        "organizations": [key.organization_id for key in asked],
        "modules": [key.module for key in asked],
        "companies": [key.company_id for key in asked],
        "with_internal": reader.actor.is_platform_admin,
    }
    found: dict[ConfigKey, list[ConfigLayers]] = {key: [] for key in asked}
    for row in await reader.session.execute(LAYERS, parameters):
        layers = _layers_of(row)
        for module in (layers.module, None):
            key = ConfigKey(organization_id=layers.organization_id, module=module, company_id=layers.company_id)
            if key in found and all(known.module != layers.module for known in found[key]):
                found[key].append(layers)
    return found


def _layers_of(row: Row[Any]) -> ConfigLayers:
    return ConfigLayers(
        organization_id=row.organization_id,
        module=row.module_id,
        company_id=row.company_id,
        version=row.version,
        defaults=row.default_config,
        published_at=row.published_at,
        published_revision=row.published_revision,
        industry=row.industry_config,
        industry_source=row.industry_source,
        organization=row.configuration,
        organization_sources=row.config_sources,
        company=row.company_config,
        company_sources=row.company_sources,
        revision=row.revision,
    )
