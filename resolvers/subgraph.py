"""Query and Mutation fields about subgraphs: unpack, call, wrap."""

from uuid import UUID

import strawberry

from commands.subgraph import change, register
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.selection import is_selected
from graph.types.ids import parse_id
from graph.types.inputs.subgraph import (
    ActivateSubgraphInput,
    ApproveSubgraphInput,
    DeactivateSubgraphInput,
    RegisterSubgraphInput,
)
from graph.types.payload import SubgraphPayload
from graph.types.subgraph import SubgraphVersion


@strawberry.type
class SubgraphQueries:
    @strawberry.field(extensions=[Guard("Query")], description="Null when there is none that you may see.")
    async def subgraph(self, info: Info, id: strawberry.ID) -> SubgraphVersion | None:
        subgraph_id = parse_id(id)
        row = None if subgraph_id is None else await info.context.loaders.subgraph_by_id.load(subgraph_id)
        return None if row is None else SubgraphVersion.from_row(row)


@strawberry.type
class SubgraphMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="What a version of a module is to bring into the graph. It is checked after the answer: read it"
        " until it is no longer CHECKING. The same again changes nothing; one that FAILED may be replaced.",
    )
    async def register_subgraph(self, info: Info, input: RegisterSubgraphInput) -> SubgraphPayload:
        return await _payload(info, await run_command(info, register.register_subgraph, input.request))

    @strawberry.mutation(extensions=[Guard("Mutation")], description="Let it break the clients that it says it breaks.")
    async def approve_subgraph(self, info: Info, input: ApproveSubgraphInput) -> SubgraphPayload:
        return await _payload(info, await run_command(info, change.approve_subgraph, input.request))

    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Put it into the graph, in the place of the module's other version. The graph is composed after the"
        " answer: read it until it is no longer ACTIVATING.",
    )
    async def activate_subgraph(self, info: Info, input: ActivateSubgraphInput) -> SubgraphPayload:
        return await _payload(info, await run_command(info, change.activate_subgraph, input.request))

    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Take a module's types out of the graph. For the platform's administrators: its clients break.",
    )
    async def deactivate_subgraph(self, info: Info, input: DeactivateSubgraphInput) -> SubgraphPayload:
        return await _payload(info, await run_command(info, change.deactivate_subgraph, input.request))


async def _payload(info: Info, ran: Ran) -> SubgraphPayload:
    row = None
    if ran.outcome is not None and is_selected(info, "subgraph"):
        row = await info.context.loaders.subgraph_by_id.load(UUID(ran.outcome.shows["subgraph"]))
    subgraph = None if row is None else SubgraphVersion.from_row(row)
    return SubgraphPayload(subgraph=subgraph, errors=ran.errors, revision=ran.revision)
