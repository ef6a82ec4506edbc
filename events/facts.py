"""Facts: what happened, with the whole state after it. Never holds how they are stored or sent.

The body of an event has the four fields that the documents fix: organization_id, module_id, user_id, payload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import PLATFORM_ID, JsonObject
from models.company_module import CompanyModule
from models.industry import IndustryModuleRow, IndustryRow
from models.module import ModuleRow, ModuleVersionRow
from models.organization import CompanyRow, OrganizationRow
from models.subgraph import SubgraphVersionRow
from models.supergraph import SupergraphRow
from models.tenant_module import TenantModule


@dataclass(frozen=True)
class Fact:
    """One fact of one organization's stream, or of the platform's."""

    type: EventType
    organization_id: UUID
    revision: int
    payload: JsonObject
    module: str | None = None
    modules: tuple[str, ...] = ()
    company_id: UUID | None = None
    industry: str | None = None

    @property
    def subject(self) -> str:
        """What it is about, never empty: the module, else the industry, the company, or the organization as such."""
        return self.module or self.industry or str(self.company_id or self.organization_id)

    def body(self, user_id: str) -> JsonObject:
        return {
            "organization_id": None if self.organization_id == PLATFORM_ID else str(self.organization_id),
            "module_id": self.module,
            "user_id": user_id,
            "payload": self.payload,
        }


def module_state(row: ModuleRow) -> JsonObject:
    return {
        "code": row.module_id,
        "name": row.module_name,
        "description": row.description,
        "category": row.category,
        "tags": list(row.tags),
        "tier": row.tier,
        "visibility": row.visibility,
        "is_active": row.is_active,
        "is_deleted": row.deleted_at is not None,
        "service_name": row.service_name,
        "api_endpoint": row.api_endpoint,
        "version": row.version,
        "metadata": row.module_metadata,
        "revision": row.revision,
    }


def version_state(row: ModuleVersionRow) -> JsonObject:
    return {"number": row.number, "manifest": row.manifest, "content_sha256": row.content_hash.hex()}


def industry_state(row: IndustryRow, modules: Sequence[IndustryModuleRow]) -> JsonObject:
    return {
        "code": row.industry_code,
        "name": row.industry_name,
        "description": row.description,
        "is_active": row.is_active,
        "is_deleted": row.deleted_at is not None,
        "revision": row.revision,
        "modules": [
            {
                "module": item.module_id,
                "is_required": item.is_required,
                "default_config": item.default_config,
                "display_order": item.display_order,
            }
            for item in modules
        ],
    }


def organization_state(row: OrganizationRow) -> JsonObject:
    return {
        "id": str(row.organization_id),
        "name": row.name,
        "industry_code": row.industry_code,
        "industry_name": row.industry_name,
        "plan": row.plan,
        "revision": row.revision,
    }


def company_state(row: CompanyRow) -> JsonObject:
    return {
        "id": str(row.id),
        "organization_id": str(row.organization_id),
        "name": row.name,
        "revision": row.revision,
    }


def assignment_state(row: TenantModuleRow | TenantModule, tier: str) -> JsonObject:
    """`tier` is said with it: whoever filters a stream must not have to look it up."""
    return {
        "module": row.module_id,
        "tier": tier,
        "version": row.version,
        "state": row.state,
        "is_required": row.is_required,
        "is_requested": row.is_requested,
        "industry_code": row.industry_code,
        "industry_config": row.industry_config,
        "config": row.configuration,
        "enabled_features": list(row.enabled_features),
        "disabled_features": list(row.disabled_features),
        "revision": row.revision,
        "assigned_at": _time(row.assigned_at),
        "assigned_by": row.assigned_by,
    }


def company_module_state(row: CompanyModule) -> JsonObject:
    return {
        "module": row.module_id,
        "company_id": str(row.company_id),
        "is_enabled": row.is_enabled,
        "config": row.configuration,
        "enabled_features": list(row.enabled_features),
        "disabled_features": list(row.disabled_features),
        "revision": row.revision,
    }


def subgraph_state(row: SubgraphVersionRow) -> JsonObject:
    """The SDL is large, and stays where it is: its hash tells which one it was."""
    return {
        "id": str(row.id),
        "module": row.module_id,
        "version": row.version,
        "state": row.state,
        "sdl_sha256": row.sdl_sha256.hex(),
        "routing_url": row.routing_url,
        "errors": sum(finding["severity"] == "ERROR" for finding in row.findings),
        "breaking_changes": sum(change["criticality"] == "BREAKING" for change in row.changes),
        "requested_by": row.requested_by,
        "approved_by": row.approved_by,
        "asked_by": row.asked_by,
        "revision": row.revision,
    }


def supergraph_state(row: SupergraphRow) -> JsonObject:
    return {
        "version": row.version,
        "sha256": row.sha256.hex(),
        "composer": row.composer,
        "inputs": row.inputs,
        "created_by": row.created_by,
    }


def assignment_fact(
    kind: EventType, row: TenantModuleRow | TenantModule, *, tier: str, revision: int, **more: Any
) -> Fact:
    """A fact about one assignment: assigned, unassigned, state changed."""
    return Fact(
        type=kind,
        organization_id=row.organization_id,
        revision=revision,
        payload={"assignment": assignment_state(row, tier), **more},
        module=row.module_id,
        modules=(row.module_id,),
    )


def module_fact(kind: EventType, row: ModuleRow, **more: Any) -> Fact:
    """A fact of the platform stream about one module."""
    return Fact(
        type=kind,
        organization_id=PLATFORM_ID,
        revision=row.revision,
        payload={"module": module_state(row), **more},
        module=row.module_id,
        modules=(row.module_id,),
    )


def industry_fact(kind: EventType, row: IndustryRow, modules: Sequence[IndustryModuleRow]) -> Fact:
    """A fact of the platform stream about one industry template."""
    return Fact(
        type=kind,
        organization_id=PLATFORM_ID,
        revision=row.revision,
        payload={"industry": industry_state(row, modules)},
        modules=tuple(item.module_id for item in modules),
        industry=row.industry_code,
    )


def subgraph_fact(row: SubgraphVersionRow) -> Fact:
    """A fact of the platform stream about the subgraph of one version of a module: whatever changes its state."""
    return Fact(
        type=EventType.SUBGRAPH_CHANGED,
        organization_id=PLATFORM_ID,
        revision=row.revision,
        payload={"subgraph": subgraph_state(row)},
        module=row.module_id,
        modules=(row.module_id,),
    )


def supergraph_fact(row: SupergraphRow, *, revision: int, moved_by: str) -> Fact:
    """A fact of the platform stream: this graph is the one that is served now."""
    return Fact(
        type=EventType.SUPERGRAPH_PUBLISHED,
        organization_id=PLATFORM_ID,
        revision=revision,
        payload={"supergraph": supergraph_state(row), "moved_by": moved_by},
        modules=tuple(each["name"] for each in row.inputs if each["subgraph_id"] is not None),
    )


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
