"""Joins the roots. Nothing else."""

from typing import Literal

import strawberry
from graphql import GraphQLError
from strawberry.federation.schema import FederationAny
from strawberry.tools import merge_types
from strawberry.types import ExecutionContext

from graph.context import Info
from graph.documents import document_cache
from graph.limits import Limits
from graph.masking import MaskErrors
from graph.planned import PlannedSchema
from graph.store import DocumentStore
from graph.types.assignment import ModuleAssignment
from graph.types.errors import ERROR_TYPES
from graph.types.industry import Industry
from graph.types.module import Module
from graph.types.organization import Company, Organization
from resolvers.api_key import ApiKeyMutations
from resolvers.assignment import AssignmentMutations
from resolvers.config import ConfigMutations, ConfigQueries
from resolvers.dead_event import DeadEventMutations, DeadEventQueries
from resolvers.entity import resolve_entity
from resolvers.event import EventQueries
from resolvers.industry import IndustryMutations, IndustryQueries
from resolvers.instance import InstanceMutations, InstanceQueries
from resolvers.manifest import ManifestQueries
from resolvers.module import ModuleMutations, ModuleQueries
from resolvers.operation import OperationMutations, OperationQueries
from resolvers.organization import OrganizationMutations, OrganizationQueries
from resolvers.subgraph import SubgraphMutations, SubgraphQueries
from resolvers.supergraph import SupergraphMutations, SupergraphQueries
from resolvers.token_revocation import TokenRevocationMutations
from subscriptions.config import ConfigSubscriptions
from subscriptions.event import EventSubscriptions
from subscriptions.operation import OperationSubscriptions

Query = merge_types(
    "Query",
    (
        OrganizationQueries,
        ModuleQueries,
        ManifestQueries,
        IndustryQueries,
        ConfigQueries,
        EventQueries,
        OperationQueries,
        DeadEventQueries,
        InstanceQueries,
        SubgraphQueries,
        SupergraphQueries,
    ),
)
Mutation = merge_types(
    "Mutation",
    (
        ModuleMutations,
        IndustryMutations,
        OrganizationMutations,
        AssignmentMutations,
        OperationMutations,
        ConfigMutations,
        TokenRevocationMutations,
        ApiKeyMutations,
        InstanceMutations,
        DeadEventMutations,
        SubgraphMutations,
        SupergraphMutations,
    ),
)
Subscription = merge_types("Subscription", (EventSubscriptions, ConfigSubscriptions, OperationSubscriptions))

# Above 2.9 the composers that everybody may use refuse the schema: docs/decisions/0003-federation-2.9.md
FEDERATION_VERSION: Literal["2.9"] = "2.9"
LIMITS = Limits()


class _Schema(PlannedSchema, strawberry.federation.Schema):
    def entities_resolver(self, info: Info, representations: list[FederationAny]) -> list[FederationAny]:
        """Strawberry's own takes what it can't read for a fault of ours, and fails the whole list for it."""
        return [resolve_entity(info, each) for each in representations]

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Faults are logged where they are masked; what a client did wrong is the client's to read."""


def build_schema(
    limits: Limits = LIMITS, *, store: DocumentStore | None = None, is_planning: bool = True
) -> strawberry.federation.Schema:
    """`is_planning` False: graphql-core runs everything, as the plans are measured by."""
    store = store or DocumentStore()
    built = _Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Module, Industry, Organization, Company, ModuleAssignment, *ERROR_TYPES],
        federation_version=FEDERATION_VERSION,
        extensions=[MaskErrors, document_cache(limits, store=store, is_planning=is_planning)],
    )
    built.store, built.limits, built.is_planning = store, limits, is_planning
    return built


DOCUMENTS = DocumentStore()
schema = build_schema(store=DOCUMENTS)
