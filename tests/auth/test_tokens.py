"""Tokens that leave nothing to be judged are verified without the library, and all others by it."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth.actor import Role
from auth.tokens import InvalidToken, TokenIssuer, TokenSubject, TokenVerifier, sign_token

KEY, FOREIGN_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
GOOD = {"iss": "modplane", "aud": "modplane", "sub": "tester", "iat": 0, "exp": 600, "jti": "x"}
TIMES = ("iat", "exp", "nbf")


def signed(key: Ed25519PrivateKey = KEY, **changed: Any) -> str:
    """None leaves a claim out. Times are seconds from now."""
    now, claims = int(time.time()), {**GOOD, "roles": ["SUPER_ADMIN"], **changed}
    claims = {name: value for name, value in claims.items() if value is not None}
    claims.update({name: now + claims[name] for name in TIMES if isinstance(claims.get(name), int)})
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": "at+jwt"})


@pytest.fixture
def verifier() -> TokenVerifier:
    """One that knows the header of our tokens: it has seen a good one."""
    made = TokenVerifier(KEY.public_key(), TokenIssuer())
    first = sign_token(
        KEY, TokenSubject(role=Role.SUPER_ADMIN, subject="first"), lifetime_seconds=60, issuer=TokenIssuer()
    )
    assert made.verify(first).subject == "first"
    return made


def test_a_plain_token_is_not_shown_to_the_library(verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(jwt, "decode")
    actor = verifier.verify(signed(sub="second"))
    assert (actor.subject, actor.roles, actor.organization_id) == ("second", frozenset({Role.SUPER_ADMIN}), None)
    assert actor.issued_at is not None
    assert actor.expires_at == actor.issued_at + 600


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exp": -31}, "the token has expired"),
        ({"iat": 300}, "the token is not valid"),
        ({"nbf": 300}, "the token is not valid"),
        ({"iss": "somebody"}, "the token is not valid"),
        ({"aud": "something"}, "the token is not valid"),
        ({"aud": ["something"]}, "the token is not valid"),
        ({"sub": 7}, "the token is not valid"),
        ({"jti": 7}, "the token is not valid"),
        ({"iat": "soon"}, "the token is not valid"),
        ({"exp": None}, "the token is not valid"),
        ({"iat": None}, "the token is not valid"),
        ({"roles": []}, "the token has no role that is known here"),
    ],
)
def test_a_known_header_makes_no_bad_token_good(verifier: TokenVerifier, changed: dict[str, Any], said: str) -> None:
    fresh = TokenVerifier(KEY.public_key(), TokenIssuer())
    for each in (verifier, fresh):
        with pytest.raises(InvalidToken, match=f"^{said}$"):
            each.verify(signed(**changed))


@pytest.mark.parametrize("changed", [{"exp": -5}, {"iat": 5}, {"aud": ["modplane"]}, {"jti": None}])
def test_what_the_library_accepts_is_accepted(verifier: TokenVerifier, changed: dict[str, Any]) -> None:
    assert verifier.verify(signed(**changed)).subject == "tester"


def test_another_key_or_another_body_is_refused(verifier: TokenVerifier) -> None:
    header, body, signature = signed().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "somebody"}).encode()).rstrip(b"=").decode()
    for bad in (signed(FOREIGN_KEY), f"{header}.{changed}.{signature}", f"{header}.{body}.", f"{header}.{body}.!"):
        with pytest.raises(InvalidToken, match=r"^the token is not valid$"):
            verifier.verify(bad)
