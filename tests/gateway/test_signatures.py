"""The module answers calls through the gateway only: each call here goes past it."""

import base64
import hashlib
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth.identity import thumbprint
from tests.gateway.world import MODULE, World
from tests.support.platform import GATEWAY, GATEWAY_KEY, KEY
from tests.support.stories import admin_of

BODY = json.dumps({"query": '{ warehouseArticle(sku: "bolt") { quantity } }'}).encode()
STRANGER = Ed25519PrivateKey.generate()


def signed(key: Ed25519PrivateKey = GATEWAY, *, kid: str | None = None, **claims: Any) -> str:
    """What the gateway would send with the body."""
    now = int(time.time())
    said = {
        "iss": "modplane-gateway",
        "aud": f"modplane:subgraph:{MODULE}",
        "iat": now,
        "exp": now + 30,
        "body_sha256": base64.urlsafe_b64encode(hashlib.sha256(BODY).digest()).rstrip(b"=").decode(),
        **claims,
    }
    return jwt.encode(said, key, algorithm="EdDSA", headers={"kid": kid or thumbprint(key.public_key())})


async def identity(world: World, organization: str, subgraph: str = MODULE) -> str:
    """What the platform tells this subgraph of the organization's administrator."""
    url = world.platform.url.replace("/graphql", "/federation/v1/identity")
    headers = {"x-modplane-gateway-key": GATEWAY_KEY, "authorization": f"Bearer {admin_of(organization)}"}
    response = await world.platform.client.get(url, params={"subgraphs": subgraph}, headers=headers)
    found: str = response.json()["identities"][subgraph]
    return found


async def call(world: World, *, body: bytes = BODY, **headers: str) -> tuple[int, Any]:
    """Status, and data or the code of the error."""
    sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{world.warehouse.url}/graphql", content=body, headers=sent)
    answer = response.json()
    return response.status_code, answer["errors"][0]["extensions"]["code"] if "errors" in answer else answer["data"]


async def test_both_signatures_open_the_door(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    known = await identity(world, tenant.organization)
    answer = await call(world, x_modplane_gateway=signed(), x_modplane_identity=known)
    assert answer == (200, {"warehouseArticle": None})


async def test_the_schema_is_told_to_whoever_asks_word_for_word(world: World) -> None:
    status, data = await call(world, body=b'{"query": "{ _service { sdl } }"}')
    assert status == 200
    assert "type WarehouseStock" in data["_service"]["sdl"]
    refused = (401, "GATEWAY_REQUIRED")
    assert await call(world, body=b'{"query": "{ _service { sdl } __typename }"}') == refused


async def test_a_call_past_the_gateway_is_refused(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    known = await identity(world, tenant.organization)
    refused = (401, "GATEWAY_REQUIRED")
    assert await call(world) == refused
    assert await call(world, authorization=f"Bearer {tenant.token}") == refused
    assert await call(world, x_modplane_identity=known) == refused
    assert await call(world, x_modplane_gateway=signed()) == refused
    other = BODY.replace(b"bolt", b"nuts")
    assert await call(world, body=other, x_modplane_gateway=signed(), x_modplane_identity=known) == refused


@pytest.mark.parametrize(
    ("key", "claims"),
    [
        (STRANGER, {}),
        (STRANGER, {"kid": thumbprint(GATEWAY.public_key())}),
        (KEY, {}),  # the platform's key is in the set too, and is not the gateway's
        (GATEWAY, {"aud": "modplane:subgraph:financial"}),
        (GATEWAY, {"iss": "modplane"}),
        (GATEWAY, {"exp": int(time.time()) - 60}),
        (GATEWAY, {"body_sha256": None}),
    ],
)
async def test_what_is_no_signature_of_the_gateway(
    world: World, key: Ed25519PrivateKey, claims: dict[str, Any]
) -> None:
    tenant = await world.tenant(has_warehouse=True)
    known = await identity(world, tenant.organization)
    answer = await call(world, x_modplane_gateway=signed(key, **claims), x_modplane_identity=known)
    assert answer == (401, "GATEWAY_REQUIRED")


async def test_an_identity_is_of_the_platform_and_for_this_module(world: World) -> None:
    has, has_not = await world.tenant(has_warehouse=True), await world.tenant(has_warehouse=False)
    others = await identity(world, has.organization, "financial")
    assert await call(world, x_modplane_gateway=signed(), x_modplane_identity=others) == (401, "GATEWAY_REQUIRED")
    claims = jwt.decode(await identity(world, has.organization), options={"verify_signature": False})
    forged = signed(GATEWAY, **claims)
    assert await call(world, x_modplane_gateway=signed(), x_modplane_identity=forged) == (401, "GATEWAY_REQUIRED")
    unentitled = await identity(world, has_not.organization)
    answer = await call(world, x_modplane_gateway=signed(), x_modplane_identity=unentitled)
    assert answer == (403, "MODULE_NOT_ENTITLED")
