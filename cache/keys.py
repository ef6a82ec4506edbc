"""All key names in Redis. An organization's keys carry its id as hash tag, so that a cluster keeps them together."""

from uuid import UUID

FLOOR_TTL_SECONDS = 900


def floor_key(organization_id: UUID) -> str:
    """The organization's last committed rev: no cached answer older than this may be served."""
    return f"{{{organization_id}}}:f"
