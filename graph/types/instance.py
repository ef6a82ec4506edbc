"""Running instances of modules' services, as the API shows them."""

from datetime import UTC, datetime

import strawberry

from graph.masking import ApiError
from rules.instance import Instance, InstanceStatus

strawberry.enum(
    InstanceStatus,
    description="STARTING: not probed yet. UNHEALTHY: two probes in a row failed. STALE: no heartbeat for 30 s.",
)
AWAY = "what runs where is not known right now; try again"


@strawberry.type(description="An instance of a module's service: it says every few seconds that it is there.")
class ModuleInstance:
    url: str
    health_check_url: str
    version: str
    status: InstanceStatus
    last_seen: datetime
    last_checked_at: datetime | None

    @staticmethod
    def of(instance: Instance) -> "ModuleInstance":
        checked = instance.last_checked
        return ModuleInstance(
            url=instance.url,
            health_check_url=instance.health_check,
            version=instance.version,
            status=instance.status,
            last_seen=datetime.fromtimestamp(instance.last_seen, UTC),
            last_checked_at=None if checked is None else datetime.fromtimestamp(checked, UTC),
        )


def away() -> ApiError:
    """Redis does not answer."""
    return ApiError("UNAVAILABLE", AWAY)
