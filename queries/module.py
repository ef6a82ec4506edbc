"""Questions about the registry. What a caller may see: INTERNAL and unshared modules are for administrators."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, any_, exists, func, literal, or_, select, text

from models.assignment import TenantModuleRow
from models.module import ModuleRow, ModuleVersionRow
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader, among
from rules.dependency_resolution import Catalog, CatalogModule, Release
from rules.manifest import Requirement
from rules.version_range import newest_first


@dataclass(frozen=True)
class ModuleFilter:
    search: str | None = None
    category: str | None = None
    tag: str | None = None
    tier: str | None = None
    is_active: bool | None = None


def contains(column: ColumnElement[str], search: str) -> ColumnElement[bool]:
    """Case-insensitive substring; the wildcards of LIKE are letters like any other here."""
    return column.icontains(search, autoescape=True)


def _is_visible(reader: Reader) -> ColumnElement[bool]:
    if reader.actor.is_platform_admin:
        return ModuleRow.deleted_at.is_(None)
    if (own := reader.actor.module_code) is not None:
        # a module's service has no tenant; its own module it sees whatever that is
        is_public = and_(ModuleRow.tier != "INTERNAL", ModuleRow.visibility == "PUBLIC")
        return and_(ModuleRow.deleted_at.is_(None), or_(ModuleRow.module_id == own, is_public))
    # row-level security narrows tenant_modules to the caller's own organization
    has_it = exists().where(TenantModuleRow.module_id == ModuleRow.module_id)
    return and_(
        ModuleRow.deleted_at.is_(None),
        ModuleRow.tier != "INTERNAL",
        or_(ModuleRow.visibility == "PUBLIC", has_it),
    )


async def load_modules_by_codes(reader: Reader, codes: Collection[str]) -> dict[str, ModuleRow]:
    """Those of the modules that the caller may see."""
    found: dict[str, ModuleRow] = {}
    if (registry := await reader.registry()) is not None:
        seen = registry.modules_for(reader.actor)
        found = {code: seen[code] for code in codes if code in seen}
    if missing := [code for code in codes if code not in found]:
        statement = select(ModuleRow).where(among(ModuleRow.module_id, missing), _is_visible(reader))
        found.update({row.module_id: row for row in await reader.session.scalars(statement)})
    return found


async def load_internal_codes(reader: Reader, codes: Collection[str]) -> set[str]:
    """Those of the codes that nobody but administrators may be told."""
    if reader.actor.is_platform_admin:
        return set()
    statement = select(ModuleRow.module_id).where(among(ModuleRow.module_id, list(codes)), ModuleRow.tier == "INTERNAL")
    return set(await reader.session.scalars(statement))


async def list_modules(reader: Reader, wanted: ModuleFilter, page: PageRequest) -> Page[ModuleRow]:
    """Modules by code."""
    statement = select(ModuleRow).where(*_conditions(reader, wanted))
    if page.after is not None:
        statement = statement.where(ModuleRow.module_id > page.after)
    statement = statement.order_by(ModuleRow.module_id).limit(page.first + 1)
    rows = list(await reader.session.scalars(statement))
    return page_of(rows, page, key=lambda row: row.module_id)


async def count_modules(reader: Reader, wanted: ModuleFilter) -> int:
    statement = select(func.count()).select_from(ModuleRow).where(*_conditions(reader, wanted))
    return await reader.session.scalar(statement) or 0


def _conditions(reader: Reader, wanted: ModuleFilter) -> list[ColumnElement[bool]]:
    conditions = [_is_visible(reader)]
    if wanted.search:
        columns = (ModuleRow.module_id, ModuleRow.module_name, ModuleRow.description)
        conditions.append(or_(*(contains(column.expression, wanted.search) for column in columns)))
    if wanted.category is not None:
        conditions.append(ModuleRow.category == wanted.category)
    if wanted.tag is not None:
        conditions.append(literal(wanted.tag) == any_(ModuleRow.tags))
    if wanted.tier is not None:
        conditions.append(ModuleRow.tier == wanted.tier)
    if wanted.is_active is not None:
        conditions.append(ModuleRow.is_active.is_(wanted.is_active))
    return conditions


async def load_versions(reader: Reader, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], ModuleVersionRow]:
    """Versions by (module code, number)."""
    if (registry := await reader.registry()) is not None:
        return {key: row for key in keys if (row := registry.versions.get(key)) is not None}
    statement = select(ModuleVersionRow).where(
        among(ModuleVersionRow.module_id, sorted({code for code, _ in keys})),
        among(ModuleVersionRow.number, sorted({number for _, number in keys})),
    )
    rows = await reader.session.scalars(statement)
    return {key: row for row in rows if (key := (row.module_id, row.number)) in keys}


async def load_version_pages(
    reader: Reader, codes: Sequence[str], page: PageRequest
) -> dict[str, Page[ModuleVersionRow]]:
    """Versions of each module, newest first by SemVer; the numbers are ordered here, the manifests read after."""
    statement = select(ModuleVersionRow.module_id, ModuleVersionRow.number)
    numbers: dict[str, list[str]] = {code: [] for code in codes}
    for code, number in await reader.session.execute(statement.where(among(ModuleVersionRow.module_id, codes))):
        numbers[code].append(number)
    windows = {code: _window(newest_first(found), page) for code, found in numbers.items()}
    rows = await load_versions(reader, {(code, number) for code, found in windows.items() for number in found})
    return {
        code: page_of([rows[code, number] for number in found], page, key=lambda row: row.number)
        for code, found in windows.items()
    }


def _window(numbers: Sequence[str], page: PageRequest) -> Sequence[str]:
    start = numbers.index(page.after) + 1 if page.after in numbers else 0
    return numbers[start : start + page.first + 1]


async def load_requirements(reader: Reader) -> dict[str, tuple[Requirement, ...]]:
    """What the latest version of every module requires: the whole dependency graph, in one statement."""
    statement = (
        select(ModuleVersionRow.module_id, ModuleVersionRow.requirements)
        .join(
            ModuleRow,
            and_(ModuleRow.module_id == ModuleVersionRow.module_id, ModuleRow.version == ModuleVersionRow.number),
        )
        .where(ModuleRow.deleted_at.is_(None))
    )
    return {code: requirements_of(found) for code, found in await reader.session.execute(statement)}


IN_USE = text(
    "SELECT v.module_id, v.requirements FROM module_versions v WHERE EXISTS"
    " (SELECT 1 FROM tenant_modules t WHERE t.module_id = v.module_id AND t.version = v.number)"
)


async def load_requirements_in_use(reader: Reader) -> dict[str, set[str]]:
    """Which modules are required by any version that some organization has, and by every latest version."""
    edges: dict[str, set[str]] = {}
    for code, found in (await load_requirements(reader)).items():
        edges.setdefault(code, set()).update(each.module for each in found if not each.is_optional)
    for code, stored in await reader.session.execute(IN_USE):
        edges.setdefault(code, set()).update(each.module for each in requirements_of(stored) if not each.is_optional)
    return edges


def requirements_of(stored: Sequence[dict[str, object]]) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(module=str(item["module"]), range=str(item["range"]), is_optional=bool(item["is_optional"]))
        for item in stored
    )


CATALOG = text(
    "SELECT m.module_id, m.tier, m.is_active, v.number, v.requirements FROM module_registry m"
    " JOIN module_versions v USING (module_id) WHERE m.deleted_at IS NULL"
)


async def load_catalog(reader: Reader) -> Catalog:
    """Every module and release that a plan may choose from, INTERNAL ones included."""
    if (registry := await reader.registry()) is not None:
        return registry.catalog
    return catalog_of(await reader.session.execute(CATALOG))


def catalog_of(rows: Iterable[tuple[str, str, bool, str, Sequence[dict[str, object]]]]) -> Catalog:
    """`rows`: of each release its module's code, tier and whether it is switched on, its number and requirements."""
    modules: dict[str, tuple[str, bool]] = {}
    releases: dict[str, dict[str, Release]] = {}
    for code, tier, is_active, number, requirements in rows:
        modules[code] = (tier, is_active)
        release = Release(module=code, number=number, requirements=requirements_of(requirements))
        releases.setdefault(code, {})[number] = release
    return {
        code: CatalogModule(
            code=code,
            tier=tier,
            is_active=is_active,
            releases=tuple(releases[code][number] for number in newest_first(releases[code])),
        )
        for code, (tier, is_active) in modules.items()
    }
