"""Pure ASGI: lets in what the platform or its gateway has passed on, and answers everything else itself.

| path | needs |
|---|---|
| the health path | nothing; by GET or HEAD |
| the GraphQL path | an identity, and the gateway's passage for this body; by POST, or as a WebSocket |
| below `/modplane/hooks/` | an identity, and the platform's passage for this body; by POST |
| any other | an identity: the platform's REST proxy, which checks the entitlement, adds no passage |

One query needs nothing either: `{ _service { sdl } }`, by which the platform checks that the service is what was
registered. A path with a control character in it leads nowhere: a router may take `/graphql` and a line feed for
`/graphql`.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from modplane_sdk.identity import IDENTITY_HEADER, PASSAGE_HEADER, Unverified, Verifier, set_current_identity
from modplane_sdk.keys import Signer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOOKS_PATH = "/modplane/hooks/"
SCOPE_KEY = "modplane.identity"
BODY_BYTES_MAX = 10 * 1024 * 1024
BODY_SECONDS_MAX = 10.0
FORBIDDEN = 4403  # of graphql-transport-ws: the connection_init was refused
STATUS = {
    "BAD_REQUEST": 400,
    "METHOD_NOT_ALLOWED": 405,
    "PAYLOAD_TOO_LARGE": 413,
    "REQUEST_TIMEOUT": 408,
    "UNAVAILABLE": 503,
}
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
OPEN_METHODS = {"GET", "HEAD"}
SDL_QUERY = re.compile(r"\s*(query(\s+\w+)?)?\s*\{\s*_service\s*\{\s*sdl\s*\}\s*\}\s*")


@dataclass(frozen=True)
class Doors:
    """Where a module is entered. Raises ValueError for a health path that would open another door."""

    graphql: str = "/graphql"
    health: str = "/health"

    def __post_init__(self) -> None:
        if not PLAIN_PATH.fullmatch(self.health) or self.passage_signer(self.health) is not None:
            raise ValueError(f"health_check is a path of its own, such as /health, and not {self.health!r}")

    def passage_signer(self, path: str) -> Signer | None:
        """Who has to have passed the request on."""
        if path.startswith(HOOKS_PATH):
            return Signer.PLATFORM
        return Signer.GATEWAY if path.rstrip("/") == self.graphql else None


class Hangup(Exception):
    """The client has gone before its request was whole."""


class VerifiedOnly:
    """Around a module's application."""

    def __init__(self, app: App, verifier: Verifier, doors: Doors | None = None) -> None:
        self._app = app
        self._verifier = verifier
        self._doors = doors or Doors()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope):
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return scope["path"] == self._doors.health and scope["method"] in OPEN_METHODS

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        signer = self._doors.passage_signer(scope["path"])
        try:
            if CONTROL.search(scope["path"]):
                raise Unverified("BAD_REQUEST", "the path has a control character in it")
            if signer is not None:
                receive = await self._check_passage(scope, receive, signer)
            if not scope.get("modplane.is_sdl_query"):
                scope[SCOPE_KEY] = await self._verifier.identify(_header(scope, IDENTITY_HEADER))
        except Unverified as refusal:
            await _refuse(send, refusal)
            return
        except Hangup:
            return
        set_current_identity(scope.get(SCOPE_KEY))
        try:
            await self._app(scope, receive, send)
        finally:
            set_current_identity(None)

    async def _check_passage(self, scope: Scope, receive: Receive, signer: Signer) -> Receive:
        """The body, to be received once more. Only what is in a body is signed, so nothing else may say what to do."""
        if scope["method"] != "POST":
            raise Unverified("METHOD_NOT_ALLOWED", "POST only: an address is not signed")
        body = await _read_body(receive)
        if signer is Signer.GATEWAY and is_sdl_query(body):
            scope["modplane.is_sdl_query"] = True
        else:
            await self._verifier.check_passage(_header(scope, PASSAGE_HEADER), body, signer)
        return _again(body, receive)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._doors.passage_signer(scope["path"]) is not Signer.GATEWAY:
            await send({"type": "websocket.close", "code": FORBIDDEN})
            return
        is_closed = False

        async def checked_receive() -> Message:
            nonlocal is_closed
            message = await receive()
            if message["type"] != "websocket.receive" or SCOPE_KEY in scope:
                return message
            try:
                headers = _init_headers(message)
                await self._verifier.check_passage(headers.get(PASSAGE_HEADER), b"")
                scope[SCOPE_KEY] = await self._verifier.identify(headers.get(IDENTITY_HEADER))
            except Unverified as refusal:
                await send({"type": "websocket.close", "code": FORBIDDEN, "reason": f"{refusal.code}: {refusal}"[:120]})
                is_closed = True
                return {"type": "websocket.disconnect", "code": FORBIDDEN}
            set_current_identity(scope[SCOPE_KEY])
            return message

        async def checked_send(message: Message) -> None:
            if not is_closed:
                await send(message)

        try:
            await self._app(scope, checked_receive, checked_send)
        finally:
            set_current_identity(None)


def is_sdl_query(body: bytes) -> bool:
    """Whether this asks for the SDL and for nothing else. The platform has it already."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return False
    query = request.get("query") if isinstance(request, dict) else None
    return isinstance(query, str) and SDL_QUERY.fullmatch(query) is not None


def _init_headers(message: Message) -> Mapping[str, str]:
    """Of graphql-transport-ws: nothing may come before connection_init, whose payload stands in for headers."""
    try:
        init = json.loads(message.get("text") or message.get("bytes") or b"")
    except (ValueError, RecursionError):
        init = None
    if not isinstance(init, dict) or init.get("type") != "connection_init":
        raise Unverified("UNAUTHENTICATED", "the first message is no connection_init")
    payload = init.get("payload")
    entries = payload.items() if isinstance(payload, dict) else ()
    return {name: value for name, value in entries if isinstance(value, str)}


def _header(scope: Scope, name: str) -> str | None:
    values = [value for key, value in scope["headers"] if key == name.encode()]
    if len(values) > 1:
        raise Unverified("UNAUTHENTICATED", f"{name} came {len(values)} times")
    return values[0].decode("latin-1") if values else None


async def _read_body(receive: Receive) -> bytes:
    chunks, size, is_whole = [], 0, False
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while not is_whole:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Hangup
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise Unverified("PAYLOAD_TOO_LARGE", f"a body has at most {BODY_BYTES_MAX} bytes")
                chunks.append(chunk)
                is_whole = not message.get("more_body", False)
    except TimeoutError:
        raise Unverified("REQUEST_TIMEOUT", f"the body did not come within {BODY_SECONDS_MAX:.0f} s") from None
    return b"".join(chunks)


def _again(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()  # the client's hanging up
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _refuse(send: Send, refusal: Unverified) -> None:
    """Shaped as GraphQL, so that a gateway passes on why."""
    error = {"message": str(refusal), "extensions": {"code": refusal.code}}
    body = json.dumps({"data": None, "errors": [error]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    status = STATUS.get(refusal.code, 401)
    if status == 503:
        headers.append((b"retry-after", b"1"))
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
