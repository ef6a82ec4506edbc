"""A small real schema and a real server around the endpoint, for the transport tests."""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.scalars import JSON

from app.transport.execution import Connected
from app.transport.http import graphql_endpoint
from app.transport.server import UVICORN
from graph.documents import document_cache
from graph.limits import Limits
from graph.masking import ApiError, MaskErrors
from graph.store import DocumentStore

SECRET = "the password is hunter2"


@dataclass(frozen=True)
class Actor:
    name: str
    expires_at: float | None = None


@dataclass
class Context:
    """Made once per operation; `number` tells which."""

    actor: Actor
    number: int
    log: "Log"


@dataclass
class Log:
    """What the server saw, for tests to look at."""

    contexts: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    touched: int = 0


Info = strawberry.Info[Context, None]


@strawberry.type
class Thing:
    name: str = "thing"

    @strawberry.field
    def thing(self) -> "Thing":
        return Thing()

    @strawberry.field
    def things(self, first: int | None = None) -> list["Thing"]:
        return [Thing() for _ in range(first or 1)]


def count_representations(representations: list[JSON]) -> int:
    return len(representations)


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "world"

    @strawberry.field
    def whoami(self, info: Info) -> str:
        return info.context.actor.name

    @strawberry.field
    def context_number(self, info: Info) -> int:
        return info.context.number

    @strawberry.field
    def thing(self) -> Thing:
        return Thing()

    @strawberry.field
    def things(self, first: int = 50) -> list[Thing]:
        return [Thing() for _ in range(min(first, 3))]

    @strawberry.field
    def echo(self, value: JSON) -> JSON:
        return value

    @strawberry.field
    def total(self, numbers: list[int]) -> int:
        return sum(numbers)

    @strawberry.field
    def fails(self) -> str:
        raise RuntimeError(SECRET)

    @strawberry.field
    def fails_nullable(self) -> str | None:
        raise RuntimeError(SECRET)

    @strawberry.field
    def refuses(self) -> str | None:
        raise ApiError("QUOTA", "Too much.", extensions={"retryAfter": 3})

    @strawberry.field
    def bad_number(self) -> int | None:
        return SECRET  # type: ignore[return-value]

    @strawberry.field
    async def slow(self, info: Info) -> str:
        info.context.log.started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            info.context.log.cancelled.set()
            raise
        return "done"

    entities: int = strawberry.field(resolver=count_representations, name="_entities")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self, info: Info) -> int:
        info.context.log.touched += 1
        return info.context.log.touched


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(1, to + 1):
            yield number

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 1
        raise RuntimeError(SECRET)

    @strawberry.subscription
    async def forever(self, info: Info) -> AsyncGenerator[int, None]:
        info.context.log.started.set()
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            info.context.log.closed.set()


def make_schema(limits: Limits, store: DocumentStore | None = None) -> strawberry.Schema:
    extensions = [MaskErrors, document_cache(limits, store=store)]
    return strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription, extensions=extensions)


@dataclass(frozen=True)
class Server:
    url: str
    ws_url: str
    log: Log


def free_socket() -> socket.socket:
    """A listening socket on a port below the ephemeral range."""
    while True:
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
        except OSError:
            listener.close()
        else:
            return listener


@asynccontextmanager
async def running_server(limits: Limits, *, actors: dict[str, Actor] | None = None) -> AsyncIterator[Server]:
    """The endpoint on a real uvicorn in this event loop."""
    log = Log()
    known = {"alice-token": Actor("alice"), **(actors or {})}

    def authenticate(token: str | None) -> Actor:
        if token is None:
            return Actor("anonymous")
        if token == "crash":
            raise RuntimeError(SECRET)
        if token not in known:
            raise ApiError("UNAUTHENTICATED", "The token is not valid.")
        return known[token]

    def context_for(_connection: Connected, actor: Actor) -> Context:
        log.contexts += 1
        return Context(actor=actor, number=log.contexts, log=log)

    endpoint = graphql_endpoint(make_schema(limits), authenticate=authenticate, context_for=context_for, limits=limits)
    app = Starlette(routes=[Route("/graphql", endpoint), WebSocketRoute("/graphql", endpoint)])
    listener = free_socket()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, **UVICORN))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield Server(url=f"http://{address}/graphql", ws_url=f"ws://{address}/graphql", log=log)
    finally:
        server.should_exit = True
        await task
