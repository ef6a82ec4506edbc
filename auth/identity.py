"""What the platform tells a subgraph of the caller: a short-lived JWT for that one subgraph, and the keys to verify it.

Not a bearer token: its audience is the subgraph, so that /graphql refuses it. Never looks anything up.
"""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from auth.actor import Actor
from auth.tokens import ALGORITHM

ISSUER = "modplane"
IDENTITY_SECONDS = 60


@dataclass(frozen=True)
class Identity:
    """A caller and the modules that it is entitled to, as of `now` in seconds since the epoch."""

    actor: Actor
    modules: tuple[str, ...]
    now: int = field(default_factory=lambda: int(time.time()))

    @property
    def policies(self) -> list[str]:
        return [policy_of(module) for module in self.modules]

    @property
    def expires_at(self) -> int:
        """Never after the caller's own token."""
        own = self.actor.expires_at
        return self.now + IDENTITY_SECONDS if own is None else min(self.now + IDENTITY_SECONDS, int(own))


def policy_of(module: str) -> str:
    """The name of the entitlement to a module, as the supergraph's `@policy` has it."""
    return f"module:{module}"


def audience_of(subgraph: str) -> str:
    return f"modplane:subgraph:{subgraph}"


class IdentitySigner:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._headers = {"kid": thumbprint(key.public_key())}

    def sign(self, identity: Identity, subgraph: str) -> str:
        """The caller's identity for this subgraph, and for nobody else."""
        actor = identity.actor
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": audience_of(subgraph),
            "sub": actor.subject,
            "iat": identity.now,
            "exp": identity.expires_at,
            "roles": roles_of(actor),
            "modules": list(identity.modules),
        }
        if actor.organization_id is not None:
            claims["org"] = str(actor.organization_id)
        if actor.company_id is not None:
            claims["company"] = str(actor.company_id)
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers=self._headers)


def roles_of(actor: Actor) -> list[str]:
    return sorted(role.value for role in actor.roles)


def key_set(keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """A JWK set (RFC 7517, 8037) of public keys by what they sign for: `platform` and `gateway`."""
    shown = [
        {**_public_part(key), "kid": thumbprint(key), "use": "sig", "alg": ALGORITHM, "modplane:role": role}
        for role, key in keys.items()
    ]
    return {"keys": shown}


def thumbprint(key: Ed25519PublicKey) -> str:
    """The key's id by RFC 7638: SHA-256 over its required members, in order and without white space."""
    canonical = json.dumps(_public_part(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _public_part(key: Ed25519PublicKey) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
