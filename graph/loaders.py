"""One DataLoader per kind of thing: whatever is asked for in one tick is read by one statement.

Loaders belong to one operation of one caller, so nothing loaded for somebody else can come out of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from auth.actor import Actor
from cache.instances import Instances
from cache.keys import EffectiveConfigId
from graph.batching import Batches, Follows, RegistryLoader, TenantLoader
from graph.loader import DataLoader, made_once
from models.api_key import ModuleApiKeyRow
from models.assignment import TenantModuleRow
from models.database import Database
from models.industry import IndustryModuleRow, IndustryRow
from models.module import ModuleRow, ModuleVersionRow
from models.subgraph import SubgraphVersionRow
from models.supergraph import SupergraphRow
from queries import adoption as adoption_queries
from queries import api_key as api_key_queries
from queries import assignment as assignment_queries
from queries import effective_config as config_queries
from queries import industry as industry_queries
from queries import instance as instance_queries
from queries import module as module_queries
from queries import organization as organization_queries
from queries import subgraph as subgraph_queries
from queries import supergraph as supergraph_queries
from queries.adoption import Adoption
from queries.assignment import Assigned
from queries.effective_config import ConfigKey, ConfigLayers, KeptConfig
from queries.organization import CompanyRecord, OrganizationRecord
from queries.page import Page, PageRequest
from queries.registry import Registry
from queries.subgraph import SubgraphTexts
from queries.supergraph import SupergraphTexts
from queries.tenant_values import TenantValues
from rules.dependency_graph import reverse
from rules.instance import Instance
from rules.manifest import Requirement

Requirements = Mapping[str, tuple[Requirement, ...]]


class Loaders(Batches):
    """Each is made when it is first asked for: an operation needs few of them."""

    def __init__(
        self,
        database: Database,
        actor: Actor,
        note_read: Callable[[Follows | None], None],
        registry: Callable[[], Awaitable[Registry | None]],
        at_hand: Callable[[], Registry | None],
        values: Callable[[], TenantValues | None],
        instances: Instances,
    ) -> None:
        super().__init__(database, actor, note_read, registry, at_hand, values)
        self._known_instances = instances
        self._tenant = None if actor.is_platform_admin else actor.organization_id

    @made_once
    def module(self) -> RegistryLoader[str, ModuleRow]:
        return RegistryLoader(self, module_queries.load_modules_by_codes, Registry.modules_for)

    @made_once
    def version(self) -> RegistryLoader[tuple[str, str], ModuleVersionRow]:
        return RegistryLoader(self, module_queries.load_versions, Registry.versions_for)

    @made_once
    def versions(self) -> DataLoader[tuple[str, PageRequest], Page[ModuleVersionRow]]:
        return self._by_page(module_queries.load_version_pages, Follows.REGISTRY)

    @made_once
    def requirements(self) -> DataLoader[None, Requirements]:
        return DataLoader(self._load_requirements)

    @made_once
    def dependents(self) -> DataLoader[None, Mapping[str, list[str]]]:
        return DataLoader(self._load_dependents)

    @made_once
    def industry(self) -> RegistryLoader[str, IndustryRow]:
        return RegistryLoader(self, industry_queries.load_industries_by_codes, Registry.industries_for)

    @made_once
    def industry_modules(self) -> RegistryLoader[str, list[IndustryModuleRow]]:
        return RegistryLoader(self, industry_queries.load_industry_modules, Registry.industry_modules_for)

    @made_once
    def organization(self) -> DataLoader[UUID, OrganizationRecord | None]:
        if self._tenant is None:
            return self._by_key(organization_queries.load_organizations_by_ids, Follows.ORGANIZATION)
        query = organization_queries.load_tenants_organizations
        return TenantLoader(self, self._tenant, query, lambda: None, TenantValues.organizations, reads_at_once=True)

    @made_once
    def company(self) -> DataLoader[UUID, CompanyRecord | None]:
        return self._by_key(organization_queries.load_companies_by_ids, Follows.ORGANIZATION)

    @made_once
    def companies(self) -> DataLoader[tuple[UUID, PageRequest], Page[CompanyRecord]]:
        if self._tenant is None:
            return self._by_page(organization_queries.load_company_pages, Follows.ORGANIZATION)
        only = self.actor.company_id
        query = partial(organization_queries.load_tenants_company_pages, only=only)
        return TenantLoader(self, self._tenant, query, lambda: Page(items=[], keys=[], has_next=False))

    @made_once
    def assignments(self) -> DataLoader[UUID, list[Assigned]]:
        if self._tenant is None:
            return self._lists(assignment_queries.load_assignments_by_organizations, Follows.ORGANIZATION)
        query = assignment_queries.load_tenants_assignments
        return TenantLoader(self, self._tenant, query, list, TenantValues.assignments, reads_at_once=True)

    @made_once
    def assigned_dependents(self) -> DataLoader[UUID, Mapping[str, list[str]] | None]:
        return self._by_key(assignment_queries.load_dependents_by_organizations, Follows.ORGANIZATION)

    @made_once
    def module_assignments(self) -> DataLoader[tuple[str, PageRequest], Page[TenantModuleRow]]:
        return self._by_page(assignment_queries.load_assignment_pages_by_modules, Follows.ORGANIZATION)

    @made_once
    def assignment_count(self) -> DataLoader[str, int | None]:
        return self._by_key(assignment_queries.count_assignments_by_modules, Follows.ORGANIZATION)

    @made_once
    def adoption(self) -> DataLoader[str, Adoption | None]:
        return self._by_key(adoption_queries.load_adoption_by_modules, None)

    @made_once
    def api_keys(self) -> DataLoader[str, list[ModuleApiKeyRow]]:
        return self._lists(api_key_queries.load_api_keys_by_modules, None)

    @made_once
    def subgraph(self) -> DataLoader[str, SubgraphVersionRow | None]:
        return self._by_key(subgraph_queries.load_active_subgraphs, Follows.REGISTRY)

    @made_once
    def subgraph_by_id(self) -> DataLoader[UUID, SubgraphVersionRow | None]:
        return self._by_key(subgraph_queries.load_subgraphs_by_ids, Follows.REGISTRY)

    @made_once
    def subgraph_texts(self) -> DataLoader[UUID, SubgraphTexts | None]:
        return self._by_key(subgraph_queries.load_subgraph_texts, Follows.REGISTRY)

    @made_once
    def subgraphs(self) -> DataLoader[tuple[str, PageRequest], Page[SubgraphVersionRow]]:
        return self._by_page(subgraph_queries.load_subgraph_pages, Follows.REGISTRY)

    @made_once
    def supergraph(self) -> DataLoader[int, SupergraphRow | None]:
        return self._by_key(supergraph_queries.load_supergraphs, Follows.REGISTRY)

    @made_once
    def supergraph_texts(self) -> DataLoader[int, SupergraphTexts | None]:
        return self._by_key(supergraph_queries.load_supergraph_texts, Follows.REGISTRY)

    @made_once
    def supergraph_head(self) -> DataLoader[None, int | None]:
        return self._by_key(supergraph_queries.load_heads, Follows.REGISTRY)

    @made_once
    def instances(self) -> DataLoader[str, list[Instance]]:
        return self._instances_from(self._known_instances)

    @made_once
    def config_layers(self) -> DataLoader[ConfigKey, list[ConfigLayers]]:
        if self._tenant is None:
            return self._lists(config_queries.load_config_layers, Follows.ORGANIZATION)
        query = partial(config_queries.load_tenants_config_layers, load_versions=self.version.load_many)
        return TenantLoader(self, self._tenant, query, list)

    @made_once
    def effective_configs(self) -> DataLoader[ConfigKey, Sequence[ConfigLayers | KeptConfig]]:
        """Merged, by way of Redis where that is known to be new enough; their layers otherwise."""
        if self._tenant is None:
            return DataLoader(self.config_layers.load_many)
        return TenantLoader(self, self._tenant, self._layers, list, self._kept_configs)

    async def _layers(self, _reads: object, _tenant: UUID, keys: Sequence[ConfigKey]) -> Mapping[ConfigKey, Any]:
        return dict(zip(keys, await self.config_layers.load_many(keys), strict=True))

    async def _kept_configs(
        self, values: TenantValues, keys: Sequence[ConfigKey]
    ) -> Mapping[ConfigKey, Sequence[ConfigLayers | KeptConfig]]:
        """Of which modules there are configurations, the assignments say."""
        assigned = await self.assignments.load(values.tenant) if any(key.module is None for key in keys) else []
        codes = [row.module_id for row in assigned]
        wanted = {
            key: [
                EffectiveConfigId(key.organization_id, code, key.company_id)
                for code in (codes if key.module is None else [key.module])
            ]
            for key in keys
        }
        ids = dict.fromkeys(each for several in wanted.values() for each in several)
        found = await values.configs(ids, self.config_layers.load_many)
        return {key: [found[each] for each in several if each in found] for key, several in wanted.items()}

    async def _load_requirements(self, keys: list[None]) -> list[Requirements]:
        registry = await self.registry()
        if registry is not None:
            self.note_read(Follows.REGISTRY)
            return [registry.requirements for _ in keys]
        async with self.reader(Follows.REGISTRY) as reader:
            found = await module_queries.load_requirements(reader)
        return [found for _ in keys]

    async def _load_dependents(self, keys: list[None]) -> list[Mapping[str, list[str]]]:
        """The dependency graph the other way round: turned once, however many modules ask."""
        requirements = await self.requirements.load(None)
        edges = {code: [each.module for each in found if not each.is_optional] for code, found in requirements.items()}
        turned = reverse(edges)
        return [turned for _ in keys]

    def _instances_from(self, instances: Instances) -> DataLoader[str, list[Instance]]:
        async def load(codes: list[str]) -> list[list[Instance]]:
            self.note_read(None)
            found = await instance_queries.load_instances(instances, codes)
            return [found[code] for code in codes]

        return DataLoader(load)
