"""Who is asking. Never decides what they may do: that is policy.py."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from uuid import UUID


class Role(StrEnum):
    SUPER_ADMIN = "SUPER_ADMIN"  # the platform's administrators: every organization and the registry
    ORGANIZATION_ADMIN = "ORGANIZATION_ADMIN"  # one organization, all of it
    COMPANY_ADMIN = "COMPANY_ADMIN"  # one company in it: tier 3
    MEMBER = "MEMBER"  # reads an organization, or one company of it
    MODULE = "MODULE"  # a partner module's service: reads one organization
    MODULE_SERVICE = "MODULE_SERVICE"  # the same by its API key: keeps its own module in the registry; no tenant


@dataclass(frozen=True)
class Actor:
    """The caller, as the credential says. `organization_id` is the tenant of everything the caller does."""

    subject: str
    roles: frozenset[Role]
    organization_id: UUID | None = None
    company_id: UUID | None = None
    expires_at: float | None = None  # seconds since the epoch
    issued_at: float | None = None  # the same; None: not from a token
    module_code: str | None = None  # of MODULE_SERVICE: whose service it is
    api_key_id: UUID | None = None  # the key it came with; None: it came with none

    @cached_property
    def rights(self) -> str:
        """Who has the same may see and do the same."""
        return "|".join((*sorted(self.roles), str(self.organization_id), str(self.company_id), str(self.module_code)))

    @property
    def is_anonymous(self) -> bool:
        return not self.roles

    @property
    def is_platform_admin(self) -> bool:
        return Role.SUPER_ADMIN in self.roles

    def may_keep_module(self, code: str) -> bool:
        """Whether it is for the caller to say what a module is and where it runs: its own service, the platform."""
        return self.is_platform_admin or (self.module_code is not None and self.module_code == code)

    def may_see_organization(self, organization_id: UUID) -> bool:
        return self.is_platform_admin or organization_id == self.organization_id

    def may_see_company(self, organization_id: UUID, company_id: UUID) -> bool:
        """A caller bound to one company sees no other, not even in its own organization."""
        return self.may_see_organization(organization_id) and self.company_id in (None, company_id)


ANONYMOUS = Actor(subject="anonymous", roles=frozenset())
PLATFORM = Actor(subject="modplane", roles=frozenset({Role.SUPER_ADMIN}))
"""The platform's own work: seeding, bulk operations."""
