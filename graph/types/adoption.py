"""How far a module has spread, as the API shows it."""

import strawberry

from queries.adoption import Adoption


@strawberry.type(description="A version, and how many organizations have it.")
class ModuleVersionAdoption:
    version: str
    organizations: int


@strawberry.type(description="Folded from the events, and so a moment behind: for looking at, not for deciding.")
class ModuleAdoption:
    organizations: int = strawberry.field(description="How many organizations have it.")
    active: int = strawberry.field(description="In how many of them it is ACTIVE.")
    versions: list[ModuleVersionAdoption] = strawberry.field(description="Newest first, by SemVer.")

    @staticmethod
    def of(found: Adoption | None) -> "ModuleAdoption":
        adoption = found or Adoption()
        versions = [
            ModuleVersionAdoption(version=each.version, organizations=each.organizations) for each in adoption.versions
        ]
        return ModuleAdoption(organizations=adoption.organizations, active=adoption.active, versions=versions)
