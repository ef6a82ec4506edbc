"""/api/v1/{module}/{path}: REST beside the graph. A thin proxy to a healthy instance, for those who are entitled.

Never holds: a module's own business; what a gateway of its own would do better (docs/module-services.md).
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence

import httpx
from starlette.types import Receive, Scope, Send

from app.federation import Identities, unavailable
from app.proxy.balancer import Balancer
from app.proxy.exchange import Answering, RequestBody
from app.proxy.headers import check_framing, request_headers, request_id
from app.proxy.places import Places
from app.proxy.target import Target, read_target
from app.transport.execution import encode
from app.transport.refusal import ClientGone, Refused
from app.transport.reply import send_refusal
from app.upstream import Header, Unreachable, Upstreams
from graph.context import Services
from queries.instance import InstancesAway

log = logging.getLogger("modplane.proxy")

CONNECTIONS_MAX = 400
ANSWER_SECONDS_MAX = 30.0  # without a byte
RECHECK_SECONDS = 2.0  # an answer that goes on ends this soon after its entitlement
TRIES_MAX = 3  # instances that no connection comes about to
REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})  # the latter would show the caller what only the service may see


class RestProxy:
    """An ASGI application."""

    def __init__(self, services: Services, identities: Identities) -> None:
        self._services = services
        self._identities = identities
        self._balancer = Balancer(services.instances)
        self._places = Places()
        self._upstreams = Upstreams(services.routing, connections=CONNECTIONS_MAX)
        services.closing.append(self._upstreams.aclose)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_socket(scope, receive, send)
            return
        answering = Answering(send, request_id(scope["headers"]))
        try:
            check_framing(scope["headers"])
            body = RequestBody(receive, scope["headers"])
            try:
                await self._serve(scope, body, answering)
            except Refused:
                await body.discard()
                raise
        except ClientGone:
            return
        except Refused as refused:
            if not answering.has_begun:
                await send_refusal(send, refused)
        except (httpx.HTTPError, OSError) as error:
            # a broken answer: what has been sent can't be taken back, and the connection ends
            log.warning("an answer of %s broke off: %s", scope["path"], type(error).__name__)

    async def _serve(self, scope: Scope, body: RequestBody, answering: Answering) -> None:
        if scope["method"] in REFUSED_METHODS:
            raise Refused(status=405, code="METHOD_NOT_ALLOWED", message=f"{scope['method']} is not passed on.")
        given: Sequence[Header] = scope["headers"]
        target = read_target(scope["raw_path"], scope["query_string"])
        authorization = _authorization(given)
        identity = await self._identities.admit(target.module, authorization)
        signed = self._identities.signer.sign(identity, target.module)
        headers = request_headers(given, module=target.module, identity=signed)
        with self._places.taken(target.module, identity.actor.organization_id):
            relay = self._relay(scope["method"], target, headers, body, answering)
            await self._while_let_in(relay, body, target.module, authorization)

    async def _while_let_in(
        self, relay: Coroutine[None, None, None], body: RequestBody, module: str, authorization: str | None
    ) -> None:
        """Pass it on, until the caller is gone or would not be let in any more."""
        relaying = asyncio.create_task(relay)
        watching = [
            asyncio.create_task(body.until_gone()),
            asyncio.create_task(self._until_refused(module, authorization)),
        ]
        try:
            await asyncio.wait([relaying, *watching], return_when=asyncio.FIRST_COMPLETED)
            if relaying.done():
                relaying.result()
            elif watching[1].done():
                watching[1].result()
        finally:
            for task in (relaying, *watching):
                task.cancel()
            await asyncio.wait([relaying, *watching])
            for task in (relaying, *watching):
                _ = task.cancelled() or task.exception()  # only the first that ended has anything to say

    async def _until_refused(self, module: str, authorization: str | None) -> None:
        """Raise Refused as soon as the caller would not be let in any more; not while nobody can say so."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                await self._identities.admit(module, authorization)
            except Refused as refused:
                if refused.status != 503:
                    raise

    async def _relay(
        self, method: str, target: Target, headers: Sequence[Header], body: RequestBody, answering: Answering
    ) -> None:
        response = await self._call(method, target, headers, body)
        await answering.relay(response)

    async def _call(self, method: str, target: Target, headers: Sequence[Header], body: RequestBody) -> httpx.Response:
        """The answer of the first instance that a connection comes about to; no other is sent anything."""
        for url in (await self._instances(target.module))[:TRIES_MAX]:
            self._balancer.note_turn(url)
            try:
                return await self._upstreams.send(
                    method,
                    url,
                    owner=target.module,
                    target=target.under(httpx.URL(url).raw_path),
                    headers=headers,
                    body=body.chunks() if body.is_there else None,
                    seconds=ANSWER_SECONDS_MAX,
                )
            except Unreachable as unreachable:
                log.warning("instance %s of %s: %s", url, target.module, unreachable)
            except httpx.PoolTimeout:
                raise unavailable("Too many requests are under way; try again.") from None
            except httpx.TimeoutException:
                message = f"The module's service did not answer within {ANSWER_SECONDS_MAX:g} s."
                raise Refused(status=504, code="TIMEOUT", message=message) from None
            except httpx.LocalProtocolError:
                raise Refused(status=400, code="BAD_REQUEST", message="The request is not HTTP.") from None
            except (httpx.HTTPError, OSError):
                message = "The module's service broke the connection off, or does not speak HTTP."
                raise Refused(status=502, code="BAD_GATEWAY", message=message) from None
        message = f"No instance of {target.module} is healthy."
        raise Refused(status=503, code="MODULE_NOT_AVAILABLE", message=message, headers={"retry-after": "5"})

    async def _instances(self, module: str) -> list[str]:
        try:
            return await self._balancer.in_turn(module)
        except InstancesAway:
            raise unavailable("What runs where is not known right now; try again.") from None


def _authorization(headers: Sequence[Header]) -> str | None:
    found = [value for name, value in headers if name == b"authorization"]
    return found[0].decode("latin-1") if found else None


async def _refuse_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """501 in place of the handshake: services are spoken to by requests."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1003, "reason": "WebSockets are not passed on"})
        return
    refused = Refused(status=501, code="NOT_IMPLEMENTED", message="WebSockets are not passed on to modules' services.")
    headers = [(b"content-type", b"application/json; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": encode(refused.payload())})
