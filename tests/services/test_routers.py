"""What other routers and proxies are told: Traefik's document, its question before each request, and coprocessors'."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from starlette.responses import Response

from tests.services.services import becomes, module_with_key, register_instance, serving
from tests.support.platform import GATEWAY_KEY, KEY, Platform
from tests.support.stories import admin_of, assign, register, sign_up, unique

KEY_HEADER = {"X-Modplane-Gateway-Key": GATEWAY_KEY}
HIVE, APOLLO = "hive::authorization::required_policies", "apollo::authorization::required_policies"


@dataclass
class Served:
    """A module with a healthy instance, one without, and an organization that has both."""

    platform: Platform
    module: str
    instance: str
    other: str
    bearer: str

    @property
    def base(self) -> str:
        return self.platform.url.removesuffix("/graphql")

    async def ask_auth(
        self, uri: str | None, *, bearer: str | None = "", proof: str = "", **more: str
    ) -> httpx.Response:
        headers = {} if uri is None else {"X-Forwarded-Uri": uri}
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer or self.bearer}"
        url = f"{self.base}/federation/v1/forward-auth"
        return await self.platform.client.get(
            url, params={"proof": proof or proof_of("forward-auth")}, headers={**headers, **more}
        )

    async def ask_coprocessor(self, said: Any, *, proof: str = "") -> Any:
        url = f"{self.base}/federation/v1/coprocessor"
        response = await self.platform.client.post(url, params={"proof": proof or proof_of("coprocessor")}, json=said)
        assert response.status_code == 200, response.text
        return response.json()


def proof_of(purpose: str) -> str:
    return hmac.new(GATEWAY_KEY.encode(), purpose.encode(), hashlib.sha256).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(probing: Platform) -> AsyncIterator[Served]:
    module, key = await module_with_key(probing)
    other = await register(probing, unique("unserved"))
    organization = await sign_up(probing)
    for each in (module, other):
        await assign(probing, organization, each)
    async with serving(Response()) as instance:
        await register_instance(probing, key, module, instance)
        await becomes(probing, module, {instance: "HEALTHY"}, seconds=5)
        yield Served(probing, module, instance, other, admin_of(organization))


async def test_the_document_for_traefik(served: Served) -> None:
    response = await served.platform.client.get(f"{served.base}/integrations/traefik", headers=KEY_HEADER)
    assert response.status_code == 200
    code = served.module
    assert response.json() == {
        "http": {
            "routers": {
                f"modplane-{code}": {
                    "rule": f"PathPrefix(`/api/v1/{code}/`)",
                    "service": f"modplane-{code}",
                    "middlewares": ["modplane-forward-auth", "modplane-hide", f"modplane-{code}-prefix"],
                }
            },
            "services": {
                f"modplane-{code}": {"loadBalancer": {"servers": [{"url": served.instance}], "passHostHeader": False}}
            },
            "middlewares": {
                "modplane-forward-auth": {
                    "forwardAuth": {
                        "address": f"{served.base}/federation/v1/forward-auth?proof={proof_of('forward-auth')}",
                        "authResponseHeaders": ["X-Modplane-Identity", "X-Request-Id", "Traceparent"],
                    }
                },
                "modplane-hide": {
                    "headers": {
                        "customRequestHeaders": {
                            "Authorization": "",
                            "Cookie": "",
                            "X-Module-API-Key": "",
                            "X-Modplane-Gateway": "",
                            "X-Modplane-Gateway-Key": "",
                        }
                    }
                },
                f"modplane-{code}-prefix": {"stripPrefix": {"prefixes": [f"/api/v1/{code}"]}},
            },
        }
    }


async def test_without_a_healthy_instance_it_is_empty(platform: Platform) -> None:
    await register(platform, unique("unserved"))
    url = platform.url.replace("/graphql", "/integrations/traefik")
    assert (await platform.client.get(url, headers=KEY_HEADER)).json() == {}


async def test_it_is_for_the_gateway_and_so_is_what_traefik_asks(served: Served) -> None:
    url = f"{served.base}/integrations/traefik"
    for headers in ({}, {"X-Modplane-Gateway-Key": proof_of("forward-auth")}):
        response = await served.platform.client.get(url, headers=headers, params={"proof": proof_of("forward-auth")})
        assert response.status_code == 401
    uri = f"/api/v1/{served.module}/x"
    for proof in ("wrong", GATEWAY_KEY, proof_of("coprocessor")):
        response = await served.ask_auth(uri, proof=proof)
        assert response.json()["errors"][0]["extensions"] == {"code": "GATEWAY_KEY_INVALID"}
    assert (await served.ask_auth(uri, proof="wrong", **KEY_HEADER)).status_code == 200


async def test_what_traefik_is_told_of_a_request(served: Served) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    more = {"traceparent": trace, "x-request-id": "r-1", "x-modplane-identity": "forged"}
    response = await served.ask_auth(f"/api/v1/{served.module}/x/y?q=1", **more)
    assert (response.status_code, response.content) == (200, b"")
    audience = f"modplane:subgraph:{served.module}"
    claims = jwt.decode(
        response.headers["x-modplane-identity"], KEY.public_key(), algorithms=["EdDSA"], audience=audience
    )
    assert served.module in claims["modules"]
    assert (response.headers["traceparent"], response.headers["x-request-id"]) == (trace, "r-1")


async def test_whom_traefik_is_to_refuse(served: Served) -> None:
    stranger = admin_of(await sign_up(served.platform))
    uri = f"/api/v1/{served.module}/x"
    assert (await served.ask_auth(uri, bearer=None)).status_code == 401
    assert (await served.ask_auth(uri, bearer=stranger)).status_code == 403
    assert (await served.ask_auth("/api/v1/no-such/x")).status_code == 404
    assert (await served.ask_auth(None)).status_code == 400
    for misleading in (
        f"{uri}/../../{served.other}/x",
        f"/api/v1/%2e/{served.module}",
        "/graphql",
        "//api/v1/x/y",
        "//[/x",
        f"//x{uri}",
    ):
        response = await served.ask_auth(misleading)
        assert response.status_code in (400, 404), misleading
        assert "x-modplane-identity" not in response.headers
    assert (await served.ask_auth(uri, **{"X-Forwarded-Method": "TRACE"})).status_code == 400


@pytest.mark.parametrize("shape", [lambda text: text, lambda text: [text]])
async def test_hive_router_is_told_which_policies_hold(served: Served, shape: Any) -> None:
    policies = {f"module:{served.module}": None, "module:other": None, "something-else": None}
    asked = {
        "version": 1,
        "stage": "graphql.analysis",
        "control": "continue",
        "id": "1",
        "headers": {"Authorization": shape(f"Bearer {served.bearer}")},
        "context": {HIVE: policies, "other": 1},
    }
    assert await served.ask_coprocessor(asked) == {
        "version": 1,
        "control": "continue",
        "context": {HIVE: {f"module:{served.module}": True, "module:other": False, "something-else": False}},
    }
    anonymous = {**asked, "headers": {}}
    assert set((await served.ask_coprocessor(anonymous))["context"][HIVE].values()) == {False}
    nothing = {**asked, "context": {}}
    assert await served.ask_coprocessor(nothing) == {"version": 1, "control": "continue", "context": {}}


async def test_graphos_router_is_told_in_its_own_way(served: Served) -> None:
    asked = {
        "version": 1,
        "stage": "SupergraphRequest",
        "control": "continue",
        "id": "abc",
        "headers": {"authorization": [f"Bearer {served.bearer}"]},
        "context": {"entries": {APOLLO: {f"module:{served.module}": None, "module:other": None}}},
    }
    assert await served.ask_coprocessor(asked) == {
        "version": 1,
        "stage": "SupergraphRequest",
        "id": "abc",
        "control": "continue",
        "context": {"entries": {APOLLO: {f"module:{served.module}": True, "module:other": False}}},
    }


async def test_a_bad_credential_ends_the_operation(served: Served) -> None:
    asked = {"version": 1, "stage": "graphql.analysis", "headers": {"authorization": "Bearer nonsense"}, "context": {}}
    said = {"message": "the token is not valid; ask for a new one", "extensions": {"code": "UNAUTHENTICATED"}}
    assert await served.ask_coprocessor(asked) == {
        "version": 1,
        "control": {"break": 401},
        "headers": {"content-type": "application/json"},
        "body": {"errors": [said]},
    }


async def test_a_stage_that_decides_nothing_goes_on(served: Served) -> None:
    answer = await served.ask_coprocessor({"version": 1, "stage": "router.request"})
    assert answer == {"version": 1, "stage": "router.request", "control": "continue"}


@pytest.mark.parametrize(
    ("body", "proof", "status"),
    [
        (b"nonsense", "", 400),
        (b"[]", "", 400),
        (b"", "", 400),
        (b" " * 1_100_000, "", 413),
        (b"{}", "wrong", 401),
    ],
)
async def test_bad_questions(served: Served, body: bytes, proof: str, status: int) -> None:
    url = f"{served.base}/federation/v1/coprocessor"
    params = {"proof": proof or proof_of("coprocessor")}
    assert (await served.platform.client.post(url, params=params, content=body)).status_code == status
