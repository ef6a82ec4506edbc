"""What tenants ask for again and again, by way of Redis: under the documented keys, stamped with revs, never older than
the floors. Never holds: how values are kept, or what whoever asks is shown of them.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from cache.keys import EFFECTIVE_CONFIG, ORGANIZATION_INFO, ORGANIZATION_MODULES, EffectiveConfigId, Family
from cache.read_through import ReadThrough
from cache.stamped import Stamped
from models.base import PLATFORM_ID
from models.tenant_reads import TenantReads
from queries.assignment import Assigned, load_tenants_assignments
from queries.effective_config import ConfigKey, ConfigLayers, KeptConfig
from queries.organization import OrganizationRecord, load_tenants_organizations

COLUMNS = tuple(each.name for each in fields(Assigned))
REVS = """SELECT (SELECT rev FROM org_revision WHERE organization_id = $1) AS own,
 (SELECT rev FROM registry_revision) AS registry"""
LoadLayers = Callable[[list[ConfigKey]], Awaitable[Sequence[Sequence[ConfigLayers]]]]


@dataclass(frozen=True)
class TenantValues:
    """Of one tenant. `seen`: the revs of its stream and the registry's that whatever is answered must reach.

    What is loaded is stamped with revs that are read then: after the leases that stand in for missing floors were put
    up, and before the values. Revs from earlier would become floors that a commit in between had passed already.
    """

    cache: ReadThrough
    reads: TenantReads
    tenant: UUID
    seen: Mapping[UUID, int]

    async def organizations(self, ids: Collection[UUID]) -> dict[UUID, OrganizationRecord]:
        """The tenant's own, if it is asked for."""

        async def load(tenants: Collection[UUID]) -> dict[UUID, Stamped]:
            revs = await self._revs()
            found = await load_tenants_organizations(self.reads, self.tenant, tenants)
            return {each: _stamped(ORGANIZATION_INFO, each, revs, _told(found.get(each))) for each in tenants}

        value = (await self.cache.get_many(ORGANIZATION_INFO, self._own(ids), load, need=self.seen)).get(self.tenant)
        return {} if value is None or value.value is None else {self.tenant: _organization_of(value.value)}

    async def assignments(self, ids: Collection[UUID]) -> dict[UUID, list[Assigned]]:
        """By code, the tenant's own."""

        async def load(tenants: Collection[UUID]) -> dict[UUID, Stamped]:
            revs = await self._revs()
            found = await load_tenants_assignments(self.reads, self.tenant, tenants)
            rows = {each: [_row_of(row) for row in found.get(each, ())] for each in tenants}
            return {each: _stamped(ORGANIZATION_MODULES, each, revs, rows[each]) for each in tenants}

        value = (await self.cache.get_many(ORGANIZATION_MODULES, self._own(ids), load, need=self.seen)).get(self.tenant)
        return {} if value is None or value.value is None else {self.tenant: [_assigned_of(row) for row in value.value]}

    async def configs(
        self, ids: Collection[EffectiveConfigId], load_layers: LoadLayers
    ) -> dict[EffectiveConfigId, KeptConfig]:
        """Merged. What there is no such module or company for is left out, and is not kept: anybody could fill Redis
        with what does not exist.
        """

        async def load(missing: Collection[EffectiveConfigId]) -> dict[EffectiveConfigId, Stamped]:
            revs = await self._revs()
            # defaults come from a registry that may be older, in which a version is what it always was
            layers = await load_layers([ConfigKey(*each) for each in missing])
            return {
                each: _stamped(EFFECTIVE_CONFIG, each, revs, [found[0].revision, found[0].values])
                for each, found in zip(missing, layers, strict=True)
                if found
            }

        own = [each for each in ids if each.organization_id == self.tenant]
        values = await self.cache.get_many(EFFECTIVE_CONFIG, own, load, need=self.seen)
        return {
            each: KeptConfig(*each, revision=value.value[0], values=value.value[1])
            for each, value in values.items()
            if value is not None
        }

    def _own(self, ids: Collection[UUID]) -> list[UUID]:
        return [self.tenant] if self.tenant in ids else []

    async def _revs(self) -> Mapping[UUID, int]:
        rows = await self.reads.fetch(self.tenant, REVS, self.tenant)
        return {self.tenant: rows[0]["own"] or 0, PLATFORM_ID: rows[0]["registry"] or 0}


def _stamped(family: Family[Any], key: Any, revs: Mapping[UUID, int], value: object) -> Stamped:
    return Stamped({stream: revs[stream] for stream in family.streams(key)}, value)


def _told(record: OrganizationRecord | None) -> list[object] | None:
    return None if record is None else [str(record.organization_id), *record[1:]]


def _organization_of(value: list[Any]) -> OrganizationRecord:
    return OrganizationRecord(UUID(value[0]), *value[1:])


def _row_of(row: Assigned) -> dict[str, object]:
    told = {name: getattr(row, name) for name in COLUMNS}
    return {**told, "organization_id": str(row.organization_id), "assigned_at": row.assigned_at.isoformat()}


def _assigned_of(value: Mapping[str, Any]) -> Assigned:
    assigned_at = datetime.fromisoformat(value["assigned_at"])
    return Assigned(**{**value, "organization_id": UUID(value["organization_id"]), "assigned_at": assigned_at})
