"""What both Python peers decide without a database: how layers merge, what an event says."""

import os
from datetime import UTC, datetime
from typing import Any

ACTOR = "bench"
TYPE = "tenant.module.assigned.v1"
DATASCHEMA = f"https://modplane.dev/schemas/events/{TYPE}.json"


class Refused(Exception):
    """What was asked for can't be; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """Objects merge, everything else replaces. The layers are this query's own rows: what they hold may be shared."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_into(merged, layer)
    return merged


def _merge_into(target: dict[str, Any], source: dict[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, dict):
            below = target.get(key)
            if not isinstance(below, dict):
                below = target[key] = {}
            _merge_into(below, value)
        else:
            target[key] = value


def leaves(value: Any, pointer: str = "") -> list[str]:
    if not isinstance(value, dict) or (pointer and not value):
        return [pointer]
    escaped = ((key.replace("~", "~0").replace("/", "~1"), child) for key, child in value.items())
    return [leaf for key, child in escaped for leaf in leaves(child, f"{pointer}/{key}")]


def sources_of(config: dict[str, Any], rev: int, now: datetime) -> dict[str, Any]:
    source = {"revision": rev, "set_by": ACTOR, "set_at": now.isoformat(), "reason": None}
    return dict.fromkeys(leaves(config), source) if config else {}


def event_body(
    organization_id: str, module: str, *, tier: str, version: str, config: dict[str, Any], rev: int, now: datetime
) -> dict[str, Any]:
    assignment = {
        "module": module,
        "tier": tier,
        "version": version,
        "state": "ACTIVE",
        "is_required": False,
        "is_requested": True,
        "industry_code": None,
        "industry_config": {},
        "config": config,
        "enabled_features": [],
        "disabled_features": [],
        "revision": rev,
        "assigned_at": now.isoformat().replace("+00:00", "Z"),
        "assigned_by": ACTOR,
    }
    return {
        "organization_id": organization_id,
        "module_id": module,
        "user_id": ACTOR,
        "payload": {"assignment": assignment, "is_assigned": True},
    }


def now_utc() -> datetime:
    return datetime.now(UTC)


def traceparent() -> str:
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
