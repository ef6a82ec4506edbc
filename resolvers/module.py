"""Query and Mutation fields about modules: unpack, call, wrap."""

import strawberry

from commands.module import change, delete, register
from graph.batching import Follows
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.selection import is_selected
from graph.types.connection import After, Connection, First, page_request
from graph.types.inputs.module import ModuleFilter, ModuleRefInput, RegisterModuleInput, UpdateModuleInput
from graph.types.module import Module
from graph.types.payload import Change, ModulePayload
from queries import module as queries


@strawberry.type
class ModuleQueries:
    @strawberry.field(extensions=[Guard("Query")], description="Null when there is none that you may see.")
    async def module(self, info: Info, code: str) -> Module | None:
        row = await info.context.loaders.module.load(code)
        return None if row is None else Module.from_row(row)

    @strawberry.field(extensions=[Guard("Query")], description="By code.")
    async def modules(
        self,
        info: Info,
        filter: ModuleFilter | None = None,
        first: First = 50,
        after: After = None,
    ) -> Connection[Module]:
        wanted, request = (filter or ModuleFilter()).wanted(), page_request(first, after)
        async with info.context.reader(Follows.REGISTRY) as reader:
            page = await queries.list_modules(reader, wanted, request)

        async def count() -> int:
            async with info.context.reader(Follows.REGISTRY) as reader:
                return await queries.count_modules(reader, wanted)

        return Connection[Module].of(page, request, Module.from_row, count)


@strawberry.type
class ModuleMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="A new code makes a module; a new version of a known one adds it. Versions are immutable.",
    )
    async def register_module(self, info: Info, input: RegisterModuleInput) -> ModulePayload:
        return await _payload(info, await run_command(info, register.register_module, input.request))

    @strawberry.mutation(extensions=[Guard("Mutation")])
    async def update_module(self, info: Info, input: UpdateModuleInput) -> ModulePayload:
        return await _payload(info, await run_command(info, change.update_module, input.request))

    @strawberry.mutation(extensions=[Guard("Mutation")], description="Switch on for everybody.")
    async def activate_module(self, info: Info, input: ModuleRefInput) -> ModulePayload:
        return await _payload(info, await run_command(info, change.activate_module, input.request))

    @strawberry.mutation(extensions=[Guard("Mutation")], description="Switch off for everybody: the kill switch.")
    async def deactivate_module(self, info: Info, input: ModuleRefInput) -> ModulePayload:
        return await _payload(info, await run_command(info, change.deactivate_module, input.request))

    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Refused while it is in use; AUTO takes it away from everybody first.",
    )
    async def delete_module(self, info: Info, input: ModuleRefInput) -> ModulePayload:
        return await _payload(info, await run_command(info, delete.delete_module, input.request))


async def _payload(info: Info, ran: Ran) -> ModulePayload:
    code = ran.outcome.shows.get("module") if ran.outcome else None
    row = None if code is None or not is_selected(info, "module") else await info.context.loaders.module.load(code)
    return ModulePayload(
        module=None if row is None else Module.from_row(row),
        affected=[Change.of(each) for each in ran.changes],
        errors=ran.errors,
        revision=ran.revision,
    )
