"""What mutations answer: what was asked for, what was done, why not, and the stream's revision after it."""

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from commands.request import Change as ChangeMade
from graph.types.api_key import ModuleApiKey
from graph.types.assignment import ModuleAssignment
from graph.types.dead_event import DeadEvent
from graph.types.effective_config import EffectiveConfig
from graph.types.errors import UserError
from graph.types.industry import Industry
from graph.types.instance import ModuleInstance
from graph.types.module import Module
from graph.types.operation import Operation
from graph.types.organization import Company, Organization
from graph.types.subgraph import SubgraphVersion
from graph.types.supergraph import Supergraph


@strawberry.enum
class ChangeAction(Enum):
    ASSIGN = "ASSIGN"
    UNASSIGN = "UNASSIGN"
    ACTIVATE = "ACTIVATE"
    DEACTIVATE = "DEACTIVATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@strawberry.type(description="What the mutation did, or with dryRun would do.")
class Change:
    action: ChangeAction
    module: str
    organization_id: strawberry.ID | None
    cause: str = strawberry.field(description="REQUESTED, CORE, INDUSTRY, DEPENDENCY_OF or DEPENDENT_OF")

    @staticmethod
    def of(change: ChangeMade) -> "Change":
        organization_id: Any = change.organization_id
        return Change(
            action=ChangeAction(change.action),
            module=change.module,
            organization_id=None if organization_id is None else strawberry.ID(str(organization_id)),
            cause=change.cause,
        )


@strawberry.interface
class Payload:
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")
    revision: int | None = strawberry.field(description="Of the stream after it; null when refused.")


@strawberry.type
class ModulePayload(Payload):
    module: Module | None = None
    affected: list[Change] = strawberry.field(default_factory=list)


@strawberry.type
class IndustryPayload(Payload):
    industry: Industry | None = None


@strawberry.type
class OrganizationPayload(Payload):
    organization: Organization | None = None


@strawberry.type
class CompanyPayload(Payload):
    company: Company | None = None


@strawberry.type
class AssignmentsPayload(Payload):
    assignments: list[ModuleAssignment] = strawberry.field(default_factory=list)
    affected: list[Change] = strawberry.field(default_factory=list)


@strawberry.type
class ConfigPayload(Payload):
    effective_config: EffectiveConfig | None = None


@strawberry.type
class OperationPayload(Payload):
    operation: Operation | None = None


@strawberry.type
class RevokeTokensPayload(Payload):
    revoked_at: datetime | None = strawberry.field(
        default=None, description="Tokens issued up to then are refused, those of the same second included."
    )


@strawberry.type
class ReplayDeadEventPayload(Payload):
    dead_event: DeadEvent | None = None


@strawberry.type
class CreateModuleApiKeyPayload(Payload):
    api_key: ModuleApiKey | None = None
    secret: str | None = strawberry.field(
        default=None, description="The key, shown once: also the same idempotencyKey does not show it again."
    )


@strawberry.type
class RevokeModuleApiKeyPayload(Payload):
    api_key: ModuleApiKey | None = None


@strawberry.type
class SubgraphPayload(Payload):
    subgraph: SubgraphVersion | None = None


@strawberry.type
class SupergraphPayload(Payload):
    supergraph: Supergraph | None = None


@strawberry.type(description="Its revision is always null: instances are in no stream.")
class ModuleInstancePayload(Payload):
    instance: ModuleInstance | None = None
