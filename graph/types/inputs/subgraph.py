"""The inputs of fields about subgraphs and supergraphs, and the requests that they become."""

import strawberry

from commands.subgraph.change import ApproveSubgraph, DeactivateSubgraph, SubgraphRef
from commands.subgraph.register import RegisterSubgraph
from commands.subgraph.rollback import RollbackSupergraph
from graph.types.ids import require_id


@strawberry.input
class RegisterSubgraphInput:
    module: str
    version: str
    sdl: str
    routing_url: str
    idempotency_key: str | None = None

    def request(self) -> RegisterSubgraph:
        return RegisterSubgraph(
            module=self.module,
            version=self.version,
            sdl=self.sdl,
            routing_url=self.routing_url,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class ApproveSubgraphInput:
    id: strawberry.ID
    reason: str | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> ApproveSubgraph:
        return ApproveSubgraph(
            id=require_id(self.id, thing="subgraph", field="id"),
            reason=self.reason,
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class ActivateSubgraphInput:
    id: strawberry.ID
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> SubgraphRef:
        return SubgraphRef(
            id=require_id(self.id, thing="subgraph", field="id"),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class DeactivateSubgraphInput:
    module: str
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> DeactivateSubgraph:
        return DeactivateSubgraph(
            module=self.module, expected_revision=self.expected_revision, idempotency_key=self.idempotency_key
        )


@strawberry.input
class RollbackSupergraphInput:
    version: int
    idempotency_key: str | None = None

    def request(self) -> RollbackSupergraph:
        return RollbackSupergraph(version=self.version, idempotency_key=self.idempotency_key)
