"""What a module's service gets from the gateway, and what becomes of its answers. The service is this test's own."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import jwt
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.gateway.world import Tenant, World
from tests.services.services import serving
from tests.support.platform import GATEWAY, KEY
from tests.support.stories import assign
from tests.support.subgraphs import activated, done, module_of, sdl_of, settled

ITEM = [{"id": "1"}]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Probe:
    """A module's service: what it was sent, and what it answers to anything but a question for its SDL."""

    module: str
    url: str
    sdl: str
    answer: Callable[[], Response]
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    tenant: Tenant | None = None

    async def serve(self, request: Request) -> Response:
        body = await request.body()
        if b"_service" in body:
            return JSONResponse({"data": {"_service": {"sdl": self.sdl}}})
        self.requests.append((dict(request.headers), body))
        return self.answer()


@asynccontextmanager
async def probing(module: str) -> AsyncIterator[Probe]:
    probe = Probe(module, "", sdl_of(module), items(module))
    async with serving(Starlette(routes=[Route("/graphql", probe.serve, methods=["POST"])])) as address:
        probe.url = f"{address}/graphql"
        yield probe


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def probe(world: World) -> AsyncIterator[Probe]:
    module = await module_of(world.platform, "probe")
    async with probing(module) as probe:
        given = {"module": module, "version": "1.0.0", "sdl": probe.sdl, "routingUrl": probe.url}
        checked = await settled(world.platform, await done(world.platform, "registerSubgraph", given))
        assert (await activated(world.platform, checked))["state"] == "ACTIVE"
        probe.tenant = await world.tenant(has_warehouse=False)
        assert (await assign(world.platform, probe.tenant.organization, module))["errors"] == []
        async with asyncio.timeout(10):
            while "data" not in await ask(world, probe):
                await asyncio.sleep(0.1)
        yield probe


async def ask(world: World, probe: Probe, headers: Mapping[str, str] = MappingProxyType({})) -> Any:
    """The answer to a question for the module's root field."""
    assert probe.tenant is not None
    query = f"{{ found: {root_of(probe.module)} {{ id }} }}"
    return (await world.gateway.post(query, None, token=probe.tenant.token, **headers)).json()


def items(module: str) -> Callable[[], Response]:
    """A good answer; the gateway asks by the field's name or by the client's alias."""
    return lambda: JSONResponse({"data": {"found": ITEM, root_of(module): ITEM}})


def root_of(module: str) -> str:
    name = "".join(word.capitalize() for word in module.split("-"))
    return name[0].lower() + name[1:]


async def test_a_request_proves_who_sends_it_and_for_whom(world: World, probe: Probe) -> None:
    probe.requests.clear()
    probe.answer = items(probe.module)
    sent = {"traceparent": TRACE, "x-request-id": "mine", "x-modplane-identity": "forged"}
    assert await ask(world, probe, sent) == {"data": {"found": ITEM}}
    ((headers, body),) = probe.requests
    assert (headers["traceparent"], headers["x-request-id"]) == (TRACE, "mine")
    assert "authorization" not in headers
    audience = f"modplane:subgraph:{probe.module}"
    call = jwt.decode(headers["x-modplane-gateway"], GATEWAY.public_key(), ["EdDSA"], audience=audience)
    assert (call["iss"], call["exp"] - call["iat"]) == ("modplane-gateway", 30)
    assert base64.urlsafe_b64decode(call["body_sha256"] + "=") == hashlib.sha256(body).digest()
    who = jwt.decode(headers["x-modplane-identity"], KEY.public_key(), ["EdDSA"], audience=audience)
    assert probe.tenant is not None
    assert (who["iss"], who["org"], who["modules"]) == ("modplane", probe.tenant.organization, [probe.module])


async def test_no_two_requests_have_the_same_signature(world: World, probe: Probe) -> None:
    probe.requests.clear()
    await ask(world, probe)
    await ask(world, probe)
    assert len({headers["x-modplane-gateway"] for headers, _ in probe.requests}) == 2


def failing(message: str, path: Any = None, **extensions: Any) -> Callable[[], Response]:
    error = {"message": message, "path": path, "extensions": extensions}
    return lambda: JSONResponse({"data": {"found": None}, "errors": [error]})


@pytest.mark.parametrize(
    ("answer", "message", "code"),
    [
        (failing("No such invoice.", code="NOT_THERE", stacktrace=["x.py"]), "No such invoice.", "NOT_THERE"),
        (failing("psycopg: password wrong"), "The service of {} failed to answer this.", "SUBGRAPH_ERROR"),
        (failing("x", code="INTERNAL_SERVER_ERROR"), "The service of {} failed to answer this.", "SUBGRAPH_ERROR"),
        (lambda: Response("<h1>boom</h1>", 500), "The service of {} does not answer.", "SUBGRAPH_UNAVAILABLE"),
        (lambda: JSONResponse([1]), "The service of {} does not answer.", "SUBGRAPH_UNAVAILABLE"),
        (
            lambda: Response(status_code=307, headers={"location": "/x"}),
            "The service of {} does not answer.",
            "SUBGRAPH_UNAVAILABLE",
        ),
        (lambda: JSONResponse({"errors": "x"}), "The service of {} does not answer.", "SUBGRAPH_UNAVAILABLE"),
        (lambda: JSONResponse({"data": "x"}), "The service of {} does not answer.", "SUBGRAPH_UNAVAILABLE"),
        (
            lambda: JSONResponse({"data": [], "errors": []}),
            "The service of {} does not answer.",
            "SUBGRAPH_UNAVAILABLE",
        ),
        (
            lambda: JSONResponse({"data": None, "errors": [None]}),
            "The service of {} failed to answer this.",
            "SUBGRAPH_ERROR",
        ),
        (failing("m", path=5, code="C"), "m", "C"),
        (failing("m", path=[{}, None], code="C"), "m", "C"),
    ],
)
async def test_errors_of_a_module_tell_what_they_may(
    world: World, probe: Probe, answer: Callable[[], Response], message: str, code: str
) -> None:
    probe.answer = answer
    found = await ask(world, probe)
    assert found["data"] == {"found": None}
    (error,) = found["errors"]
    assert error["message"] == message.format(f"'{probe.module}'")
    assert error["extensions"] == {"code": code, "subgraph": probe.module}


async def test_a_module_says_nothing_of_the_answer_as_a_whole(world: World, probe: Probe) -> None:
    http = {"status": 418, "headers": {"set-cookie": "a=b"}}
    found = {"data": {"found": ITEM, root_of(probe.module): ITEM}, "extensions": {"http": http}}
    probe.answer = lambda: JSONResponse(found, headers={"set-cookie": "a=b"})
    assert probe.tenant is not None
    response = await world.gateway.post(f"{{ {root_of(probe.module)} {{ id }} }}", None, token=probe.tenant.token)
    assert (response.status_code, response.json()) == (200, {"data": {root_of(probe.module): ITEM}})
    assert "set-cookie" not in response.headers
