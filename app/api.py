"""The api role: the HTTP application. Composes; decides nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from fastapi import FastAPI, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.artifacts import artifact_routes
from app.coprocessor import coprocessor_route
from app.federation import Federation, Identities, federation_routes
from app.metrics import METRICS_TYPE, Busyness, exposition
from app.proxy.rest import RestProxy
from app.proxy.target import PREFIX as REST_PREFIX
from app.traefik import traefik_routes
from app.transport.answers import Answers
from app.transport.connections import Connections
from app.transport.execution import Keeping
from app.transport.http import GraphQLEndpoint, graphql_endpoint
from app.transport.trusted import TrustedDocuments, document_id
from auth.actor import ANONYMOUS, PLATFORM, Actor
from auth.api_keys import PREFIX as API_KEY_PREFIX
from auth.api_keys import ApiKeys
from auth.identity import IdentitySigner
from auth.revocation import Revocations
from auth.tokens import InvalidToken, TokenVerifier
from events.contract import body_schema
from events.envelope import BY_CLOUD_EVENT_TYPE
from events.trace import traceparent_of
from graph.context import RequestContext, Services, streams_of
from graph.documents import preload
from graph.masking import ApiError
from graph.schema import DOCUMENTS, LIMITS, schema
from models.base import PLATFORM_ID
from queries.event import load_revisions, load_tenants_revision
from queries.health import is_database_up
from queries.reader import open_reader
from rules.manifest import MANIFEST_SCHEMA

log = logging.getLogger("modplane")

JSON = "application/json"
GRAPHQL = "/graphql"
API_KEY_HEADER, AUTHORIZATION = b"x-module-api-key", b"authorization"
HEALTH_SECONDS_MAX = 2
# 4403 and not 4401: clients take 4401 for final, and this one may come back with a fresh token.
REVOKED_CODE, REVOKED = 4403, "token revoked"


@dataclass(frozen=True)
class Front:
    """The whole application. /graphql goes straight to its endpoint: what FastAPI does for a route costs more than an
    answer that is kept."""

    app: FastAPI
    graphql: GraphQLEndpoint
    rest: RestProxy | None = None

    @property
    def connections(self) -> Connections:
        return self.graphql.service.connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope["headers"] = with_api_key(scope["headers"])
        if scope["path"] == GRAPHQL:
            await self.graphql(scope, receive, send)
        elif self.rest is not None and scope["raw_path"].startswith(REST_PREFIX):
            await self.rest(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def create_app(
    services: Services,
    verifier: TokenVerifier,
    *,
    trusted: TrustedDocuments | None = None,
    federation: Federation | None = None,
) -> Front:
    """Without `federation` nobody is told who a caller is, and no module's service is called."""
    app = FastAPI(title="Modplane", docs_url=None, redoc_url=None, openapi_url=None)
    answers = Answers(services.floor, _revisions_in(services))
    trusted = trusted or TrustedDocuments()
    _preload(trusted)
    authenticate = authenticator(verifier, services.revocations, services.api_keys)
    endpoint = graphql_endpoint(
        schema,
        authenticate=authenticate,
        context_for=lambda connection, actor: RequestContext(
            actor=actor, services=services, traceparent=traceparent_of(connection.headers.get("traceparent"))
        ),
        limits=LIMITS,
        rights_of=rights_of,
        keeping=Keeping(
            answers,
            rights_of=lambda actor: actor.rights,
            streams_of=streams_of,
            tell=lambda context, revisions, need: context.know(revisions, need),
        ),
        trusted=trusted,
    )
    _end_revoked(services, endpoint.service.connections)
    app.router.routes.append(Route(GRAPHQL, endpoint))  # for whoever writes /graphql/
    rest = None if federation is None else _federate(app, services, federation, authenticate)

    _say_health(app, services, endpoint.service.connections)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        admission = endpoint.service.admission
        busyness = Busyness(
            streams=len(endpoint.service.connections),
            running=admission.running,
            waiting=admission.waiting,
            refused=admission.refused,
            answers_kept=len(answers),
            answers_hits=answers.hits,
            answers_misses=answers.misses,
        )
        status, text = await exposition(services, busyness)
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

    return Front(app, endpoint, rest)


def _say_health(app: FastAPI, services: Services, connections: Connections) -> None:
    """Whether to send requests here, and whether it works."""

    @app.get("/ready", include_in_schema=False)
    async def ready() -> Response:
        if connections.is_draining:
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


def _federate(
    app: FastAPI, services: Services, federation: Federation, authenticate: Callable[[str | None], Actor]
) -> RestProxy:
    """Add what gateways and routers ask for; what stands beside /graphql is returned."""
    identities = Identities(services, federation, authenticate, IdentitySigner(federation.keys.signing))
    routes = [*federation_routes(identities), coprocessor_route(identities), *traefik_routes(identities)]
    app.router.routes.extend([*routes, *artifact_routes(services, federation.keys.gateway_key)])
    return RestProxy(services, identities)


def with_api_key(headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """X-Module-API-Key is Authorization by another name, and goes before it."""
    for name, value in headers:
        if name == API_KEY_HEADER:
            others = [each for each in headers if each[0] != AUTHORIZATION]
            return [*others, (AUTHORIZATION, b"Bearer " + value)]
    return headers


def _preload(trusted: TrustedDocuments) -> None:
    for text in trusted.texts():
        if errors := preload(schema, text, store=DOCUMENTS, limits=LIMITS):
            log.warning("trusted document %s: %s", document_id(text), errors[0].message)


def _revisions_in(services: Services) -> Callable[[Collection[UUID]], Awaitable[Mapping[UUID, int]]]:
    async def load(streams: Collection[UUID]) -> Mapping[UUID, int]:
        found: dict[UUID, int] = {}
        for stream in streams:
            if stream == PLATFORM_ID:
                async with open_reader(services.database, PLATFORM) as reader:
                    found.update(await load_revisions(reader, [stream]))
            else:
                found[stream] = await load_tenants_revision(services.database.tenant_reads, stream)
        return found

    return load


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
        subject="subscriber",
        roles=actor.roles,
        organization_id=actor.organization_id,
        company_id=actor.company_id,
        module_code=actor.module_code,
    )


def authenticator(
    verifier: TokenVerifier, revocations: Revocations, api_keys: ApiKeys
) -> Callable[[str | None], Actor]:
    def authenticate(token: str | None) -> Actor:
        if token is None:
            return ANONYMOUS
        try:
            actor = (api_keys if token.startswith(API_KEY_PREFIX) else verifier).verify(token)
        except InvalidToken as error:
            raise ApiError("UNAUTHENTICATED", f"{error}; ask for a new one") from None
        # asked every time: a verified token is remembered
        if revocations.refuses(actor):
            raise ApiError("UNAUTHENTICATED", f"{REVOKED}; ask for a new one")
        return actor

    return authenticate


def _end_revoked(services: Services, connections: Connections) -> None:
    """End the streams of whoever is refused, each time there is news of that.

    Those of the last half minute come as news every second, so that a stream which opened meanwhile ends as well.
    """
    ending: set[asyncio.Task[int]] = set()
    revocations, api_keys = services.revocations, services.api_keys

    def is_refused(actor: Actor) -> bool:
        return revocations.refuses(actor) or api_keys.refuses(actor)

    def end() -> None:
        task = asyncio.create_task(connections.end(is_refused, REVOKED_CODE, REVOKED))
        ending.add(task)
        task.add_done_callback(ending.discard)

    revocations.listen(end)
    api_keys.listen(end)
