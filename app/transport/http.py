"""GraphQL over HTTP: the ASGI application of /graphql, all transports behind one address. Never holds: fields."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from app.transport import execution, sse, websocket
from app.transport.body import GraphQLRequest, decode_json, read_body, read_parameters, read_url_parameters
from app.transport.execution import Service
from app.transport.negotiation import EVENT_STREAM, HTML, JSON, RESPONSE_JSON, negotiate, require_json
from app.transport.pages import explorer
from app.transport.refusal import ClientGone, Refused, bad_request, going_away, of_api_error
from app.transport.sharing import Sharing
from graph.limits import Limits
from graph.masking import INTERNAL, ApiError, fault

METHODS = "GET, POST, OPTIONS"
OPERATIONS_BY_METHOD = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": execution.SINGLE_RESULT,
}
# Most requests are answered sooner, and need nobody to watch whether the client is still there.
WATCH_AFTER_SECONDS = 0.05


def graphql_endpoint(
    schema: BaseSchema,
    *,
    authenticate: Callable[[str | None], Any],
    context_for: Callable[[HTTPConnection, Any], object],
    limits: Limits,
    rights_of: Callable[[Any], Any] | None = None,
) -> "GraphQLEndpoint":
    """The application to route /graphql to, for HTTP and for WebSocket: `Route` and `WebSocketRoute` take it as it is.

    A mount would redirect /graphql to /graphql/. WebSockets need the protocol of server.py.
    """
    return GraphQLEndpoint(
        Service(schema=schema, authenticate=authenticate, context_for=context_for, limits=limits, rights_of=rights_of)
    )


@dataclass(frozen=True)
class GraphQLEndpoint:
    """An ASGI application; an object, because Starlette takes functions for request handlers."""

    service: Service
    sharing: Sharing = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sharing", Sharing(self.service))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await websocket.serve(self.sharing, scope, receive=receive, send=send)
            return
        try:
            await _answer(self.sharing, scope, receive=receive, send=send)
        except ClientGone:
            return
        except Refused as refused:
            await _send_refusal(send, refused)
        except Exception as error:  # noqa: BLE001 - authentication or context failed in an unforeseen way
            message = fault(error)
            body = execution.encode({"errors": [message.formatted]})
            await _send(send, body, status=500, media_type=JSON)


async def _answer(sharing: Sharing, scope: Scope, *, receive: Receive, send: Send) -> None:
    service = sharing.service
    method: str = scope["method"]
    headers = Headers(scope=scope)
    if method == "OPTIONS":
        await _send(send, b"", status=204, media_type=None, headers={"allow": METHODS})
        return
    if method not in OPERATIONS_BY_METHOD:
        raise _not_allowed(f"{method} is not a method of this address.", allow=METHODS)
    accepted = negotiate(headers, method=method)
    if accepted.media_type == HTML:
        await _send(send, explorer.PAGE, status=200, media_type=HTML, headers=explorer.HEADERS)
        return
    request = await _read(scope, headers, receive=receive, limits=service.limits)
    try:
        actor = await execution.identify(service, execution.bearer_token(headers.get("authorization")))
    except ApiError as error:
        raise of_api_error(error) from None
    context = service.context_for(HTTPConnection(scope), actor)
    async with _cancelled_when_gone(receive):
        try:
            result = await execution.execute(service, request, context=context, allowed=OPERATIONS_BY_METHOD[method])
        except InvalidOperationTypeError as error:
            if error.operation_type is not OperationType.SUBSCRIPTION:
                raise _not_allowed("Mutations need POST.", allow="POST") from None
            if not accepted.may_stream:
                raise bad_request(f"Subscriptions need {EVENT_STREAM} or a WebSocket.") from None
            result = None
    if result is None:
        if service.connections.is_draining:
            raise going_away()
        await sse.serve(sharing, scope, request=request, actor=actor, receive=receive, send=send)
        return
    if accepted.media_type == EVENT_STREAM:
        await sse.send_single(result, send=send)
        return
    await _send_result(send, result, media_type=accepted.media_type)


async def _read(scope: Scope, headers: Headers, *, receive: Receive, limits: Limits) -> GraphQLRequest:
    if scope["method"] == "GET":
        return read_url_parameters(scope["query_string"], limits=limits)
    require_json(headers)
    body = await read_body(receive, headers, limits=limits)
    return read_parameters(decode_json(body, limits=limits), limits=limits)


@asynccontextmanager
async def _cancelled_when_gone(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client hangs up; ClientGone then leaves it."""
    running = asyncio.current_task()
    watchers: list[asyncio.Task[None]] = []
    gone = False

    async def watch() -> None:
        nonlocal gone
        await sse.wait_for_disconnect(receive)
        gone = True
        if running is not None:
            running.cancel()

    timer = asyncio.get_running_loop().call_later(
        WATCH_AFTER_SECONDS, lambda: watchers.append(asyncio.create_task(watch()))
    )
    try:
        yield
    except asyncio.CancelledError:
        if not gone or running is None:
            raise
        running.uncancel()
        raise ClientGone from None
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()


def _not_allowed(message: str, *, allow: str) -> Refused:
    return Refused(status=405, code="METHOD_NOT_ALLOWED", message=message, headers={"allow": allow})


async def _send_result(send: Send, result: ExecutionResult, *, media_type: str) -> None:
    body = execution.encode(execution.payload(result))
    await _send(send, body, status=_status(result, media_type=media_type), media_type=media_type)


def _status(result: ExecutionResult, *, media_type: str) -> int:
    """application/json cannot tell a GraphQL server's 4xx from a proxy's, so it always gets 200."""
    if media_type != RESPONSE_JSON or not execution.is_request_error(result):
        return 200
    codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
    if INTERNAL in codes:
        return 500
    return 504 if "TIMEOUT" in codes else 400


async def _send_refusal(send: Send, refused: Refused) -> None:
    body = execution.encode(refused.payload())
    await _send(send, body, status=refused.status, media_type=JSON, headers=dict(refused.headers))


async def _send(
    send: Send, body: bytes, *, status: int, media_type: str | None, headers: dict[str, str] | None = None
) -> None:
    fields = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    if media_type is not None:
        fields["content-type"] = f"{media_type}; charset=utf-8"
        fields["content-length"] = str(len(body))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
