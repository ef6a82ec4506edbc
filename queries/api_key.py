"""Questions about API keys, which are the platform's affair: of the database's roles only its own may ask."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text

from auth.api_keys import ApiKey
from models.api_key import ModuleApiKeyRow
from queries.reader import Reader, among

# Keys that are good: of a deleted module none is.
IN_FORCE = text(
    "SELECT k.id, k.module_id, k.secret_hash, k.expires_at"
    " FROM module_api_keys k JOIN module_registry m USING (module_id)"
    " WHERE k.revoked_at IS NULL AND m.deleted_at IS NULL"
    " AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())"
)


async def load_api_keys_in_force(reader: Reader) -> list[ApiKey]:
    return [api_key_of(row) for row in await reader.session.execute(IN_FORCE)]


def api_key_of(row: ModuleApiKeyRow | Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        module=row.module_id,
        secret_hash=row.secret_hash,
        expires_at=None if row.expires_at is None else row.expires_at.timestamp(),
    )


async def load_api_keys_by_modules(reader: Reader, codes: Collection[str]) -> dict[str, list[ModuleApiKeyRow]]:
    """All of each module's keys, the newest first; revoked ones too, for they say who had access until when."""
    statement = select(ModuleApiKeyRow).where(among(ModuleApiKeyRow.module_id, list(codes)))
    found: dict[str, list[ModuleApiKeyRow]] = {code: [] for code in codes}
    for row in await reader.session.scalars(statement.order_by(ModuleApiKeyRow.id.desc())):
        found[row.module_id].append(row)
    return found


async def find_api_key(reader: Reader, key_id: UUID) -> ModuleApiKeyRow | None:
    return await reader.session.get(ModuleApiKeyRow, key_id)


async def count_api_keys(reader: Reader, code: str) -> int:
    statement = select(func.count()).select_from(ModuleApiKeyRow).where(ModuleApiKeyRow.module_id == code)
    return await reader.session.scalar(statement) or 0
