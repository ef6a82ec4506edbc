"""The api role: the HTTP application. Composes; decides nothing."""

import asyncio
from collections.abc import Callable

import orjson
from fastapi import FastAPI, Response
from starlette.routing import Route, WebSocketRoute

from app.metrics import METRICS_TYPE, exposition
from app.transport.connections import Connections
from app.transport.http import graphql_endpoint
from auth.actor import ANONYMOUS, Actor
from auth.revocation import Revocations
from auth.tokens import InvalidToken, TokenVerifier
from events.contract import body_schema
from events.envelope import BY_CLOUD_EVENT_TYPE
from events.trace import traceparent_of
from graph.context import RequestContext, Services
from graph.masking import ApiError
from graph.schema import LIMITS, schema
from queries.health import is_database_up
from rules.manifest import MANIFEST_SCHEMA

JSON = "application/json"
HEALTH_SECONDS_MAX = 2
# 4403 and not 4401: clients take 4401 for final, and this one may come back with a fresh token.
REVOKED_CODE, REVOKED = 4403, "token revoked"


def create_app(services: Services, verifier: TokenVerifier) -> FastAPI:
    app = FastAPI(title="Modplane", docs_url=None, redoc_url=None, openapi_url=None)
    endpoint = graphql_endpoint(
        schema,
        authenticate=authenticator(verifier, services.revocations),
        context_for=lambda connection, actor: RequestContext(
            actor=actor, services=services, traceparent=traceparent_of(connection.headers.get("traceparent"))
        ),
        limits=LIMITS,
        rights_of=rights_of,
    )
    app.state.connections = endpoint.service.connections
    _end_revoked(services.revocations, endpoint.service.connections)
    app.router.routes.append(Route("/graphql", endpoint))
    app.router.routes.append(WebSocketRoute("/graphql", endpoint))

    @app.get("/ready", include_in_schema=False)
    async def ready() -> Response:
        if endpoint.service.connections.is_draining:
            return Response(b'{"status": "draining"}', status_code=503, media_type=JSON)
        is_up = await _answers(services)
        return Response(
            b'{"status": "ready"}' if is_up else b'{"status": "unhealthy"}',
            status_code=200 if is_up else 503,
            media_type=JSON,
        )

    @app.get("/health", include_in_schema=False)
    async def health() -> Response:
        is_up = await _answers(services)
        checks = [{"name": "postgres", "status": "up" if is_up else "down"}]
        body = orjson.dumps({"status": "healthy" if is_up else "unhealthy", "checks": checks})
        return Response(body, status_code=200 if is_up else 503, media_type=JSON)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        status, text = await exposition(services, streams=len(endpoint.service.connections))
        return Response(text, status_code=status, headers={"content-type": METRICS_TYPE})

    @app.get("/schemas/manifest/v1.json", include_in_schema=False)
    async def manifest_schema() -> Response:
        return Response(orjson.dumps(MANIFEST_SCHEMA), media_type="application/schema+json")

    @app.get("/schemas/events/{name}.json", include_in_schema=False)
    async def event_schema(name: str) -> Response:
        kind = BY_CLOUD_EVENT_TYPE.get(name)
        if kind is None:
            return Response(b'{"detail": "no such event type"}', status_code=404, media_type=JSON)
        return Response(orjson.dumps(body_schema(kind)), media_type="application/schema+json")

    return app


async def _answers(services: Services) -> bool:
    """Whether the database does."""
    try:
        async with asyncio.timeout(HEALTH_SECONDS_MAX):
            return await is_database_up(services.database)
    except TimeoutError:
        return False


def rights_of(actor: Actor) -> Actor:
    """Whoever has the same rights gets the same events: subscriptions are executed as this, so no field can depend
    on more."""
    return Actor(
        subject="subscriber", roles=actor.roles, organization_id=actor.organization_id, company_id=actor.company_id
    )


def authenticator(verifier: TokenVerifier, revocations: Revocations) -> Callable[[str | None], Actor]:
    def authenticate(token: str | None) -> Actor:
        if token is None:
            return ANONYMOUS
        try:
            actor = verifier.verify(token)
        except InvalidToken as error:
            raise ApiError("UNAUTHENTICATED", f"{error}; ask for a new one") from None
        # asked every time: a verified token is remembered
        if revocations.refuses(actor):
            raise ApiError("UNAUTHENTICATED", f"{REVOKED}; ask for a new one")
        return actor

    return authenticate


def _end_revoked(revocations: Revocations, connections: Connections) -> None:
    """End the streams of whoever is refused, each time there is news of that.

    Those of the last half minute come as news every second, so that a stream which opened meanwhile ends as well.
    """
    ending: set[asyncio.Task[int]] = set()

    def end() -> None:
        task = asyncio.create_task(connections.end(revocations.refuses, REVOKED_CODE, REVOKED))
        ending.add(task)
        task.add_done_callback(ending.discard)

    revocations.listen(end)
