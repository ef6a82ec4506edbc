"""A credential that is not ours is refused before anything is read; none at all opens only what is public."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth.actor import Role
from tests.support.platform import KEY, Platform, token
from tests.support.stories import ERRORS, organization_revision, sign_up

ASSIGN = f"mutation($input: AssignModuleInput!) {{ assignModule(input: $input) {{ revision {ERRORS} }} }}"
FOREIGN_KEY = Ed25519PrivateKey.generate()


def claims(**changed: Any) -> dict[str, Any]:
    """Those of a good token; None leaves one out."""
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": "modplane",
        "aud": "modplane",
        "sub": "tester",
        "iat": now,
        "exp": now + 600,
        "jti": str(uuid4()),
        "roles": ["SUPER_ADMIN"],
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(key: Ed25519PrivateKey = KEY, **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm="EdDSA")


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    parts = ({"alg": algorithm, "typ": "JWT"}, claims())
    return ".".join(base64url(json.dumps(each).encode()) for each in parts) + "."


def signed_with_the_public_key(encoding: Encoding, public_format: PublicFormat) -> str:
    """HS256 whose secret everybody knows: what a verifier that believes the token's header falls for."""
    text = unsigned("HS256").rstrip(".")
    signature = hmac.HMAC(KEY.public_key().public_bytes(encoding, public_format), hashes.SHA256())
    signature.update(text.encode())
    return f"{text}.{base64url(signature.finalize())}"


def tampered(part: int) -> str:
    """A good token with one of its parts changed."""
    parts = signed().split(".")
    changed = claims(roles=["SUPER_ADMIN"], sub="somebody else") if part == 1 else {"alg": "EdDSA", "kid": "x"}
    parts[part] = base64url(json.dumps(changed).encode())
    return ".".join(parts)


BAD: dict[str, Callable[[], str]] = {
    "expired": lambda: token(seconds=-3600),
    "just expired beyond the leeway": lambda: token(seconds=-31),
    "of another key": lambda: token(key=FOREIGN_KEY),
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "EdDSA without a signature": lambda: unsigned("EdDSA"),
    "HS256 with the public key, raw": lambda: signed_with_the_public_key(Encoding.Raw, PublicFormat.Raw),
    "HS256 with the public key, PEM": lambda: signed_with_the_public_key(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    ),
    "no exp": lambda: signed(exp=None),
    "no iat": lambda: signed(iat=None),
    "no sub": lambda: signed(sub=None),
    "no aud": lambda: signed(aud=None),
    "no iss": lambda: signed(iss=None),
    "no roles": lambda: signed(roles=None),
    "wrong aud": lambda: signed(aud="another"),
    "wrong iss": lambda: signed(iss="another"),
    "issued in the future": lambda: signed(iat=int(time.time()) + 3600),
    "not valid yet": lambda: signed(nbf=int(time.time()) + 3600),
    "exp is a text": lambda: signed(exp="never"),
    "unknown role": lambda: signed(roles=["GOD"]),
    "roles as a text": lambda: signed(roles="SUPER_ADMIN"),
    "no organization": lambda: signed(roles=["ORGANIZATION_ADMIN"]),
    "organization that is no id": lambda: signed(roles=["MEMBER"], org="x"),
    "company admin without a company": lambda: signed(roles=["COMPANY_ADMIN"], org=str(uuid4())),
    "changed claims": lambda: tampered(1),
    "changed header": lambda: tampered(0),
    "cut": lambda: signed()[:-3],
    "garbage": lambda: "garbage",
    "three dots": lambda: "...",
    "no base64": lambda: "!!.!!.!!",
    "too long": lambda: "x" * 9_000,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def organization(platform: Platform) -> str:
    return await sign_up(platform)


@pytest.mark.parametrize("name", BAD)
async def test_a_token_that_is_not_ours_is_unauthenticated(platform: Platform, organization: str, name: str) -> None:
    variables = {"input": {"organizationId": organization, "module": "hr"}}
    for query, given in ((ASSIGN, variables), ("{ industries { totalCount } }", None)):
        response = await platform.post(query, given, token=BAD[name]())
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert "data" not in response.json()
        assert [each["extensions"] for each in response.json()["errors"]] == [{"code": "UNAUTHENTICATED"}]
    assert await organization_revision(platform, organization) == 1


async def test_the_same_claims_signed_by_us_are_accepted(platform: Platform) -> None:
    """So that what is refused above is refused for its one fault."""
    assert await platform.data("{ viewer { subject } }", token=signed()) == {"viewer": {"subject": "tester"}}


async def test_without_a_token_a_field_says_so(platform: Platform, organization: str) -> None:
    response = await platform.post(ASSIGN, {"input": {"organizationId": organization, "module": "hr"}}, token=None)
    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (200, "UNAUTHENTICATED")
    assert error["path"] == ["assignModule"]
    assert await organization_revision(platform, organization) == 1
    public = await platform.data('{ industry(code: "tech") { name } }', token=None)
    assert public == {"industry": {"name": "Technology"}}


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dXNlcjpwYXNz", "bearer x y", "Token x"])
async def test_a_header_that_carries_no_token(platform: Platform, header: str) -> None:
    response = await platform.post("{ viewer { subject } }", token=None, authorization=header)
    assert response.status_code < 500
    assert [each["extensions"]["code"] for each in response.json()["errors"]] == ["UNAUTHENTICATED"]


async def test_a_token_stops_working_when_it_expires(platform: Platform, organization: str) -> None:
    """Verified tokens are remembered, and forgotten in time: this one is in its last seconds of leeway."""
    bearer = token(Role.MEMBER, organization=organization, seconds=-27)
    query = "{ viewer { subject } }"
    assert (await platform.post(query, token=bearer)).status_code == 200
    async with asyncio.timeout(20):
        while (response := await platform.post(query, token=bearer)).status_code == 200:
            await asyncio.sleep(0.05)
    assert response.status_code == 401
