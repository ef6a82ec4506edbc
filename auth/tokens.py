"""Bearer tokens: JWT (RFC 7519) signed with EdDSA (RFC 8037). Never looks anything up."""

import base64
import time
from dataclasses import dataclass
from uuid import UUID, uuid4

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from auth.actor import Actor, Role

ALGORITHM = "EdDSA"
TOKEN_BYTES_MAX = 8192
LEEWAY_SECONDS = 30
TOKEN_SECONDS_MAX = 30 * 24 * 3600  # whatever it says itself: revocations are forgotten after this
CACHE_MAX = 10_000
HEADERS_MAX = 16
# A module's service comes with its API key: a token could not say which module it is the service of.
TOKEN_ROLES = frozenset(Role) - {Role.MODULE_SERVICE}
ROLES_BY_NAME = {role.value: role for role in TOKEN_ROLES}


class InvalidToken(Exception):
    """The credential is not one of ours; the text says why, and is safe to show."""


@dataclass(frozen=True)
class TokenIssuer:
    """Who signs, and for whom. The algorithm is ours to say, never the token's."""

    issuer: str = "modplane"
    audience: str = "modplane"


@dataclass(frozen=True)
class TokenSubject:
    """What a token is to say of its bearer."""

    role: Role
    subject: str
    organization_id: UUID | None = None
    company_id: UUID | None = None


def sign_token(key: Ed25519PrivateKey, bearer: TokenSubject, *, lifetime_seconds: int, issuer: TokenIssuer) -> str:
    now = int(time.time())
    claims = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "sub": bearer.subject,
        "iat": now,
        "exp": now + lifetime_seconds,
        "jti": str(uuid4()),
        "roles": [bearer.role.value],
    }
    if bearer.organization_id:
        claims["org"] = str(bearer.organization_id)
    if bearer.company_id:
        claims["company"] = str(bearer.company_id)
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"typ": "at+jwt"})


class TokenVerifier:
    """Verifies tokens against one public key; remembers verified ones until they expire (a signature costs 70 us)."""

    def __init__(self, key: Ed25519PublicKey, issuer: TokenIssuer) -> None:
        self._key = key
        self._quick_key = VerifyKey(key.public_bytes_raw())  # libsodium's: half the time of OpenSSL's
        self._issuer = issuer
        self._verified: dict[str, Actor] = {}
        self._headers: set[str] = set()  # first parts of tokens that the library has accepted: few, and always the same

    def verify(self, token: str) -> Actor:
        known = self._verified.get(token)
        if known is None:
            known = self._check(token)
            if len(self._verified) >= CACHE_MAX:
                self._verified.clear()
            self._verified[token] = known
        elif known.expires_at is not None and known.expires_at + LEEWAY_SECONDS <= time.time():
            self._verified.pop(token, None)
            raise InvalidToken("the token has expired")
        return known

    def _check(self, token: str) -> Actor:
        if len(token) > TOKEN_BYTES_MAX:
            raise InvalidToken("the token is too long")
        claims = self._plain_claims(token)
        if claims is None:
            claims = self._decode(token)
        actor = _actor_of(claims)
        if actor.expires_at is not None and actor.expires_at + LEEWAY_SECONDS <= time.time():
            raise InvalidToken("the token has expired")
        return actor

    def _plain_claims(self, token: str) -> dict[str, object] | None:
        """The claims of a token that leaves nothing to be judged; None: the library has to say. Costs half of that."""
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        if header not in self._headers:
            return None
        try:
            self._quick_key.verify(signed.encode(), _decoded(signature))
            claims = orjson.loads(_decoded(payload))
        except BadSignatureError:
            raise InvalidToken("the token is not valid") from None
        except ValueError:
            return None
        return claims if isinstance(claims, dict) and self._is_plain(claims) else None

    def _is_plain(self, claims: dict[str, object]) -> bool:
        issued, expires, now = claims.get("iat"), claims.get("exp"), time.time()
        return (
            claims.get("iss") == self._issuer.issuer
            and claims.get("aud") == self._issuer.audience
            and "nbf" not in claims
            and type(issued) is int
            and type(expires) is int
            and issued <= now < expires
            and isinstance(claims.get("sub"), str)
            and isinstance(claims.get("jti"), str)
        )

    def _decode(self, token: str) -> dict[str, object]:
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=self._issuer.audience,
                issuer=self._issuer.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidToken("the token has expired") from None
        except jwt.PyJWTError:
            raise InvalidToken("the token is not valid") from None
        except (ValueError, TypeError, OverflowError):
            raise InvalidToken("the token is malformed") from None
        if len(self._headers) < HEADERS_MAX:
            self._headers.add(token.partition(".")[0])
        return claims


def _decoded(part: str) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _actor_of(claims: dict[str, object]) -> Actor:
    roles, subject, expires, issued = (claims.get(name) for name in ("roles", "sub", "exp", "iat"))
    if not isinstance(roles, list) or not isinstance(subject, str) or not isinstance(expires, int | float):
        raise InvalidToken("the token lacks its subject, roles or expiry")
    if not subject or "\0" in subject or not isinstance(issued, int | float):
        raise InvalidToken("the token's subject or time of issue is not one that could be revoked")
    known = frozenset(ROLES_BY_NAME[name] for name in roles if isinstance(name, str) and name in ROLES_BY_NAME)
    if not known:
        raise InvalidToken("the token has no role that is known here")
    organization_id, company_id = _uuid_of(claims.get("org")), _uuid_of(claims.get("company"))
    if Role.SUPER_ADMIN not in known and organization_id is None:
        raise InvalidToken("the token names no organization")
    if Role.COMPANY_ADMIN in known and company_id is None:
        raise InvalidToken("the token names no company")
    return Actor(
        subject=subject,
        roles=known,
        organization_id=organization_id,
        company_id=company_id,
        expires_at=min(float(expires), issued + TOKEN_SECONDS_MAX),
        issued_at=float(issued),
    )


def _uuid_of(claim: object) -> UUID | None:
    if claim is None:
        return None
    try:
        return UUID(str(claim))
    except ValueError:
        raise InvalidToken("the token names an organization or company that is not an id") from None
