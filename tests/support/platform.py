"""A whole Modplane for tests: real servers, the real HTTP application on a real port, in the test's own event loop.

Nothing of ours is replaced. What a test counts (SQL statements) it counts on the engines that the application uses.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event

from app.api import create_app
from app.dev import listen
from app.federation import Federation
from app.keys import FederationKeys
from app.probing import run_prober
from app.revocation import RevocationWatch
from app.serve import Backends, open_services
from app.transport.server import UVICORN
from app.transport.trusted import TrustedDocuments
from app.worker import run_worker
from auth.actor import Role
from auth.tokens import TokenIssuer, TokenSubject, TokenVerifier, sign_token
from events.consumer import Reactions
from events.relay import run_relays
from federation.routing import RoutingPolicy
from graph.context import Services
from queries.api_key import IN_FORCE
from queries.token_revocation import NEWS
from tests.support.patience import patient

KEY = Ed25519PrivateKey.generate()
ISSUER = TokenIssuer()
GATEWAY = Ed25519PrivateKey.generate()
GATEWAY_KEY = "the-gateway-of-the-tests-shows-this-key"
FEDERATION = Federation(
    keys=FederationKeys(signing=KEY, gateway_key=GATEWAY_KEY, gateway_public=GATEWAY.public_key()),
    routing=RoutingPolicy(frozenset({"127.0.0.1", "localhost"})),
)
# what a session says before it asks anything, and what the API asks by itself every second
# What a worker asks every quarter of a second is nobody's request.
_is_background: ContextVar[bool] = ContextVar("is_background", default=False)
HOUSEKEEPING = ("select set_config", "BEGIN", "COMMIT", "ROLLBACK", ";", str(NEWS).partition(":")[0], str(IN_FORCE))


def token(
    role: Role = Role.SUPER_ADMIN,
    *,
    organization: str | None = None,
    company: str | None = None,
    seconds: int = 3600,
    subject: str = "tester",
    key: Ed25519PrivateKey = KEY,
) -> str:
    bearer = TokenSubject(
        role=role,
        subject=subject,
        organization_id=UUID(organization) if organization else None,
        company_id=UUID(company) if company else None,
    )
    return sign_token(key, bearer, lifetime_seconds=seconds, issuer=ISSUER)


@dataclass
class Statements:
    """The SQL that the application sent while it was counted."""

    texts: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.texts)


@dataclass
class Platform:
    """A running API and what is behind it."""

    url: str
    backends: Backends
    services: Services
    client: httpx.AsyncClient
    admin: str = field(default_factory=token)

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, *, token: str | None = "", **headers: str
    ) -> httpx.Response:
        """The raw answer. `token`: the administrator's unless given; None sends none."""
        bearer = self.admin if token == "" else token
        sent = {"content-type": "application/json", **headers}
        if bearer is not None:
            sent["authorization"] = f"Bearer {bearer}"
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        return await self.client.post(self.url, content=body, headers=sent)

    async def data(self, query: str, variables: dict[str, Any] | None = None, *, token: str | None = "") -> Any:
        """`data` of an answer that has no top-level errors."""
        response = await self.post(query, variables, token=token)
        answer = response.json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def errors(self, query: str, variables: dict[str, Any] | None = None, *, token: str | None = "") -> Any:
        """The top-level errors of an answer that has some."""
        response = await self.post(query, variables, token=token)
        assert response.status_code < 500, response.text
        return response.json()["errors"]

    async def code(self, query: str, variables: dict[str, Any] | None = None, *, token: str | None = "") -> str:
        """The code of the only top-level error."""
        (error,) = await self.errors(query, variables, token=token)
        found: str = error["extensions"]["code"]
        return found

    @contextmanager
    def statements(self) -> Iterator[Statements]:
        """Count the SQL statements sent inside; housekeeping of sessions and what other roles ask are left out."""
        counted = Statements()

        def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not _is_background.get() and not statement.strip().startswith(HOUSEKEEPING):
                counted.texts.append(statement)

        database = self.services.database
        engines = [each.sync_engine for each in (database.app_engine, database.admin_engine)]
        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        lists = (database.tenant_reads.listeners, database.tenant_writes.listeners)
        for told in lists:
            told.append(counted.texts.append)
        try:
            yield counted
        finally:
            for told in lists:
                told.pop()
            for engine in engines:
                event.remove(engine, "before_cursor_execute", note)


@asynccontextmanager
async def running_platform(
    backends: Backends,
    *,
    roles: frozenset[str] = frozenset({"api"}),
    trusted: TrustedDocuments | None = None,
    is_patient: bool = False,
) -> AsyncIterator[Platform]:
    """Serve on a free port until the context ends. `roles` beyond api run in the same loop.

    `is_patient`: Redis is waited for, for tests that could tell by statements or answers that it was not.
    """
    async with _opened(backends, is_patient=is_patient) as services:
        watch = RevocationWatch(services)
        await watch.start()
        apart = copy_context()
        apart.run(_is_background.set, True)
        running = (watch.run(), *_roles(backends, services, roles))
        tasks = [asyncio.create_task(each, context=apart) for each in running]
        listener = listen("127.0.0.1", 0)
        config = uvicorn.Config(
            create_app(services, TokenVerifier(KEY.public_key(), ISSUER), trusted=trusted, federation=FEDERATION),
            log_level="warning",
            timeout_graceful_shutdown=1,
            **UVICORN,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        try:
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                yield Platform(url=url, backends=backends, services=services, client=client)
        finally:
            server.should_exit = True
            await serving
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            listener.close()


@asynccontextmanager
async def _opened(backends: Backends, *, is_patient: bool) -> AsyncIterator[Services]:
    async with open_services(backends, FEDERATION.routing) as services:
        with patient(services.floor._server) if is_patient else nullcontext():
            yield services


class _Server(uvicorn.Server):
    """Signals are pytest's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _roles(backends: Backends, services: Services, roles: frozenset[str]) -> Iterator[Any]:
    if "live" in roles:
        yield services.live.run()
    if "relay" in roles:
        yield run_relays(backends.database.relay, backends.kafka, backends.delivery)
    if "reactions" in roles:
        engine, floor = services.database.relay_engine, services.floor.raise_floors
        delivery = backends.delivery
        yield Reactions(bootstrap=backends.kafka, engine=engine, raise_floors=floor, delivery=delivery).run()
    if "worker" in roles:
        yield run_worker(services)
    if "prober" in roles:
        yield run_prober(services, every_seconds=1.0)
