"""Keys as a module gets them: from the platform, kept while it is away, read again when they change."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from modplane_sdk.identity import Unverified, Verifier
from modplane_sdk.keys import JWKS_PATH, NoKey, PlatformKeys, Signer, read_keys
from starlette.types import Receive, Scope, Send

from auth.actor import Actor, Role
from auth.identity import Identity, IdentitySigner, key_set, thumbprint
from tests.services.services import serving
from tests.support.platform import FEDERATION, GATEWAY, GATEWAY_KEY, KEY, Platform, token
from tests.support.stories import assign, register, sign_up, unique


@dataclass
class KeyServer:
    """Publishes whatever keys it has now; `is_away`: answers 503."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    is_away: bool = False
    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"] == JWKS_PATH
        self.asked += 1
        await send({"type": "http.response.start", "status": 503 if self.is_away else 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(self.keys).encode()})


@asynccontextmanager
async def key_server(*keys: Ed25519PrivateKey, **seconds: float) -> AsyncIterator[tuple[KeyServer, PlatformKeys]]:
    server = KeyServer()
    publish(server, *keys)
    async with serving(server) as url:
        yield server, PlatformKeys(url, **seconds)


def publish(server: KeyServer, *keys: Ed25519PrivateKey) -> None:
    entries = [entry for key in keys for entry in key_set({"platform": key.public_key()})["keys"]]
    server.keys = {"keys": entries}


def kid_of(key: Ed25519PrivateKey) -> str:
    return thumbprint(key.public_key())


async def test_the_platforms_own_answers_are_taken(platform: Platform) -> None:
    module = await register(platform, unique("verified"))
    organization = await sign_up(platform)
    await assign(platform, organization, module)
    answer = await platform.client.get(
        platform.url.replace("/graphql", f"/federation/v1/identity?subgraphs={module}"),
        headers={
            "x-modplane-gateway-key": GATEWAY_KEY,
            "authorization": f"Bearer {token(Role.MEMBER, organization=organization)}",
        },
    )
    verifier = Verifier(module, PlatformKeys(platform.url.removesuffix("/graphql")))
    identity = await verifier.identify(answer.json()["identities"][module])
    assert (identity.subject, *identity.roles, identity.organization_id) == ("tester", "MEMBER", organization)
    assert identity.has_module(module)
    with pytest.raises(Unverified, match="Audience"):
        await Verifier("another", PlatformKeys(platform.url.removesuffix("/graphql"))).identify(
            answer.json()["identities"][module]
        )


async def test_both_signers_are_known_and_not_taken_for_each_other(platform: Platform) -> None:
    keys = PlatformKeys(platform.url.removesuffix("/graphql"))
    assert FEDERATION.keys.gateway_public is not None
    found = [await keys.find(kid_of(KEY), Signer.PLATFORM), await keys.find(kid_of(GATEWAY), Signer.GATEWAY)]
    assert found == [KEY.public_key(), GATEWAY.public_key()]
    with pytest.raises(NoKey):
        await keys.find(kid_of(GATEWAY), Signer.PLATFORM)


async def test_a_new_key_is_found_at_once_and_an_invented_one_costs_one_request() -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    async with key_server(old, retry_seconds=1.0) as (server, keys):
        await keys.find(kid_of(old), Signer.PLATFORM)
        publish(server, new)
        await asyncio.sleep(1.1)
        assert await keys.find(kid_of(new), Signer.PLATFORM) == new.public_key()
        with pytest.raises(NoKey):
            await keys.find(kid_of(old), Signer.PLATFORM)  # withdrawn
        for number in range(100):
            with pytest.raises(NoKey):
                await keys.find(f"invented {number}", Signer.PLATFORM)
        assert server.asked == 2


async def test_many_who_wait_ask_once() -> None:
    key = Ed25519PrivateKey.generate()
    async with key_server(key) as (server, keys):
        found = await asyncio.gather(*(keys.find(kid_of(key), Signer.PLATFORM) for _ in range(50)))
        assert (found, server.asked) == ([key.public_key()] * 50, 1)


async def test_while_the_platform_is_away_the_last_keys_are_good_for_a_time() -> None:
    key = Ed25519PrivateKey.generate()
    async with key_server(key, fresh_seconds=0.1, retry_seconds=0.1, kept_seconds=2.0) as (server, keys):
        await keys.find(kid_of(key), Signer.PLATFORM)
        server.is_away = True
        await asyncio.sleep(0.3)
        assert await keys.find(kid_of(key), Signer.PLATFORM) == key.public_key()
        await asyncio.sleep(2.0)
        with pytest.raises(NoKey) as raised:
            await keys.find(kid_of(key), Signer.PLATFORM)
        assert raised.value.is_away
        server.is_away = False
        await asyncio.sleep(0.15)
        assert await keys.find(kid_of(key), Signer.PLATFORM) == key.public_key()


async def test_a_platform_that_was_never_there_makes_requests_unavailable_and_not_forbidden() -> None:
    key = Ed25519PrivateKey.generate()
    actor = Actor(subject="tester", roles=frozenset({Role.SUPER_ADMIN}), organization_id=None, company_id=None)
    signed = IdentitySigner(key).sign(Identity(actor=actor, modules=()), "billing")
    with pytest.raises(Unverified) as raised:
        await Verifier("billing", PlatformKeys("http://127.0.0.1:9")).identify(signed)
    assert raised.value.code == "UNAVAILABLE"


def test_keys_of_nobody_and_of_other_kinds_are_passed_over() -> None:
    (good,) = key_set({"platform": KEY.public_key()})["keys"]
    others = [
        {**good, "modplane:role": "somebody"},
        {**good, "modplane:role": []},
        {"kty": "RSA", "modplane:role": "platform"},
        "no key",
    ]
    assert list(read_keys({"keys": [*others, good]})) == [(kid_of(KEY), Signer.PLATFORM)]


@pytest.mark.parametrize("document", [None, [], {"keys": {}}, {}])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="not a JWK set"):
        read_keys(document)
