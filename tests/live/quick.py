"""The same platform behind a second door whose clocks run faster: heartbeats and patience in fractions of a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from app.api import rights_of
from app.dev import listen
from app.transport.connections import Connections
from app.transport.http import graphql_endpoint
from app.transport.server import UVICORN
from auth.actor import Actor
from auth.tokens import TokenVerifier
from graph.context import RequestContext
from graph.limits import Limits
from graph.masking import ApiError
from graph.schema import schema
from tests.live.conftest import Live
from tests.support.platform import ISSUER, KEY, Platform


@dataclass(frozen=True)
class Door:
    platform: Platform
    connections: Connections


@asynccontextmanager
async def door(live: Live, limits: Limits) -> AsyncIterator[Door]:
    """An endpoint of its own, over the services of the platform that runs already."""
    verifier, services = TokenVerifier(KEY.public_key(), ISSUER), live.platform.services

    def authenticate(token: str | None) -> Actor:
        if token is None:
            raise ApiError("UNAUTHENTICATED", "no token")
        return verifier.verify(token)

    endpoint = graphql_endpoint(
        schema,
        authenticate=authenticate,
        context_for=lambda _, actor: RequestContext(actor=actor, services=services),
        limits=limits,
        rights_of=rights_of,
    )
    app = Starlette(routes=[Route("/graphql", endpoint), WebSocketRoute("/graphql", endpoint)])
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, **UVICORN))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    try:
        yield Door(platform=replace(live.platform, url=url), connections=endpoint.service.connections)
    finally:
        server.should_exit = True
        await task
        listener.close()
