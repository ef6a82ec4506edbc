"""The api role: the HTTP application. Composes; decides nothing."""

import asyncio
from collections.abc import Callable

import orjson
from fastapi import FastAPI, Response
from starlette.routing import Route, WebSocketRoute

from app.transport.http import graphql_endpoint
from auth.actor import ANONYMOUS, Actor
from auth.tokens import InvalidToken, TokenVerifier
from events.contract import body_schema
from events.envelope import BY_CLOUD_EVENT_TYPE
from graph.context import RequestContext, Services
from graph.masking import ApiError
from graph.schema import LIMITS, schema
from queries.health import is_database_up
from rules.manifest import MANIFEST_SCHEMA

JSON = "application/json"
HEALTH_SECONDS_MAX = 2


def create_app(services: Services, verifier: TokenVerifier) -> FastAPI:
    app = FastAPI(title="Modplane", docs_url=None, redoc_url=None, openapi_url=None)
    endpoint = graphql_endpoint(
        schema,
        authenticate=authenticator(verifier),
        context_for=lambda _connection, actor: RequestContext(actor=actor, services=services),
        limits=LIMITS,
    )
    app.router.routes.append(Route("/graphql", endpoint))
    app.router.routes.append(WebSocketRoute("/graphql", endpoint))

    @app.get("/health", include_in_schema=False)
    async def health() -> Response:
        try:
            is_up = await asyncio.wait_for(is_database_up(services.database), HEALTH_SECONDS_MAX)
        except TimeoutError:
            is_up = False
        checks = [{"name": "postgres", "status": "up" if is_up else "down"}]
        body = orjson.dumps({"status": "healthy" if is_up else "unhealthy", "checks": checks})
        return Response(body, status_code=200 if is_up else 503, media_type=JSON)

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


def authenticator(verifier: TokenVerifier) -> Callable[[str | None], Actor]:
    def authenticate(token: str | None) -> Actor:
        if token is None:
            return ANONYMOUS
        try:
            return verifier.verify(token)
        except InvalidToken as error:
            raise ApiError("UNAUTHENTICATED", f"{error}; ask for a new one") from None

    return authenticate
