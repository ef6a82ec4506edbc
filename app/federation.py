"""What a gateway asks the platform for: who a caller is, what it is entitled to, and the keys to verify that with."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.keys import FederationKeys
from app.transport.execution import bearer_token
from app.transport.refusal import Refused, bad_user_input, of_api_error
from auth.actor import Actor
from auth.identity import Identity, IdentitySigner, key_set, roles_of
from federation.routing import RoutingPolicy
from federation.subgraph import SUBGRAPHS_MAX
from graph.context import Services
from graph.masking import ApiError
from models.driver import GONE
from queries.entitlement import Entitlement, load_entitlement
from queries.module import load_modules_by_codes
from queries.reader import open_reader

JSON = "application/json"
GATEWAY_KEY_HEADER = "x-modplane-gateway-key"
SUBGRAPH = re.compile(r"[a-z][a-z0-9-]{0,62}")
ANSWER_SECONDS_MAX = 2.0
DATABASE_AWAY = (asyncpg.PostgresError, *GONE, SQLAlchemyError, OSError, TimeoutError)


@dataclass(frozen=True)
class Federation:
    """What a platform needs to be one graph with others. `routing`: where their services may be."""

    keys: FederationKeys
    routing: RoutingPolicy


@dataclass(frozen=True)
class Identities:
    """Answers who a caller is. Raises Refused with what the caller is to be told."""

    services: Services
    federation: Federation
    authenticate: Callable[[str | None], Actor]
    signer: IdentitySigner

    def caller(self, authorization: str | None) -> Actor:
        try:
            return self.authenticate(bearer_token(authorization))
        except ApiError as error:
            raise of_api_error(error) from None

    async def entitlement(self, actor: Actor) -> Entitlement:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await load_entitlement(self.services.database, actor)
        except DATABASE_AWAY:
            raise unavailable("Entitlements can't be read right now; try again.") from None

    async def admit(self, module: str, authorization: str | None) -> Identity:
        """Who it is, for one who is entitled to the module."""
        actor = self.caller(authorization)
        if actor.is_anonymous:
            message = "This needs a token: Authorization: Bearer …"
            raise Refused(status=401, code="UNAUTHENTICATED", message=message, headers={"www-authenticate": "Bearer"})
        entitlement = await self.entitlement(actor)
        if module not in entitlement.modules:
            raise await self._refusal(module, actor)
        return Identity(actor=actor, modules=entitlement.modules)

    async def _refusal(self, module: str, actor: Actor) -> Refused:
        """What one is told who has not got a module: that, or nothing when it may not even be seen."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX), open_reader(self.services.database, actor) as reader:
                is_visible = module in await load_modules_by_codes(reader, [module])
        except DATABASE_AWAY:
            return unavailable("Modules can't be read right now; try again.")
        if not is_visible:
            return no_module()
        return Refused(status=403, code="NOT_ENTITLED", message=f"Your organization has no active module {module}.")

    def require_gateway(self, request: Request, *, purpose: str | None = None) -> None:
        """Refuse whoever does not show the gateway's key, or what is derived from it for this purpose alone."""
        shown = request.headers.get(GATEWAY_KEY_HEADER, "")
        is_shown = hmac.compare_digest(shown.encode(), self.federation.keys.gateway_key.encode())
        if purpose is not None and not is_shown:
            shown = request.query_params.get("proof", "")
            is_shown = hmac.compare_digest(shown.encode(), self.proof_of(purpose).encode())
        if not is_shown:
            message = "This is for the gateway: X-Modplane-Gateway-Key is missing or wrong."
            # not UNAUTHENTICATED: a gateway must not take its own fault for its client's
            raise Refused(status=401, code="GATEWAY_KEY_INVALID", message=message)

    def proof_of(self, purpose: str) -> str:
        """For those who can be given an address and no headers: it may be read in logs, and is good for one thing."""
        key = self.federation.keys.gateway_key.encode()
        return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()


def federation_routes(identities: Identities) -> list[Route]:
    async def identity(request: Request) -> Response:
        identities.require_gateway(request)
        names = _subgraphs_of(request.query_params.get("subgraphs", ""))
        actor = identities.caller(request.headers.get("authorization"))
        entitlement = await identities.entitlement(actor)
        return json_response(_identity_answer(identities.signer, actor, entitlement, names))

    async def jwks(_: Request) -> Response:
        keys = identities.federation.keys
        known = {"platform": keys.signing.public_key()}
        if keys.gateway_public is not None:
            known["gateway"] = keys.gateway_public
        response = json_response(key_set(known))
        response.headers["cache-control"] = "public, max-age=60"
        return response

    return [
        Route("/federation/v1/identity", refusing(identity), methods=["GET"]),
        Route("/.well-known/jwks.json", refusing(jwks), methods=["GET"]),
    ]


def _identity_answer(
    signer: IdentitySigner, actor: Actor, entitlement: Entitlement, names: Sequence[str]
) -> dict[str, object]:
    identity = Identity(actor=actor, modules=entitlement.modules)
    return {
        "subject": actor.subject,
        "roles": roles_of(actor),
        "organizationId": None if actor.organization_id is None else str(actor.organization_id),
        "companyId": None if actor.company_id is None else str(actor.company_id),
        "policies": identity.policies,
        "revision": entitlement.revision,
        "expiresAt": identity.expires_at,
        "identities": {name: signer.sign(identity, name) for name in names},
    }


def _subgraphs_of(given: str) -> list[str]:
    names = list(dict.fromkeys(filter(None, given.split(","))))
    if len(names) > SUBGRAPHS_MAX:
        raise bad_user_input(f"At most {SUBGRAPHS_MAX} subgraphs at a time.")
    for name in names:
        if not SUBGRAPH.fullmatch(name):
            raise bad_user_input("A subgraph's name is made of small letters, digits and '-', 63 of them at most.")
    return names


def refusing(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer a refusal with its status and its typed body."""

    async def run(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as refused:
            response = json_response(refused.payload(), status=refused.status)
            response.headers.update(refused.headers)
            return response

    return run


def no_module() -> Refused:
    """The same for a module that there is not and for one that the caller may not see."""
    return Refused(status=404, code="NOT_FOUND", message="There is no such module.")


def unavailable(message: str) -> Refused:
    return Refused(status=503, code="UNAVAILABLE", message=message, headers={"retry-after": "1"})


def json_response(content: object, *, status: int = 200) -> Response:
    # it is of this caller and of this moment
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(orjson.dumps(content), status_code=status, media_type=JSON, headers=headers)
