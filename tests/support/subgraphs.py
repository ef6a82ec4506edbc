"""Modules with a part of the graph, for tests: their SDL, the services that serve it, what is asked of Modplane.

A service is a real HTTP server that answers `{ _service { sdl } }`; what it answers, and how, is the test's to say.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.composing import run_composing
from app.dev import listen
from federation.routing import RoutingPolicy
from tests.support.platform import Platform
from tests.support.stories import register, unique

HEAD = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@external"])\n'
SUBGRAPH = """id version state revision routingUrl sdlSha256 requestedBy approvedBy
  findings { severity code message line column coordinate } changes { criticality code path message }"""
ERRORS = "errors { __typename message code path ... on StateTransitionError { allowed } }"
UNSETTLED = {"CHECKING", "ACTIVATING", "RETIRING"}
ROUTING = RoutingPolicy(frozenset({"127.0.0.1"}))
PLATFORM_URL = "http://127.0.0.1:8000/graphql"


def prefix_of(module: str) -> str:
    """What the names of a module's types begin with."""
    return "".join(word.capitalize() for word in module.split("-"))


def sdl_of(module: str, *, fields: str = "number: Int", root: str = "", more: str = "") -> str:
    """A type of the module's own, which can be asked for and hangs on organizations."""
    name = prefix_of(module)
    member = name[0].lower() + name[1:]
    return (
        f"{HEAD}type Query {{ {member}: [{name}!] {root} }}\n"
        f'type {name} @key(fields: "id") {{ id: ID! {fields} }}\n'
        f'type Organization @key(fields: "id") {{ id: ID! {member}Items: [{name}!] }}\n{more}'
    )


@dataclass
class Services:
    """The services of all modules of a test, on one port, each under its own path."""

    port: int
    sdl: dict[str, str] = field(default_factory=dict)  # by name; without one the service is down
    delay: dict[str, float] = field(default_factory=dict)  # seconds

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}/graphql"

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        await asyncio.sleep(self.delay.get(name, 0))
        if name not in self.sdl:
            return Response(status_code=503)
        return JSONResponse({"data": {"_service": {"sdl": self.sdl[name]}}})


@asynccontextmanager
async def running_services() -> AsyncIterator[Services]:
    listener = listen("127.0.0.1", 0)
    services = Services(listener.getsockname()[1])
    app = Starlette(routes=[Route("/{name}/graphql", services.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # signals are pytest's
    serving = asyncio.create_task(server._serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield services
    finally:
        server.should_exit = True
        await serving
        listener.close()


@asynccontextmanager
async def composing(platform: Platform, *, routing: RoutingPolicy = ROUTING) -> AsyncIterator[None]:
    """The worker's part in federation, in this loop; it is ended as a process ends its roles."""
    task = asyncio.create_task(run_composing(platform.services, graphql_url=PLATFORM_URL, routing=routing))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.cancelled()


async def mutate(platform: Platform, name: str, given: dict[str, Any], *, token: str | None = "") -> Any:
    """The payload of a mutation about subgraphs or supergraphs."""
    shown = "supergraph { version isCurrent }" if name.endswith("Supergraph") else f"subgraph {{ {SUBGRAPH} }}"
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation($input: {kind}!) {{ {name}(input: $input) {{ {shown} revision {ERRORS} }} }}"
    return (await platform.data(query, {"input": given}, token=token))[name]


async def done(platform: Platform, name: str, given: dict[str, Any]) -> Any:
    """The subgraph or supergraph of a payload without errors."""
    payload = await mutate(platform, name, given)
    assert payload["errors"] == [], payload["errors"]
    return payload["supergraph" if name.endswith("Supergraph") else "subgraph"]


async def read(platform: Platform, subgraph: str) -> Any:
    query = f"query($id: ID!) {{ subgraph(id: $id) {{ {SUBGRAPH} }} }}"
    return (await platform.data(query, {"id": subgraph}))["subgraph"]


async def settled(platform: Platform, subgraph: Any) -> Any:
    """The subgraph once no worker has to do anything with it."""
    async with asyncio.timeout(60):
        while (found := await read(platform, subgraph["id"]))["state"] in UNSETTLED:
            await asyncio.sleep(0.05)
    return found


async def module_of(platform: Platform, name: str = "part") -> str:
    """A module that is registered, with a code of its own."""
    return await register(platform, unique(name))


async def registered(
    platform: Platform, services: Services, module: str, sdl: str | None = None, *, version: str = "1.0.0"
) -> Any:
    """A registration as its check has left it. The service serves the same SDL."""
    services.sdl[module] = sdl or sdl_of(module)
    given = {"module": module, "version": version, "sdl": services.sdl[module], "routingUrl": services.url(module)}
    return await settled(platform, await done(platform, "registerSubgraph", given))


async def activated(platform: Platform, subgraph: Any) -> Any:
    return await settled(platform, await done(platform, "activateSubgraph", {"id": subgraph["id"]}))


async def active(platform: Platform, services: Services, module: str, sdl: str | None = None, **more: Any) -> Any:
    """A subgraph that has been registered, checked and put into the graph."""
    found = await activated(platform, await registered(platform, services, module, sdl, **more))
    assert found["state"] == "ACTIVE", found["findings"]
    return found


async def current(platform: Platform) -> Any:
    """The supergraph that is served; waits for the first one."""
    query = "{ supergraph { version sha256 composer sdl publicSdl isCurrent inputs { name subgraphId version url } } }"
    async with asyncio.timeout(30):
        while (found := (await platform.data(query))["supergraph"]) is None:
            await asyncio.sleep(0.05)
    return found


def codes(subgraph: Any) -> list[str]:
    """The codes of its findings, a warning's with `~` before it."""
    return [("~" if each["severity"] == "WARNING" else "") + each["code"] for each in subgraph["findings"]]
