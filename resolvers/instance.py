"""Query and Mutation fields about modules' running instances: unpack, call, wrap."""

from collections.abc import Awaitable

import strawberry

from commands import instance as commands
from commands.instance import Registrar
from graph.context import Info
from graph.guard import Guard
from graph.masking import ApiError
from graph.types.errors import user_error
from graph.types.inputs.instance import ModuleInstanceInput, RegisterModuleInstanceInput
from graph.types.instance import ModuleInstance, away
from graph.types.payload import ModuleInstancePayload
from queries.instance import InstancesAway, load_instances
from rules.errors import Refusal
from rules.instance import Instance, healthy


@strawberry.type
class InstanceQueries:
    @strawberry.field(
        extensions=[Guard("Query")],
        description="A healthy instance of a module, MODULE_NOT_AVAILABLE when none is; null for one you may not see.",
    )
    async def discover_module(self, info: Info, code: str) -> ModuleInstance | None:
        info.context.note_read(None)
        if await info.context.loaders.module.load(code) is None:
            return None
        found = healthy(await _known(info, code))
        if not found:
            raise ApiError("MODULE_NOT_AVAILABLE", f"no instance of {code} is healthy; try again")
        return ModuleInstance.of(max(found, key=lambda each: each.last_seen))


@strawberry.type
class InstanceMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Say where a module's service runs. It is used once it is healthy; a heartbeat is due every 10 s.",
    )
    async def register_module_instance(self, info: Info, input: RegisterModuleInstanceInput) -> ModuleInstancePayload:
        return await _run(info, commands.register_instance(_registrar(info), input.request()), input.module, input.url)

    @strawberry.mutation(
        extensions=[Guard("Mutation")], description="Not found: it was silent for 90 s, and has to register again."
    )
    async def heartbeat_module_instance(self, info: Info, input: ModuleInstanceInput) -> ModuleInstancePayload:
        return await _run(info, commands.heartbeat_instance(_registrar(info), input.request()), input.module, input.url)

    @strawberry.mutation(extensions=[Guard("Mutation")], description="It is about to end, and gets no more requests.")
    async def deregister_module_instance(self, info: Info, input: ModuleInstanceInput) -> ModuleInstancePayload:
        return await _run(
            info, commands.deregister_instance(_registrar(info), input.request()), input.module, input.url
        )


def _registrar(info: Info) -> Registrar:
    services = info.context.services
    return Registrar(
        actor=info.context.actor,
        database=services.database,
        instances=services.instances,
        routing=services.routing,
    )


async def _run(info: Info, command: Awaitable[None], module: str, url: str) -> ModuleInstancePayload:
    info.context.note_read(None)
    try:
        await command
    except Refusal as refusal:
        return ModuleInstancePayload(errors=[user_error(problem) for problem in refusal.problems], revision=None)
    except InstancesAway:
        raise away() from None
    found = next((each for each in await _known(info, module) if each.url == url), None)
    return ModuleInstancePayload(instance=None if found is None else ModuleInstance.of(found), errors=[], revision=None)


async def _known(info: Info, code: str) -> list[Instance]:
    try:
        return (await load_instances(info.context.services.instances, [code]))[code]
    except InstancesAway:
        raise away() from None
