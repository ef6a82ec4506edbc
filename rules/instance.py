"""A running instance of a module's service: what a probe says of it, and which one is asked next.

Never holds: requests, clocks, where instances are kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

STALE_SECONDS = 30.0  # without a heartbeat: not asked any more
GONE_SECONDS = 90.0  # without a heartbeat: forgotten
FAILURES_MAX = 2  # in a row, and it is unhealthy: one lost answer takes nobody out


class InstanceStatus(StrEnum):
    STARTING = "STARTING"  # not probed yet
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    STALE = "STALE"  # it was one of these, and has not been heard of since


@dataclass(frozen=True)
class Instance:
    """One address of a module's service. Instants are the seconds since the epoch on the clock of Redis."""

    url: str
    health_check: str
    version: str
    status: InstanceStatus
    last_seen: float
    last_checked: float | None = None
    failures: int = 0  # of probes, in a row

    def at(self, now: float) -> "Instance | None":
        """As it is now; None when it has been silent for so long that it is gone."""
        silent = now - self.last_seen
        if silent > GONE_SECONDS:
            return None
        return replace(self, status=InstanceStatus.STALE) if silent > STALE_SECONDS else self


def after_probe(instance: Instance, *, is_up: bool) -> tuple[InstanceStatus, int]:
    """The status and the failures in a row after a probe. One success is enough, one failure is not."""
    if is_up:
        return InstanceStatus.HEALTHY, 0
    failures = instance.failures + 1
    return (InstanceStatus.UNHEALTHY if failures >= FAILURES_MAX else instance.status), failures


def healthy(instances: Iterable[Instance]) -> list[Instance]:
    """Those that may be asked, in the order of their addresses."""
    return sorted((each for each in instances if each.status is InstanceStatus.HEALTHY), key=lambda each: each.url)
