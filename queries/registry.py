"""The registry in memory: every module, version and industry, at one revision of the platform's stream.

Small, and asked for by almost every question. It is never believed by itself: whoever uses it names the revision that
it must at least have, which is the stream's floor.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from auth.actor import Actor
from models.database import Database
from models.industry import IndustryModuleRow, IndustryRow
from models.module import ModuleRow, ModuleVersionRow
from models.tenant_reads import TenantReads
from queries.module import catalog_of, requirements_of
from rules.dependency_resolution import Catalog
from rules.manifest import Requirement

R = TypeVar("R", ModuleRow, ModuleVersionRow, IndustryRow, IndustryModuleRow)


@dataclass(frozen=True)
class Registry:
    """What is not deleted. Rows belong to no session, and are shared: nobody may change them."""

    revision: int
    modules: Mapping[str, ModuleRow]
    versions: Mapping[tuple[str, str], ModuleVersionRow]
    industries: Mapping[str, IndustryRow]
    industry_modules: Mapping[str, list[IndustryModuleRow]]
    requirements: Mapping[str, tuple[Requirement, ...]]  # of the latest version
    # what its rows are shown as, as far as that was asked for
    shown: dict[object, Any] = field(default_factory=dict)

    @cached_property
    def catalog(self) -> Catalog:
        """What plans choose from."""
        return catalog_of(
            (code, row.tier, row.is_active, number, version.requirements)
            for (code, number), version in self.versions.items()
            if (row := self.modules.get(code)) is not None
        )

    @cached_property
    def public(self) -> Mapping[str, ModuleRow]:
        """The modules that everybody may see."""
        return {
            code: row for code, row in self.modules.items() if row.tier != "INTERNAL" and row.visibility == "PUBLIC"
        }

    @cached_property
    def active_industries(self) -> Mapping[str, IndustryRow]:
        return {code: row for code, row in self.industries.items() if row.is_active}

    def modules_for(self, actor: Actor) -> Mapping[str, ModuleRow]:
        """Without modules that are not public: who has one may see it, and the registry knows of no tenant."""
        return self.modules if actor.is_platform_admin else self.public

    def versions_for(self, _actor: Actor) -> Mapping[tuple[str, str], ModuleVersionRow]:
        return self.versions

    def industry_modules_for(self, _actor: Actor) -> Mapping[str, list[IndustryModuleRow]]:
        return self.industry_modules

    def industries_for(self, actor: Actor) -> Mapping[str, IndustryRow]:
        return self.industries if actor.is_platform_admin else self.active_industries


class RegistrySnapshot:
    """The newest registry that this process has read. Read again when somebody must have a newer one."""

    def __init__(self, load: Callable[[], Coroutine[Any, Any, Registry]]) -> None:
        self._load = load
        self._held: Registry | None = None
        self._loading: asyncio.Task[Registry] | None = None

    def held(self, revision: int) -> Registry | None:
        """The registry as it was at this revision or later, if this process has read it."""
        return self._held if self._held is not None and self._held.revision >= revision else None

    async def at_least(self, revision: int) -> Registry:
        """The registry as it was at this revision or later; all who wait share one reading."""
        while self._held is None or self._held.revision < revision:
            is_ours = self._loading is None or self._loading.done()
            if self._loading is None or is_ours:
                self._loading = asyncio.create_task(self._load())
            found = await asyncio.shield(self._loading)
            self._hold(found)
            if is_ours and found.revision < revision:
                # Nobody has committed this: the database was restored. What it says now is the truth.
                return found
        return self._held

    async def at(self, revision: int, session: AsyncSession) -> Registry:
        """The registry at just this revision, for a transaction that keeps it so by its lock; read there if need be."""
        if self._held is None or self._held.revision != revision:
            found = await read_registry(session)
            self._hold(found)
            return found
        return self._held

    def _hold(self, found: Registry) -> None:
        if self._held is None or found.revision > self._held.revision:
            self._held = found


async def load_registry(database: Database) -> Registry:
    """In one snapshot of the database, so that the revision is of just these rows."""
    async with database.platform_session() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return await read_registry(session)


SELECT_REVISION = "SELECT rev FROM registry_revision"
REVISION = text(SELECT_REVISION)


async def load_revision(reads: TenantReads, tenant: UUID) -> int:
    """The registry's revision now, as the cheapest statement there is."""
    rows = await reads.fetch(tenant, SELECT_REVISION)
    return rows[0]["rev"] if rows else 0


async def read_registry(session: AsyncSession) -> Registry:
    """As the session sees it, which must not change meanwhile."""
    revision = await session.scalar(REVISION) or 0
    modules = await _all(session, select(ModuleRow).where(ModuleRow.deleted_at.is_(None)))
    versions = await _all(session, select(ModuleVersionRow))
    industries = await _all(session, select(IndustryRow).where(IndustryRow.deleted_at.is_(None)))
    ordered = select(IndustryModuleRow).order_by(IndustryModuleRow.display_order, IndustryModuleRow.module_id)
    listed = await _all(session, ordered)
    codes = {row.id: row.industry_code for row in industries}
    in_industry: dict[str, list[IndustryModuleRow]] = {row.industry_code: [] for row in industries}
    for each in listed:
        if (code := codes.get(each.template_id)) is not None:
            in_industry[code].append(each)
    by_number = {(row.module_id, row.number): row for row in versions}
    return Registry(
        revision=revision,
        modules={row.module_id: row for row in modules},
        versions=by_number,
        industries={row.industry_code: row for row in industries},
        industry_modules=in_industry,
        requirements={
            row.module_id: requirements_of(latest.requirements)
            for row in modules
            if (latest := by_number.get((row.module_id, row.version))) is not None
        },
    )


async def _all(session: AsyncSession, statement: Select[R]) -> Sequence[R]:
    """The rows, taken out of the session: it would empty them when it rolls back."""
    rows = (await session.scalars(statement)).all()
    for row in rows:
        session.expunge(row)
    return rows
