"""All key names in Redis and their lifetimes, in one table.

The names are documented, and others may read or delete under them: an organization's are all `org:<its id>:...`. The
braces of `org:{org_id}:modules` stand for the id and are not written. They would be a cluster's hash tag, but reads of
one tick are joined over all organizations, which a cluster refuses: this is for one server and its replicas.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from models.base import PLATFORM_ID

K = TypeVar("K")

REGISTRY = (PLATFORM_ID,)
JITTER = 0.15  # of a lifetime, to either side: what was stored together must not run out together
NEGATIVE_TTL_SECONDS = 30
LOCK_MILLISECONDS = 3_000
LEASE_TTL_SECONDS = 30  # of a load: who takes longer is refused
# More than twice the longest lifetime of a value: a floor that is there when its values are saves them a reload.
FLOOR_TTL_SECONDS = 3 * 3_600


@dataclass(frozen=True)
class Family(Generic[K]):
    """Values of one kind. `streams`: whose commits make a value old. `version`: of the value's form."""

    pattern: str
    ttl_seconds: int
    key: Callable[[K], str]
    streams: Callable[[K], tuple[UUID, ...]]
    version: int = 1


class EffectiveConfigId(NamedTuple):
    """A module's effective configuration: the organization's, or one company's."""

    organization_id: UUID
    code: str
    company_id: UUID | None = None

    @property
    def key(self) -> str:
        key = f"org:{self.organization_id}:module:{self.code}:effective"
        return key if self.company_id is None else f"{key}:{self.company_id}"


ORGANIZATION_MODULES: Family[UUID] = Family(
    pattern="org:{org_id}:modules",
    ttl_seconds=300,
    key=lambda organization_id: f"org:{organization_id}:modules",
    streams=lambda organization_id: (organization_id, PLATFORM_ID),
)
ORGANIZATION_INFO: Family[UUID] = Family(
    pattern="org:{org_id}:info",
    ttl_seconds=300,
    key=lambda organization_id: f"org:{organization_id}:info",
    streams=lambda organization_id: (organization_id,),
)
EFFECTIVE_CONFIG: Family[EffectiveConfigId] = Family(
    pattern="org:{org_id}:module:{code}:effective[:{company_id}]",
    ttl_seconds=300,
    key=lambda config: config.key,
    streams=lambda config: (config.organization_id, PLATFORM_ID),
)
INDUSTRY_MODULES: Family[str] = Family(
    pattern="industry:{code}:modules",
    ttl_seconds=3_600,
    key=lambda code: f"industry:{code}:modules",
    streams=lambda _: REGISTRY,
)
MODULE_CONFIG: Family[str] = Family(
    pattern="module:{module_id}:config",
    ttl_seconds=600,
    key=lambda module_id: f"module:{module_id}:config",
    streams=lambda _: REGISTRY,
)
REGISTRY_MODULES: Family[None] = Family(
    pattern="modules:registry:all",
    ttl_seconds=600,
    key=lambda _: "modules:registry:all",
    streams=lambda _: REGISTRY,
)
FAMILIES = (
    ORGANIZATION_MODULES,
    ORGANIZATION_INFO,
    EFFECTIVE_CONFIG,
    INDUSTRY_MODULES,
    MODULE_CONFIG,
    REGISTRY_MODULES,
)


def instances_key(name: str) -> str:
    """A hash of a module's running instances. It is no copy of anything: its writer gives it a lifetime."""
    return f"module:instances:{name}"


def floor_key(stream: UUID, run: str) -> str:
    """The rev of the stream's last commit that this run of the server knows, or the lease of who will find out."""
    return f"org:{stream}:floor:{run}"


def lease_of(nonce: str) -> str:
    """What a floor's key holds while nobody knows the floor: never to be taken for a number."""
    return f"L:{nonce}"


def lock_key(key: str) -> str:
    """Held by who loads the value of `key`, so that other processes wait for it."""
    return f"lock:{key}"
