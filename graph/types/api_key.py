"""API keys of modules' services, as the API shows them: never the key itself."""

from datetime import datetime

import strawberry

from auth.api_keys import prefix_of
from graph.context import Info
from graph.types.module import Module, load_module
from models.api_key import ModuleApiKeyRow


@strawberry.type(description="A credential of a module's service. The key itself is shown once, when it is made.")
class ModuleApiKey:
    row: strawberry.Private[ModuleApiKeyRow]
    id: strawberry.ID
    name: str
    prefix: str = strawberry.field(description="What the key begins with: tells it from others, and is no secret.")
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(description="To the minute.")
    expires_at: datetime | None
    revoked_at: datetime | None

    @strawberry.field
    async def module(self, info: Info) -> Module:
        return await load_module(info, self.row.module_id)

    @staticmethod
    def from_row(row: ModuleApiKeyRow) -> "ModuleApiKey":
        return ModuleApiKey(
            row=row,
            id=strawberry.ID(str(row.id)),
            name=row.name,
            prefix=prefix_of(row.id),
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
