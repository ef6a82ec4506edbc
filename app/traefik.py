"""For those who outgrow the proxy: a document for Traefik's HTTP provider, and what it asks before each request.

Traefik then finds modules' healthy instances by itself, and passes on only what Modplane has let through.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.federation import DATABASE_AWAY, Identities, json_response, refusing, unavailable
from app.proxy.headers import request_id
from app.proxy.target import PREFIX, read_target
from app.transport.refusal import bad_request
from auth.actor import PLATFORM
from events.trace import new_traceparent, traceparent_of
from queries.instance import InstancesAway, load_instances
from queries.reader import open_reader
from rules.instance import healthy

DOCUMENT, ADDRESS = "/integrations/traefik", "/federation/v1/forward-auth"
PURPOSE = "forward-auth"
AUTH, HIDE = "modplane-forward-auth", "modplane-hide"
ANSWERED = ("X-Modplane-Identity", "X-Request-Id", "Traceparent")
# An empty value takes the header away: credentials are for Modplane, and what Modplane says is said by nobody else.
HIDDEN = ("Authorization", "Cookie", "X-Module-API-Key", "X-Modplane-Gateway", "X-Modplane-Gateway-Key")
MODULES = text("SELECT module_id FROM module_registry WHERE is_active AND deleted_at IS NULL ORDER BY module_id")


def traefik_routes(identities: Identities) -> list[Route]:
    services = identities.services

    async def document(request: Request) -> Response:
        identities.require_gateway(request)
        try:
            async with open_reader(services.database, PLATFORM) as reader:
                codes = list(await reader.session.scalars(MODULES))
            found = await load_instances(services.instances, codes)
        except (*DATABASE_AWAY, InstancesAway):
            # Traefik keeps the last document that it got
            raise unavailable("What runs where is not known right now; try again.") from None
        instances = {code: [each.url for each in healthy(found[code])] for code in codes}
        base = f"{request.url.scheme}://{request.url.netloc}"
        return json_response(_document(instances, f"{base}{ADDRESS}?proof={identities.proof_of(PURPOSE)}"))

    async def forward_auth(request: Request) -> Response:
        identities.require_gateway(request, purpose=PURPOSE)
        uri, _, query = request.headers.get("x-forwarded-uri", "").partition("?")
        path = uri.encode("latin-1", "replace")
        if not path.startswith(PREFIX) or request.headers.get("x-forwarded-method") in ("TRACE", "CONNECT"):
            raise bad_request("This is not a request for a module.")
        module = read_target(path, query.encode("latin-1", "replace")).module
        identity = await identities.admit(module, request.headers.get("authorization"))
        headers = {
            "x-modplane-identity": identities.signer.sign(identity, module),
            "x-request-id": request_id(request.headers.raw).decode(),
            "traceparent": traceparent_of(request.headers.get("traceparent")) or new_traceparent(),
            "cache-control": "no-store",
        }
        return Response(status_code=200, headers=headers)

    return [
        Route(DOCUMENT, refusing(document), methods=["GET"]),
        Route(ADDRESS, refusing(forward_auth), methods=["GET"]),
    ]


def _document(instances: Mapping[str, Sequence[str]], auth_address: str) -> dict[str, object]:
    """Of modules with a healthy instance. Without any it is empty: Traefik refuses maps that hold nothing."""
    served = {code: urls for code, urls in instances.items() if urls}
    if not served:
        return {}
    forward_auth = {"address": auth_address, "authResponseHeaders": list(ANSWERED)}
    middlewares: dict[str, object] = {
        AUTH: {"forwardAuth": forward_auth},
        HIDE: {"headers": {"customRequestHeaders": dict.fromkeys(HIDDEN, "")}},
    }
    routers, services = {}, {}
    for code, urls in served.items():
        name, prefix = f"modplane-{code}", f"{PREFIX.decode()}{code}"
        middlewares[f"{name}-prefix"] = {"stripPrefix": {"prefixes": [prefix]}}
        routers[name] = {
            "rule": f"PathPrefix(`{prefix}/`)",
            "service": name,
            "middlewares": [AUTH, HIDE, f"{name}-prefix"],
        }
        servers = [{"url": url} for url in urls]
        services[name] = {"loadBalancer": {"servers": servers, "passHostHeader": False}}
    return {"http": {"routers": routers, "services": services, "middlewares": middlewares}}
