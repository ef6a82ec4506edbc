"""One DataLoader per kind of thing: whatever is asked for in one tick is read by one statement.

Loaders belong to one operation of one caller, so nothing loaded for somebody else can come out of them.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from auth.actor import Actor
from models.assignment import TenantModuleRow
from models.database import Database
from models.industry import IndustryModuleRow, IndustryRow
from models.module import ModuleRow, ModuleVersionRow
from models.organization import CompanyRow
from queries import adoption as adoption_queries
from queries import assignment as assignment_queries
from queries import effective_config as config_queries
from queries import industry as industry_queries
from queries import module as module_queries
from queries import organization as organization_queries
from queries.adoption import Adoption
from queries.effective_config import ConfigKey, ConfigLayers
from queries.organization import OrganizationRecord
from queries.page import Page, PageRequest
from queries.reader import Reader, open_reader
from rules.dependency_graph import reverse
from rules.manifest import Requirement

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
# As many as a document may answer with (limits.cost): splitting a batch sooner would make statements depend on numbers.
BATCH_MAX = 10_000

Requirements = Mapping[str, tuple[Requirement, ...]]


class Loaders:
    def __init__(self, database: Database, actor: Actor) -> None:
        self._database, self._actor = database, actor
        self.module: DataLoader[str, ModuleRow | None] = self._by_key(module_queries.load_modules_by_codes)
        self.version: DataLoader[tuple[str, str], ModuleVersionRow | None] = self._by_key(module_queries.load_versions)
        self.versions: DataLoader[tuple[str, PageRequest], Page[ModuleVersionRow]] = self._by_page(
            module_queries.load_version_pages
        )
        self.requirements: DataLoader[None, Requirements] = self._whole(module_queries.load_requirements)
        self.dependents: DataLoader[None, Mapping[str, list[str]]] = DataLoader(load_fn=self._load_dependents)
        self.industry: DataLoader[str, IndustryRow | None] = self._by_key(industry_queries.load_industries_by_codes)
        self.industry_modules: DataLoader[str, list[IndustryModuleRow]] = self._lists(
            industry_queries.load_industry_modules
        )
        self.organization: DataLoader[UUID, OrganizationRecord | None] = self._by_key(
            organization_queries.load_organizations_by_ids
        )
        self.company: DataLoader[UUID, CompanyRow | None] = self._by_key(organization_queries.load_companies_by_ids)
        self.companies: DataLoader[tuple[UUID, PageRequest], Page[CompanyRow]] = self._by_page(
            organization_queries.load_company_pages
        )
        self.assignments: DataLoader[UUID, list[TenantModuleRow]] = self._lists(
            assignment_queries.load_assignments_by_organizations
        )
        self.assigned_dependents: DataLoader[UUID, Mapping[str, list[str]] | None] = self._by_key(
            assignment_queries.load_dependents_by_organizations
        )
        self.module_assignments: DataLoader[tuple[str, PageRequest], Page[TenantModuleRow]] = self._by_page(
            assignment_queries.load_assignment_pages_by_modules
        )
        self.assignment_count: DataLoader[str, int | None] = self._by_key(
            assignment_queries.count_assignments_by_modules
        )
        self.adoption: DataLoader[str, Adoption | None] = self._by_key(adoption_queries.load_adoption_by_modules)
        self.config_layers: DataLoader[ConfigKey, list[ConfigLayers]] = self._lists(config_queries.load_config_layers)

    async def _load_dependents(self, keys: list[None]) -> list[Mapping[str, list[str]]]:
        """The dependency graph the other way round: turned once, however many modules ask."""
        requirements = await self.requirements.load(None)
        edges = {code: [each.module for each in found if not each.is_optional] for code, found in requirements.items()}
        turned = reverse(edges)
        return [turned for _ in keys]

    def _by_key(self, query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, V]]]) -> DataLoader[K, V | None]:
        async def load(keys: list[K]) -> list[V | None]:
            async with open_reader(self._database, self._actor) as reader:
                found = await query(reader, keys)
            return [found.get(key) for key in keys]

        return DataLoader(load_fn=load, max_batch_size=BATCH_MAX)

    def _lists(self, query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, list[V]]]]) -> DataLoader[K, list[V]]:
        async def load(keys: list[K]) -> list[list[V]]:
            async with open_reader(self._database, self._actor) as reader:
                found = await query(reader, keys)
            return [found.get(key, []) for key in keys]

        return DataLoader(load_fn=load, max_batch_size=BATCH_MAX)

    def _by_page(
        self, query: Callable[[Reader, Sequence[K], PageRequest], Awaitable[Mapping[K, Page[V]]]]
    ) -> DataLoader[tuple[K, PageRequest], Page[V]]:
        """Pages of many parents: one statement per distinct page argument, which a document has few of."""

        async def load(keys: list[tuple[K, PageRequest]]) -> list[Page[V]]:
            found: dict[tuple[K, PageRequest], Page[V]] = {}
            for request in dict.fromkeys(request for _, request in keys):
                parents = [parent for parent, asked in keys if asked == request]
                async with open_reader(self._database, self._actor) as reader:
                    pages = await query(reader, parents, request)
                found.update({(parent, request): pages[parent] for parent in parents})
            return [found[key] for key in keys]

        return DataLoader(load_fn=load, max_batch_size=BATCH_MAX)

    def _whole(self, query: Callable[[Reader], Awaitable[V]]) -> DataLoader[None, V]:
        async def load(keys: list[None]) -> list[V]:
            async with open_reader(self._database, self._actor) as reader:
                found = await query(reader)
            return [found for _ in keys]

        return DataLoader(load_fn=load)
