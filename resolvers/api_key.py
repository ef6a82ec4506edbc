"""The Mutation fields about API keys: unpack, call, wrap."""

from uuid import UUID

import strawberry

from commands import api_key as commands
from graph.context import Info
from graph.guard import Guard
from graph.run import Ran, run_command
from graph.types.api_key import ModuleApiKey
from graph.types.inputs.api_key import CreateModuleApiKeyInput, RevokeModuleApiKeyInput
from graph.types.payload import CreateModuleApiKeyPayload, RevokeModuleApiKeyPayload
from queries.api_key import api_key_of, find_api_key


@strawberry.type
class ApiKeyMutations:
    @strawberry.mutation(
        extensions=[Guard("Mutation")],
        description="Give a module's service a key, for the header X-Module-API-Key. Good in every process within 2 s.",
    )
    async def create_module_api_key(self, info: Info, input: CreateModuleApiKeyInput) -> CreateModuleApiKeyPayload:
        ran = await run_command(info, commands.create_api_key, input.request)
        key = await _shown(info, ran)
        secret = None if ran.outcome is None else ran.outcome.preview
        if key is not None and secret is not None:
            info.context.services.api_keys.learn(api_key_of(key.row))  # this process need not wait until it asks
        return CreateModuleApiKeyPayload(api_key=key, secret=secret, errors=ran.errors, revision=ran.revision)

    @strawberry.mutation(
        extensions=[Guard("Mutation")], description="Refuse a key, within 2 s in every process; what it opened ends."
    )
    async def revoke_module_api_key(self, info: Info, input: RevokeModuleApiKeyInput) -> RevokeModuleApiKeyPayload:
        ran = await run_command(info, commands.revoke_api_key, input.request)
        key = await _shown(info, ran)
        if key is not None:
            info.context.services.api_keys.forget(key.row.id)
        return RevokeModuleApiKeyPayload(api_key=key, errors=ran.errors, revision=ran.revision)


async def _shown(info: Info, ran: Ran) -> ModuleApiKey | None:
    if ran.outcome is None:
        return None
    async with info.context.reader() as reader:
        row = await find_api_key(reader, UUID(ran.outcome.shows["api_key"]))
    return None if row is None else ModuleApiKey.from_row(row)
