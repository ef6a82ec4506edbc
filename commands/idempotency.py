"""Idempotency keys: a request that comes again is answered with what came of it the first time.

In the transaction of the request itself, so that key and effect are one. Never commits.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import orjson

from commands.request import Outcome, Request
from models.database import Fetch
from rules.errors import IdempotencyConflict, InvalidInput, Refusal

IDEMPOTENCY_KEY_MAX = 200

CLAIM_KEY = (
    "INSERT INTO idempotency_key(organization_id, key, request_hash) VALUES ($1, $2, $3)"
    " ON CONFLICT (organization_id, key) DO NOTHING RETURNING key"
)
READ_KEY = "SELECT request_hash, response FROM idempotency_key WHERE organization_id = $1 AND key = $2"
# As part of the statement that writes all else; without a key it does nothing.
STORE_RESPONSE = "UPDATE idempotency_key SET response = $12::jsonb WHERE organization_id = $10 AND key = $11"


@dataclass(frozen=True)
class Claim:
    """A key, and which request it is to stand for."""

    key: str
    request_hash: bytes

    async def replay(self, fetch: Fetch, stream: UUID) -> Outcome | None:
        """What the same request answered before; None when it is new, and the key is now ours."""
        if await fetch(CLAIM_KEY, stream, self.key, self.request_hash):
            return None
        stored = await fetch(READ_KEY, stream, self.key)
        if not stored:
            return await self.replay(fetch, stream)  # it ran out between the two: retention has deleted it
        return self.outcome_of(*stored[0])

    def outcome_of(self, claimed: bytes, response: Mapping[str, Any]) -> Outcome:
        """Raises Refusal when another request had the key."""
        if claimed != self.request_hash:
            message = "this idempotencyKey was used with another input; take a new key"
            raise Refusal(IdempotencyConflict(message=message, path=("input", "idempotencyKey")))
        return Outcome.from_json(response)


def claim_of(command: str, request: Request) -> Claim | None:
    """None without a key. Dry runs answer anew each time. Raises Refusal for what can be no key."""
    key = request.idempotency_key
    if key is None or request.dry_run:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX or "\0" in key:
        message = f"idempotencyKey must have 1 to {IDEMPOTENCY_KEY_MAX} characters"
        raise Refusal(InvalidInput(message=message, path=("input", "idempotencyKey")))
    return Claim(key, _request_hash(command, request))


def _request_hash(command: str, request: Request) -> bytes:
    content: dict[str, Any] = {**asdict(request), "command": command}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=_plain)).digest()


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)  # the driver's own kind of UUID
    raise TypeError(f"no canonical form for {type(value).__name__}")
