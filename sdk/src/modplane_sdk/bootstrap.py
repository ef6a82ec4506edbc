"""A new module's first step, which an administrator takes: its entry in the registry, and a key for its service."""

from uuid import uuid4

from modplane_sdk.api import Api, PlatformError
from modplane_sdk.definition import ModuleDefinition

SECONDS = 10.0
REGISTER = (
    "mutation ($input: RegisterModuleInput!) { registerModule(input: $input) { errors { code message pointer } } }"
)
CREATE_KEY = """
mutation ($input: CreateModuleApiKeyInput!) {
  createModuleApiKey(input: $input) { errors { code message pointer } secret apiKey { prefix } }
}
"""


async def make_api_key(url: str, admin_token: str, definition: ModuleDefinition, *, name: str) -> str:
    """The key, which is shown this once. Raises PlatformError, InvalidManifest."""
    api = Api(url, {"authorization": f"Bearer {admin_token}"}, seconds=SECONDS)
    try:
        registration = {"manifest": definition.to_manifest(), "idempotencyKey": str(uuid4())}
        await api.mutate("registerModule", REGISTER, registration)
        wanted = {"module": definition.code, "name": name, "idempotencyKey": str(uuid4())}
        made = await api.mutate("createModuleApiKey", CREATE_KEY, wanted)
    finally:
        await api.aclose()
    if made["secret"] is None:
        why = f"the answer with the key was lost: revoke {made['apiKey']['prefix']}… and ask for another"
        raise PlatformError(why, code="SECRET_LOST")
    secret: str = made["secret"]
    return secret
