"""The public keys that signatures are checked with, as the platform publishes them (RFC 7517, Ed25519 only).

Never holds what is signed (identity.py).
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

log = logging.getLogger("modplane_sdk.keys")

JWKS_PATH = "/.well-known/jwks.json"
FETCH_SECONDS = 5.0


class Signer(StrEnum):
    """Whose key it is: `modplane:role` of the key set. The gateway's key can sign no identity."""

    PLATFORM = "platform"
    GATEWAY = "gateway"


class NoKey(Exception):
    """No such key is known. `is_away`: because the platform could not be asked for too long."""

    def __init__(self, message: str, *, is_away: bool = False) -> None:
        super().__init__(message)
        self.is_away = is_away


class KeySource(Protocol):
    """Where keys come from."""

    async def find(self, kid: str, signer: Signer) -> Ed25519PublicKey:
        """Raises NoKey. A signature names its key: RFC 7638's thumbprint."""


KeySet = Mapping[tuple[str, Signer], Ed25519PublicKey]


def read_keys(document: Any) -> KeySet:
    """The Ed25519 keys of a JWK set that say whose they are; others are passed over. Raises ValueError."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JWK set")
    found = {}
    for entry in listed:
        role = entry.get("modplane:role") if isinstance(entry, dict) else None
        if (
            isinstance(role, str)
            and role in set(Signer)
            and entry.get("crv") == "Ed25519"
            and isinstance(entry.get("kid"), str)
        ):
            try:
                key = jwt.PyJWK(entry, algorithm="EdDSA").key
            except jwt.PyJWTError as error:
                raise ValueError(f"key {entry['kid']}: {error}") from None
            if isinstance(key, Ed25519PublicKey):
                found[entry["kid"], Signer(role)] = key
    return found


class PlatformKeys:
    """The platform's key set, kept.

    Read again after `fresh_seconds`, so that a withdrawn key ends; at once for a key id that is not known, but not more
    than once in `retry_seconds`, whoever invents key ids. While the platform is away the last set is good for
    `kept_seconds`.
    """

    def __init__(
        self,
        platform_url: str,
        *,
        fresh_seconds: float = 300,
        retry_seconds: float = 10,
        kept_seconds: float = 3600,
    ) -> None:
        self._url = platform_url.rstrip("/") + JWKS_PATH
        self._fresh_seconds = fresh_seconds
        self._retry_seconds = retry_seconds
        self._kept_seconds = kept_seconds
        self._keys: KeySet = {}
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def find(self, kid: str, signer: Signer) -> Ed25519PublicKey:
        if (kid, signer) not in self._keys or self._age() > self._kept_seconds:
            if (asking := self._begin_asking()) is not None:
                await asyncio.shield(asking)  # a caller that gives up does not end it for the others
        elif self._age() > self._fresh_seconds:
            self._begin_asking()  # nobody waits: what is kept is good still
        if self._age() > self._kept_seconds:
            raise NoKey("the platform's keys could not be read", is_away=True)
        key = self._keys.get((kid, signer))
        if key is None:
            raise NoKey(f"the {signer} has no key {kid[:64]!r}")
        return key

    def _age(self) -> float:
        return time.monotonic() - self._read_at

    def _begin_asking(self) -> "asyncio.Task[None] | None":
        """The request under way, one for all who wait; None when it is too early for another."""
        if self._asking is None or self._asking.done():
            if time.monotonic() - self._asked_at <= self._retry_seconds:
                return None
            self._asking = asyncio.create_task(self._ask())
        return self._asking

    async def _ask(self) -> None:
        self._asked_at = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=FETCH_SECONDS, trust_env=False) as client:
                response = await client.get(self._url)
            self._keys = read_keys(response.raise_for_status().json())
        except (httpx.HTTPError, ValueError) as error:
            log.warning("the platform's keys cannot be read: %r", error)
        else:
            self._read_at = time.monotonic()
