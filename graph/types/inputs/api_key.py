"""The inputs of fields about API keys, and the requests that they become."""

from datetime import datetime

import strawberry

from commands.api_key import CreateApiKey, RevokeApiKey
from graph.types.ids import require_id


@strawberry.input
class CreateModuleApiKeyInput:
    module: str
    name: str = strawberry.field(description="For people: where the key is used.")
    expires_at: datetime | None = strawberry.field(default=None, description="Never when left out.")
    idempotency_key: str | None = None

    def request(self) -> CreateApiKey:
        return CreateApiKey(
            module=self.module, name=self.name, expires_at=self.expires_at, idempotency_key=self.idempotency_key
        )


@strawberry.input
class RevokeModuleApiKeyInput:
    id: strawberry.ID
    idempotency_key: str | None = None

    def request(self) -> RevokeApiKey:
        return RevokeApiKey(id=require_id(self.id, thing="API key", field="id"), idempotency_key=self.idempotency_key)
