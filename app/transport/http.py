"""GraphQL over HTTP: the ASGI application of /graphql, all transports behind one address. Never holds: fields."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from app.transport import execution, sse, websocket
from app.transport.answers import Made, Revisions
from app.transport.body import (
    Caller,
    GraphQLRequest,
    decode_json,
    read_body,
    read_parameters,
    read_url_parameters,
)
from app.transport.execution import Keeping, Service
from app.transport.negotiation import EVENT_STREAM, HTML, JSON, negotiate, read_headers, require_json
from app.transport.pages import explorer
from app.transport.refusal import ClientGone, Refused, bad_request, bad_user_input, going_away, of_api_error
from app.transport.reply import header_fields, names_tag, send_at_once, send_fields, send_refusal, send_whole, status_of
from app.transport.server import ARRIVED
from app.transport.sharing import Sharing
from app.transport.trusted import CLIENT_HEADER, TrustedDocuments
from graph.limits import Limits
from graph.masking import ApiError, fault

METHODS = "GET, POST, OPTIONS"
OPERATIONS_BY_METHOD = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": execution.SINGLE_RESULT,
}
# Most requests are answered sooner, and need nobody to watch whether the client is still there.
WATCH_AFTER_SECONDS = 0.05
REVISION_DIGITS_MAX = 18
DOCUMENT_ID, URL_DOCUMENT_ID = b"documentId", b"documentId="
VARY = (b"vary", b"authorization, accept, graphql-client-name, x-min-revision")


def graphql_endpoint(
    schema: BaseSchema,
    *,
    authenticate: Callable[[str | None], Any],
    context_for: Callable[[execution.Connected, Any], object],
    limits: Limits,
    rights_of: Callable[[Any], Any] | None = None,
    keeping: Keeping | None = None,
    trusted: TrustedDocuments | None = None,
) -> "GraphQLEndpoint":
    """The application to route /graphql to, for HTTP and for WebSocket: `Route` and `WebSocketRoute` take it as it is.

    A mount would redirect /graphql to /graphql/. WebSockets need the protocol of server.py.
    """
    return GraphQLEndpoint(
        Service(
            schema=schema,
            authenticate=authenticate,
            context_for=context_for,
            limits=limits,
            rights_of=rights_of,
            keeping=keeping,
            trusted=trusted or TrustedDocuments(),
        )
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
            await send_refusal(send, refused)
        except Exception as error:  # noqa: BLE001 - authentication or context failed in an unforeseen way
            message = fault(error)
            body = execution.encode({"errors": [message.formatted]})
            await send_whole(send, body, status=500, media_type=JSON)


async def _answer(sharing: Sharing, scope: Scope, *, receive: Receive, send: Send) -> None:
    service = sharing.service
    method: str = scope["method"]
    headers = read_headers(scope)
    if method == "OPTIONS":
        await send_whole(send, b"", status=204, media_type=None, headers={"allow": METHODS})
        return
    if method not in OPERATIONS_BY_METHOD:
        raise _not_allowed(f"{method} is not a method of this address.", allow=METHODS)
    accepted = negotiate(headers, method=method)
    if accepted.media_type == HTML:
        await send_whole(send, explorer.PAGE, status=200, media_type=HTML, headers=explorer.HEADERS)
        return
    sent = await _read(scope, headers, receive=receive, limits=service.limits)
    asked = _Asked(service, scope, headers, sent, receive, client=headers.get(CLIENT_HEADER, ""))
    try:
        asked.actor = await execution.identify(service, execution.bearer_token(headers.get("authorization")))
    except ApiError as error:
        asked.request()  # what is no request at all is told first
        raise of_api_error(error) from None
    try:
        if accepted.media_type == EVENT_STREAM:
            await sse.send_single(await asked.execute(), send=send)
        else:
            await _send_answer(send, asked, headers, media_type=accepted.media_type)
    except InvalidOperationTypeError as error:
        if error.operation_type is not OperationType.SUBSCRIPTION:
            raise _not_allowed("Mutations need POST.", allow="POST") from None
        if not accepted.may_stream:
            raise bad_request(f"Subscriptions need {EVENT_STREAM} or a WebSocket.") from None
        if service.connections.is_draining:
            raise going_away() from None
        await sse.serve(sharing, scope, request=asked.request(), actor=asked.actor, receive=receive, send=send)


@dataclass
class _Asked:
    """What somebody asks for: `sent`, a body or the query of a URL, is read only when it has to be executed."""

    service: Service
    scope: Scope
    headers: Mapping[str, str]
    sent: bytes
    receive: Receive
    client: str
    actor: Any = None
    need: int = 0  # the rev of the actor's organization that the client has seen
    result: ExecutionResult | None = None  # once it has been executed

    def request(self) -> GraphQLRequest:
        limits, caller = self.service.limits, Caller(self.service.trusted, self.client)
        if self.scope["method"] == "GET":
            return read_url_parameters(self.sent, limits=limits, caller=caller)
        return read_parameters(decode_json(self.sent, limits=limits), limits=limits, caller=caller)

    @property
    def is_trusted(self) -> bool:
        """Whether it calls a document by its id. Of a body that may be said too often, which does no harm."""
        return (URL_DOCUMENT_ID if self.scope["method"] == "GET" else DOCUMENT_ID) in self.sent

    @property
    def may_write(self) -> bool:
        """Whether it may be a mutation. A query that has the word in it, or an escape, is taken for one."""
        if b"mutation" in self.sent or b"\\u" in self.sent:
            return True
        return self.is_trusted and "mutation" in self.request().query

    async def execute(self) -> ExecutionResult:
        return (await self._execute(()))[0]

    async def make(self, revisions: Revisions) -> Made:
        """The answer's bytes, and whether they may be kept."""
        self.result, context = await self._execute(revisions)
        body = execution.encode(execution.payload(self.result))
        is_volatile: bool = getattr(context, "is_volatile", True)
        return Made(body, is_volatile=is_volatile, has_failed=bool(self.result.errors))

    async def _execute(self, revisions: Revisions) -> tuple[ExecutionResult, object]:
        request = self.request()
        context = self.service.context_for(self, self.actor)
        if revisions and self.service.keeping is not None:
            self.service.keeping.tell(context, revisions, self.need)
        allowed = OPERATIONS_BY_METHOD[self.scope["method"]]
        with _Watch(self.receive):
            result = await execution.execute(self.service, request, context=context, allowed=allowed)
        execution.end(context, result)
        return result, context


async def _read(scope: Scope, headers: Mapping[str, str], *, receive: Receive, limits: Limits) -> bytes:
    if scope["method"] == "GET":
        sent: bytes = scope["query_string"]
        return sent
    require_json(headers)
    has_arrived: Callable[[], bool] | None = scope["extensions"].get(ARRIVED)
    return await read_body(receive, headers, limits=limits, has_arrived=has_arrived is not None and has_arrived())


async def _send_answer(send: Send, asked: _Asked, headers: Mapping[str, str], *, media_type: str) -> None:
    keeping = asked.service.keeping
    asked.need = _minimum_revision(headers.get("x-min-revision"))
    fields: list[tuple[bytes, bytes]] = []
    # What may be a mutation is not worth asking Redis about: it is executed each time.
    if keeping is None or asked.may_write:
        body = (await asked.make(())).body
    else:
        streams = keeping.streams_of(asked.actor)
        client = asked.client if asked.is_trusted else ""
        key = (asked.sent, asked.scope["method"], keeping.rights_of(asked.actor), client)
        kept = await keeping.answers.get(key, streams, asked.need, asked.make)
        body = kept.body
        if len(kept.revisions) > 1:
            fields.append((b"x-org-revision", b"%d" % kept.revisions[0]))
    status = 200 if asked.result is None else status_of(asked.result, media_type=media_type)
    if status == 503:
        fields.append((b"retry-after", b"1"))
    has_errors = asked.result is not None and bool(asked.result.errors)
    if status == 200 and not has_errors and asked.scope["method"] == "GET" and asked.is_trusted:
        tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
        if names_tag(headers.get("if-none-match"), tag):
            status, body = 304, b""
        fields += [(b"etag", tag), VARY, *header_fields(media_type, is_tagged=True)]
    else:
        fields += header_fields(media_type)
    if status != 304:
        fields.append((b"content-length", b"%d" % len(body)))
    if asked.service.connections.is_draining:
        await send_fields(send, body, status=status, fields=fields)  # its client is told to leave on the way
    else:
        await send_at_once(asked.scope, send, body, status=status, fields=fields)


def _minimum_revision(header: str | None) -> int:
    """The rev of the caller's organization that it has seen: it gets no answer that is older."""
    if header is None:
        return 0
    if not (header.isascii() and header.isdigit() and len(header) <= REVISION_DIGITS_MAX):
        raise bad_user_input("The header X-Min-Revision must be a revision: digits, as in X-Org-Revision.")
    return int(header)


class _Watch:
    """Cancels the block when the client hangs up; ClientGone then leaves it."""

    __slots__ = ("_is_gone", "_receive", "_running", "_timer", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._running: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._is_gone = False

    def __enter__(self) -> None:
        self._running = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        await sse.wait_for_disconnect(self._receive)
        self._is_gone = True
        if self._running is not None:
            self._running.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        running, self._running = self._running, None
        if kind is asyncio.CancelledError and self._is_gone and running is not None:
            running.uncancel()
            raise ClientGone from None


def _not_allowed(message: str, *, allow: str) -> Refused:
    return Refused(status=405, code="METHOD_NOT_ALLOWED", message=message, headers={"allow": allow})
