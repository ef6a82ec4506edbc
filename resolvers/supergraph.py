"""Query and Mutation fields about supergraphs: unpack, call, wrap."""

import strawberry

from commands.subgraph import rollback
from graph.batching import Follows
from graph.context import Info
from graph.guard import Guard
from graph.run import run_command
from graph.selection import is_selected
from graph.types.connection import After, Connection, First, page_request
from graph.types.inputs.subgraph import RollbackSupergraphInput
from graph.types.payload import SupergraphPayload
from graph.types.supergraph import Supergraph
from queries import supergraph as queries


@strawberry.type
class SupergraphQueries:
    @strawberry.field(extensions=[Guard("Query")], description="The one that is served unless a version is given.")
    async def supergraph(self, info: Info, version: int | None = None) -> Supergraph | None:
        loaders = info.context.loaders
        wanted = await loaders.supergraph_head.load(None) if version is None else version
        row = None if wanted is None else await loaders.supergraph.load(wanted)
        return None if row is None else Supergraph.from_row(row)

    @strawberry.field(extensions=[Guard("Query")], description="The latest first.")
    async def supergraphs(self, info: Info, first: First = 50, after: After = None) -> Connection[Supergraph]:
        request = page_request(first, after)
        async with info.context.reader(Follows.REGISTRY) as reader:
            page = await queries.list_supergraphs(reader, request)

        async def count() -> int:
            async with info.context.reader(Follows.REGISTRY) as reader:
                return await queries.count_supergraphs(reader)

        return Connection[Supergraph].of(page, request, Supergraph.from_row, count)


@strawberry.type
class SupergraphMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Serve an earlier supergraph again; the versions of modules it was made of become the active ones.",
    )
    async def rollback_supergraph(self, info: Info, input: RollbackSupergraphInput) -> SupergraphPayload:
        ran = await run_command(info, rollback.rollback_supergraph, input.request)
        row = None
        if ran.outcome is not None and is_selected(info, "supergraph"):
            row = await info.context.loaders.supergraph.load(ran.outcome.shows["supergraph"])
        supergraph = None if row is None else Supergraph.from_row(row)
        return SupergraphPayload(supergraph=supergraph, errors=ran.errors, revision=ran.revision)
