"""Giving a module's service a credential, and taking it back. Several at a time: the next begins before the last ends.

No fact is recorded and no revision taken: partners have nothing to do about it. The rows say who did what.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select, text, update

from auth.api_keys import hash_of, new_secret, text_of
from commands.checks import checked_name, no_module
from commands.request import Outcome, Request
from commands.transaction import Scope, Transaction, Writer, platform_command
from models.api_key import ModuleApiKeyRow
from models.base import PLATFORM_ID
from models.ids import new_id
from queries.api_key import count_api_keys, find_api_key
from queries.module import load_modules_by_codes
from rules.errors import InvalidInput, NotFound, QuotaExceeded, Refusal

KEYS_MAX = 100  # of a module, revoked ones included: every API process holds those in force in memory

NOW = select(func.clock_timestamp())
# Each process that has seen a key says so; once a minute is enough of it.
NOTE_USE = text(
    "UPDATE module_api_keys SET last_used_at = clock_timestamp() WHERE id = ANY(CAST(:ids AS uuid[]))"
    " AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '30 seconds')"
)


@dataclass(frozen=True, kw_only=True)
class CreateApiKey(Request):
    module: str
    name: str
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RevokeApiKey(Request):
    id: UUID


@platform_command
async def create_api_key(tx: Transaction, request: CreateApiKey) -> Outcome:
    """The key itself is in the outcome's preview, which is not stored: the same request again is answered without."""
    name = checked_name(request.name)
    if request.module not in await load_modules_by_codes(tx, [request.module]):
        raise Refusal(no_module(request.module))
    now: datetime = (await tx.session.execute(NOW)).scalar_one()
    if request.expires_at is not None and _in_utc(request.expires_at) <= now:
        raise Refusal(InvalidInput(message="expiresAt is in the past", path=("input", "expiresAt")))
    if await count_api_keys(tx, request.module) >= KEYS_MAX:
        message = f"{request.module} has had {KEYS_MAX} API keys, and can't have more"
        raise Refusal(QuotaExceeded(message=message, path=("input", "module")))
    key_id, secret = new_id(), new_secret()
    tx.session.add(
        ModuleApiKeyRow(
            id=key_id,
            module_id=request.module,
            name=name,
            secret_hash=hash_of(secret),
            created_by=tx.actor.subject,
            created_at=now,
            expires_at=request.expires_at,
        )
    )
    await tx.session.flush()
    revision = await tx.current_revision(PLATFORM_ID)
    return Outcome(revision=revision, shows={"api_key": str(key_id)}, preview=text_of(key_id, secret))


@platform_command
async def revoke_api_key(tx: Transaction, request: RevokeApiKey) -> Outcome:
    """Refuse a key from now on. One that is revoked stays as it is."""
    row = await find_api_key(tx, request.id)
    if row is None:
        raise Refusal(NotFound(message=f"no API key {request.id}", path=("input", "id")))
    statement = update(ModuleApiKeyRow).where(ModuleApiKeyRow.id == request.id, ModuleApiKeyRow.revoked_at.is_(None))
    await tx.session.execute(statement.values(revoked_at=func.clock_timestamp(), revoked_by=tx.actor.subject))
    return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows={"api_key": str(request.id)})


async def note_use(writer: Writer, ids: Sequence[UUID]) -> None:
    """Remember that these keys were used."""
    async with writer.transaction(Scope(stream=PLATFORM_ID)) as tx:
        await tx.session.execute(NOTE_USE, {"ids": list(ids)})


def _in_utc(instant: datetime) -> datetime:
    """GraphQL's DateTime may come without a zone, which is UTC then."""
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
