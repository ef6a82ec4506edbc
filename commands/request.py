"""What every command is asked and answers. Never holds a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

Cascade = Literal["AUTO", "REFUSE"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """Common to all requests. `expected_revision`: refuse when the thing changed after this revision."""

    idempotency_key: str | None = None
    expected_revision: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class TenantRequest(Request):
    organization_id: UUID


@dataclass(frozen=True)
class Change:
    """One step of what was done, or with `dry_run` would be."""

    action: str  # ASSIGN UNASSIGN ACTIVATE DEACTIVATE UPDATE DELETE
    module: str
    cause: str  # REQUESTED, CORE, INDUSTRY, DEPENDENCY_OF, DEPENDENT_OF
    organization_id: UUID | None = None


@dataclass(frozen=True)
class Outcome:
    """What a command did: the stream's revision after it, the steps, and the ids of what its payload shows.

    `preview` holds the rows of a dry run, which nobody can read afterwards.
    """

    revision: int
    affected: tuple[Change, ...] = ()
    shows: Mapping[str, Any] = field(default_factory=dict)
    preview: Any = None

    def to_json(self) -> dict[str, Any]:
        """What the idempotency record keeps: enough to give the same answer again."""
        affected = [
            {
                "action": change.action,
                "module": change.module,
                "cause": change.cause,
                "organization_id": None if change.organization_id is None else str(change.organization_id),
            }
            for change in self.affected
        ]
        return {"revision": self.revision, "affected": affected, "shows": dict(self.shows)}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Outcome":
        affected = tuple(
            Change(
                action=item["action"],
                module=item["module"],
                cause=item["cause"],
                organization_id=UUID(item["organization_id"]) if item["organization_id"] else None,
            )
            for item in stored["affected"]
        )
        return Outcome(revision=stored["revision"], affected=affected, shows=stored["shows"])
