"""Questions about adoption. The read model is over all tenants: only platform administrators may ask."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from models.adoption import ModuleAdoptionRow
from queries.reader import Reader, among
from rules.version_range import newest_first


@dataclass(frozen=True)
class VersionAdoption:
    """How many organizations have a version."""

    version: str
    organizations: int


@dataclass(frozen=True)
class Adoption:
    """How many organizations have a module, and in how many it is active. `versions`: newest first."""

    organizations: int = 0
    active: int = 0
    versions: tuple[VersionAdoption, ...] = ()


async def load_adoption_by_modules(reader: Reader, codes: Collection[str]) -> dict[str, Adoption]:
    """Of each module that anybody has."""
    row = ModuleAdoptionRow
    counts = (func.count(), func.count().filter(row.state == "ACTIVE"))
    statement = (
        select(row.module_id, row.version, *counts)
        .where(among(row.module_id, list(codes)), row.is_assigned)
        .group_by(row.module_id, row.version)
    )
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for code, version, organizations, active in await reader.session.execute(statement):
        found.setdefault(code, {})[version] = (organizations, active)
    return {code: _adoption(versions) for code, versions in found.items()}


def _adoption(versions: dict[str, tuple[int, int]]) -> Adoption:
    return Adoption(
        organizations=sum(organizations for organizations, _ in versions.values()),
        active=sum(active for _, active in versions.values()),
        versions=tuple(VersionAdoption(version, versions[version][0]) for version in newest_first(versions)),
    )
