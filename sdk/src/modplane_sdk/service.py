"""A module's process, put together: what there is to serve, behind the verification of who calls.

Never holds what a module does; nor how it joins a platform (membership.py), which is one of the tasks beside it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from strawberry.federation import Schema

from modplane_sdk.definition import ModuleDefinition
from modplane_sdk.events import Subscriptions
from modplane_sdk.identity import Verifier
from modplane_sdk.inbox import Inbox
from modplane_sdk.keys import KeySource
from modplane_sdk.lifecycle import HookCall, Hooks, hooks_router
from modplane_sdk.middleware import App, Doors, VerifiedOnly
from modplane_sdk.subgraph import graphql_router

log = logging.getLogger("modplane_sdk.service")

STOP_SECONDS_MAX = 25.0
AGAIN_SECONDS = 5.0
Task = Callable[[], Awaitable[None]]


@asynccontextmanager
async def nothing_to_open() -> AsyncIterator[None]:
    yield


async def always_healthy() -> bool:
    return True


@dataclass(frozen=True)
class Sample:
    """What the contract suite has to know to try a module.

    `query`: asks for what the caller's own organization has; its root fields are null without the module.
    `arrange(organization_id)`: makes some of it, and answers at least ten representations of one entity to go with it.
    `selection`: what to ask of these, say `... on Company { billingInvoices { id } }`.
    `statements`: how many statements the database has been sent so far.
    """

    query: str
    selection: str
    arrange: Callable[[str], Coroutine[Any, Any, list[dict[str, Any]]]]
    statements: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class ModuleService:
    """A module that can be served.

    `opened`: what it needs while it runs, a pool say. `inbox`: asked for once that is open; needed by subscriptions.
    `context`: made for every request, for its loaders; `info.context` in a resolver.
    """

    definition: ModuleDefinition
    schema: Schema
    hooks: Hooks = field(default_factory=Hooks)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    inbox: Callable[[], Inbox] | None = None
    context: Callable[[], dict[str, Any]] = dict
    routers: Sequence[APIRouter] = ()
    opened: Callable[[], AbstractAsyncContextManager[None]] = nothing_to_open
    is_healthy: Callable[[], Awaitable[bool]] = always_healthy
    sample: Sample | None = None

    @property
    def doors(self) -> Doors:
        return Doors(health=self.definition.health_check or "/health")


def create_app(service: ModuleService, keys: KeySource, *, beside: Mapping[str, Task] | None = None) -> App:
    """`beside`: tasks by name that run as long as the application is up, and are cancelled and waited for then."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.opened():
            await service.hooks.run("on_startup", HookCall(version=service.definition.version))
            async with running(beside or {}):  # not before: who joins a platform is asked for its SDL at once
                yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get(service.doors.health)
    async def health() -> Response:
        is_healthy = await service.is_healthy()
        body = {"status": "ok" if is_healthy else "unhealthy", "version": service.definition.version}
        return JSONResponse(body, status_code=200 if is_healthy else 503)

    for router in (graphql_router(service.schema, service.context, service.doors.graphql), hooks_router(service.hooks)):
        app.include_router(router)
    for router in service.routers:
        app.include_router(router)
    return VerifiedOnly(app, Verifier(service.definition.code, keys), service.doors)


@asynccontextmanager
async def running(tasks: Mapping[str, Task]) -> AsyncIterator[None]:
    """One that fails is told of and begun again: it does not take the service down with it."""
    started = [asyncio.create_task(_run(name, task)) for name, task in tasks.items()]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        if started:
            await asyncio.wait(started, timeout=STOP_SECONDS_MAX)


async def _run(name: str, task: Task) -> None:
    while True:
        try:
            await task()
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is None or own.cancelling():
                return
            log.exception("%s was cancelled, and not by us", name)  # something that it waited for was
        except Exception:
            log.exception("%s has failed", name)
        else:
            return
        await asyncio.sleep(AGAIN_SECONDS)
