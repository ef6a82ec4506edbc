"""API keys of modules' services: `mpk_<id>_<secret>`. Never holds: where they are kept, who may make them.

The secret is 256 random bits, so one SHA-256 of it is as good as a slow hash: those are for what can be guessed.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from auth.actor import Actor, Role
from auth.tokens import InvalidToken

PREFIX = "mpk_"
SECRET_BYTES = 32
TEXT_LENGTH = len(PREFIX) + 32 + 1 + 43
USE_NOTED_EVERY_SECONDS = 60.0
REFUSED = "the API key is not valid"


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key: nobody can make the key of it again. `expires_at` in seconds since the epoch."""

    id: UUID
    module: str
    secret_hash: bytes
    expires_at: float | None = None


def new_secret() -> str:
    """43 characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def prefix_of(key_id: UUID) -> str:
    """What may be shown of a key, to tell it from others."""
    return f"{PREFIX}{key_id.hex}"


def text_of(key_id: UUID, secret: str) -> str:
    return f"{prefix_of(key_id)}_{secret}"


class ApiKeys:
    """The keys that are good, as this process knows them. Asked for every request: one look into a dictionary."""

    def __init__(self) -> None:
        self._keys: dict[UUID, ApiKey] = {}
        # What was done here since the database was last asked; its answer may be older than that.
        self._done_here: dict[UUID, tuple[float, ApiKey | None]] = {}
        self._used: set[UUID] = set()
        self._noted: dict[UUID, float] = {}
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call it whenever somebody may have to be refused who was not before."""
        self._listeners.append(listener)

    def hold(self, keys: Iterable[ApiKey], *, asked_at: float) -> None:
        """These and no others are good, as of the monotonic time at which the database was asked."""
        held = {each.id: each for each in keys}
        self._done_here = {each: done for each, done in self._done_here.items() if done[0] >= asked_at}
        for key_id, (_, key) in self._done_here.items():
            held.pop(key_id, None)
            if key is not None:
                held[key_id] = key
        has_gone = bool(self._keys.keys() - held.keys())
        self._keys = held
        self._noted = {each: at for each, at in self._noted.items() if each in held}
        if has_gone:
            self._tell()

    def learn(self, key: ApiKey) -> None:
        """One was made here, and is good at once."""
        self._done_here[key.id] = (time.monotonic(), key)
        self._keys[key.id] = key

    def forget(self, key_id: UUID) -> None:
        """One was revoked here, and is refused at once."""
        self._done_here[key_id] = (time.monotonic(), None)
        if self._keys.pop(key_id, None) is not None:
            self._tell()

    def verify(self, text: str) -> Actor:
        """Who comes with this key. Raises InvalidToken, with the same words whatever is wrong with it."""
        key = self._find(text)
        secret = text[-43:]
        # Hashes are compared, and in constant time: how long it takes tells nothing of the secret.
        if key is None or not hmac.compare_digest(hash_of(secret), key.secret_hash) or _has_expired(key):
            raise InvalidToken(REFUSED)
        self._used.add(key.id)
        return Actor(
            subject=f"module:{key.module}",
            roles=frozenset({Role.MODULE_SERVICE}),
            expires_at=key.expires_at,
            module_code=key.module,
            api_key_id=key.id,
        )

    def refuses(self, actor: Actor) -> bool:
        """Whether the actor came with a key that is good no longer."""
        return actor.api_key_id is not None and actor.api_key_id not in self._keys

    def take_used(self) -> list[UUID]:
        """The keys whose use is worth noting: used since, and not noted within the last minute."""
        now = time.monotonic()
        due = [
            each
            for each in self._used
            if now - self._noted.get(each, -USE_NOTED_EVERY_SECONDS) >= USE_NOTED_EVERY_SECONDS
        ]
        self._used.difference_update(due)
        self._noted.update(dict.fromkeys(due, now))
        return due

    def _find(self, text: str) -> ApiKey | None:
        if len(text) != TEXT_LENGTH or not text.isascii() or text[len(PREFIX) + 32] != "_":
            return None
        try:
            return self._keys.get(UUID(hex=text[len(PREFIX) : len(PREFIX) + 32]))
        except ValueError:
            return None

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _has_expired(key: ApiKey) -> bool:
    return key.expires_at is not None and key.expires_at <= time.time()
