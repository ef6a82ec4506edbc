"""What an answer over HTTP says beside its body: status, headers, tags. Never holds: what the body says."""

from collections.abc import Mapping
from functools import lru_cache

from starlette.types import Scope, Send
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from app.transport.negotiation import JSON, RESPONSE_JSON
from app.transport.refusal import Refused
from app.transport.server import AT_ONCE
from graph.masking import INTERNAL, UNAVAILABLE

Fields = list[tuple[bytes, bytes]]


def status_of(result: ExecutionResult, *, media_type: str) -> int:
    """application/json cannot tell a GraphQL server's 4xx from a proxy's, so it gets 200.

    503 it gets as well: nothing was begun, and balancers as well as clients know what to do.
    """
    if not execution.is_request_error(result):
        return 200
    codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
    if codes == {UNAVAILABLE}:
        return 503
    if media_type != RESPONSE_JSON:
        return 200
    if INTERNAL in codes:
        return 500
    return 504 if "TIMEOUT" in codes else 400


async def send_refusal(send: Send, refused: Refused) -> None:
    body = execution.encode(refused.payload())
    await send_whole(send, body, status=refused.status, media_type=JSON, headers=dict(refused.headers))


async def send_whole(
    send: Send, body: bytes, *, status: int, media_type: str | None, headers: Mapping[str, str] | None = None
) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    named = {name for name, _ in fields}
    fields += [field for field in header_fields(media_type) if field[0] not in named]
    if media_type is not None:
        fields.append((b"content-length", b"%d" % len(body)))
    await send_fields(send, body, status=status, fields=fields)


async def send_at_once(scope: Scope, send: Send, body: bytes, *, status: int, fields: Fields) -> None:
    """A whole answer, past all that stands between: whoever calls this knows that nobody there has to add anything."""
    answer = scope["extensions"].get(AT_ONCE)
    if answer is None or not answer(scope, status, fields, body):
        await send_fields(send, body, status=status, fields=fields)


async def send_fields(send: Send, body: bytes, *, status: int, fields: Fields) -> None:
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=16)
def header_fields(media_type: str | None, *, is_tagged: bool = False) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer says, unless it says otherwise. With a tag, its client may keep it and asks each time."""
    caching = b"private, no-cache" if is_tagged else b"no-store"
    fields = [(b"cache-control", caching), (b"x-content-type-options", b"nosniff")]
    if media_type is not None:
        fields.append((b"content-type", f"{media_type}; charset=utf-8".encode()))
    return tuple(fields)


def names_tag(header: str | None, tag: bytes) -> bool:
    """Whether If-None-Match names the tag; weak ones count as well (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    return header.strip() == "*" or tag.decode() in {each.strip().removeprefix("W/") for each in header.split(",")}
