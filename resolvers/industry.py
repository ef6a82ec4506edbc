"""Query and Mutation fields about industries: unpack, call, wrap."""

import strawberry

from commands import industry as commands
from graph.batching import Follows
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.types.connection import After, Connection, First, page_request
from graph.types.industry import Industry
from graph.types.inputs.industry import CreateIndustryInput, IndustryRefInput, UpdateIndustryInput
from graph.types.payload import IndustryPayload
from queries import industry as queries


@strawberry.type
class IndustryQueries:
    @strawberry.field(extensions=[Guard("Query")], description="Needs no token: a signup page shows it.")
    async def industry(self, info: Info, code: str) -> Industry | None:
        row = await info.context.loaders.industry.load(code)
        return None if row is None else Industry.from_row(row)

    @strawberry.field(extensions=[Guard("Query")], description="By code. Needs no token: a signup page shows them.")
    async def industries(self, info: Info, first: First = 50, after: After = None) -> Connection[Industry]:
        request = page_request(first, after)
        async with info.context.reader(Follows.REGISTRY) as reader:
            page = await queries.list_industries(reader, request)

        async def count() -> int:
            async with info.context.reader(Follows.REGISTRY) as reader:
                return await queries.count_industries(reader)

        return Connection[Industry].of(page, request, Industry.from_row, count)


@strawberry.type
class IndustryMutations:
    @strawberry.mutation(extensions=[Guard("Mutation")])
    async def create_industry(self, info: Info, input: CreateIndustryInput) -> IndustryPayload:
        return await _payload(info, await run_command(info, commands.create_industry, input.request))

    @strawberry.mutation(extensions=[Guard("Mutation")])
    async def update_industry(self, info: Info, input: UpdateIndustryInput) -> IndustryPayload:
        return await _payload(info, await run_command(info, commands.update_industry, input.request))

    @strawberry.mutation(extensions=[Guard("Mutation")], description="Organizations keep the modules they got from it.")
    async def delete_industry(self, info: Info, input: IndustryRefInput) -> IndustryPayload:
        return await _payload(info, await run_command(info, commands.delete_industry, input.request))


async def _payload(info: Info, ran: Ran) -> IndustryPayload:
    code = ran.outcome.shows.get("industry") if ran.outcome else None
    row = None if code is None else await info.context.loaders.industry.load(code)
    return IndustryPayload(
        industry=None if row is None else Industry.from_row(row), errors=ran.errors, revision=ran.revision
    )
