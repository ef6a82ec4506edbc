"""On whose behalf a request comes, and that it comes through the platform's own doors. Two signed headers say it.

`X-Modplane-Identity` is signed by the platform: who, which organization, which modules; good for a minute.
`X-Modplane-Gateway` is signed by whoever passed the request on, once for this body: with it, an identity that somebody
got hold of is good for nothing.
"""

import base64
import hashlib
import hmac
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jwt

from modplane_sdk.keys import KeySource, NoKey, Signer

IDENTITY_HEADER = "x-modplane-identity"
PASSAGE_HEADER = "x-modplane-gateway"
ISSUERS = {Signer.PLATFORM: "modplane", Signer.GATEWAY: "modplane-gateway"}
ALGORITHM = "EdDSA"
SKEW_SECONDS = 30
TOKEN_BYTES_MAX = 16_384
PASSAGE_SECONDS_MAX = 300  # whatever it says itself: its id has to be remembered for so long
REMEMBERED_MAX = 200_000


class Unverified(Exception):
    """The request is not to be served. `code` is for programs; the text says why, and is safe to show."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Identity:
    """The caller, as the platform says. `modules`: the codes that its organization may use now."""

    subject: str
    roles: frozenset[str]
    organization_id: str | None
    company_id: str | None
    modules: frozenset[str]
    expires_at: float

    def has_module(self, code: str) -> bool:
        return code in self.modules

    def may_see_organization(self, organization_id: str) -> bool:
        """Its own; an administrator of the platform, who belongs to none, every one."""
        if self.organization_id is None:
            return "SUPER_ADMIN" in self.roles
        return self.organization_id == organization_id

    def may_see_company(self, company_id: str) -> bool:
        """Whether a company of its organization is open to it: all, or the one that it is bound to."""
        return self.company_id is None or self.company_id == company_id


_current: ContextVar[Identity | None] = ContextVar("modplane_identity", default=None)


def current_identity() -> Identity:
    """Of the request, socket or hook that is being served. Raises Unverified outside of one, and on an open path."""
    identity = _current.get()
    if identity is None:
        raise Unverified("UNAUTHENTICATED", "nobody was identified here")
    return identity


def set_current_identity(identity: Identity | None) -> None:
    """For this task and those that it starts."""
    _current.set(identity)


class Verifier:
    """Checks both headers for one module. Ids of passages are remembered in this process only: see docs/sdk.md."""

    def __init__(self, module: str, keys: KeySource) -> None:
        self._audience = f"modplane:subgraph:{module}"
        self._keys = keys
        self._seen: dict[str, float] = {}  # id -> when it may be forgotten, nearly in that order

    async def identify(self, token: str | None) -> Identity:
        """Raises Unverified."""
        claims = await self._claims(token, Signer.PLATFORM, IDENTITY_HEADER, required=["sub"])
        try:
            return _identity_of(claims)
        except (KeyError, TypeError, ValueError):
            raise Unverified("UNAUTHENTICATED", f"{IDENTITY_HEADER} does not say what it has to") from None

    async def check_passage(self, token: str | None, body: bytes, signer: Signer = Signer.GATEWAY) -> None:
        """That `signer` passed on this body, now, for the first time. Raises Unverified."""
        claims = await self._claims(token, signer, PASSAGE_HEADER, required=["jti", "body_sha256"])
        told, passage = claims["body_sha256"], claims["jti"]
        if not isinstance(told, str) or not isinstance(passage, str):
            raise Unverified("UNAUTHENTICATED", f"{PASSAGE_HEADER} does not say what it has to")
        if not hmac.compare_digest(told.rstrip("=").encode(), body_hash(body).encode()):
            raise Unverified("BODY_CHANGED", f"{PASSAGE_HEADER} was made for another body")
        if claims["exp"] - claims["iat"] > PASSAGE_SECONDS_MAX:
            raise Unverified("UNAUTHENTICATED", f"{PASSAGE_HEADER} is good for longer than {PASSAGE_SECONDS_MAX} s")
        self._remember(passage, until=claims["exp"] + SKEW_SECONDS)

    async def _claims(self, token: str | None, signer: Signer, header: str, *, required: list[str]) -> dict[str, Any]:
        if not token:
            raise Unverified("UNAUTHENTICATED", f"{header} is missing: this service is called through the gateway")
        if len(token) > TOKEN_BYTES_MAX:
            raise Unverified("UNAUTHENTICATED", f"{header} is too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.find(kid if isinstance(kid, str) else "", signer)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=ISSUERS[signer],
                leeway=SKEW_SECONDS,
                options={"require": ["iss", "aud", "iat", "exp", *required]},
            )
            claims |= {name: float(claims[name]) for name in ("iat", "exp")}
        except jwt.ExpiredSignatureError:
            raise Unverified("EXPIRED", f"{header} has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unverified("UNAUTHENTICATED", f"{header} is not valid: {error}") from None
        except NoKey as error:
            raise Unverified("UNAVAILABLE" if error.is_away else "UNAUTHENTICATED", str(error)) from None
        return claims

    def _remember(self, passage: str, *, until: float) -> None:
        now = time.time()
        while self._seen and (oldest := next(iter(self._seen.items())))[1] < now:
            del self._seen[oldest[0]]
        if self._seen.get(passage, 0) >= now:
            raise Unverified("REPLAYED", f"{PASSAGE_HEADER} was used already")
        if len(self._seen) >= REMEMBERED_MAX:
            raise Unverified("UNAVAILABLE", "too many requests to tell a repeated one")
        self._seen[passage] = until


def body_hash(body: bytes) -> str:
    """base64url without padding, of SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def _identity_of(claims: dict[str, Any]) -> Identity:
    """Raises KeyError, TypeError or ValueError for claims that are not an identity's."""
    subject, organization, company = claims["sub"], claims.get("org"), claims.get("company")
    if not all(isinstance(each, str | None) for each in (organization, company)):
        raise TypeError("org or company is no text")
    return Identity(
        subject=subject,
        roles=frozenset(_texts(claims.get("roles", []))),
        organization_id=organization,
        company_id=company,
        modules=frozenset(_texts(claims.get("modules", []))),
        expires_at=claims["exp"],
    )


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("not a list of texts")
    return value
