"""Which headers pass a proxy, either way. What belongs to a connection, to the platform or to its origin does not."""

import re
from collections.abc import Iterable, Sequence
from uuid import uuid4

from app.transport.refusal import Refused, bad_request
from app.upstream import Header
from events.trace import new_traceparent, traceparent_of

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The caller's credentials are for the platform; the service gets an identity that is good for itself alone.
NOT_SENT = HOP_BY_HOP | {b"authorization", b"x-module-api-key", b"cookie", b"host", b"expect", b"forwarded"}
# All modules answer from one origin: what one of them sets there would be the others' too.
OF_ORIGIN = {
    b"accept-ch",
    b"alt-svc",
    b"clear-site-data",
    b"nel",
    b"public-key-pins",
    b"report-to",
    b"service-worker-allowed",
    b"set-cookie",
    b"set-cookie2",
    b"strict-transport-security",
}
# What a proxy before us would obey: serve a file of its own, or what another address inside answers.
OF_PROXIES = {b"x-sendfile", b"x-lighttpd-send-file", b"x-reproxy-url"}
NOT_ANSWERED = HOP_BY_HOP | OF_ORIGIN | OF_PROXIES | {b"date", b"server"}
OURS = (b"x-modplane-", b"x-forwarded-", b"x-accel-")
# A page from there must not run as one of the platform's.
ANSWERED_TOO: tuple[Header, ...] = (
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
BYTES_MAX = 32_768
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def check_framing(given: Sequence[Header]) -> None:
    """Refuse what could be told apart into requests in two ways, whatever the server before us makes of it."""
    lengths = [value for name, value in given if name == b"content-length"]
    encodings = [value for name, value in given if name == b"transfer-encoding"]
    is_sound = not (lengths and encodings) and len(lengths) + len(encodings) <= 1
    if not is_sound or not all(value.isdigit() for value in lengths) or encodings not in ([], [b"chunked"]):
        raise bad_request("The headers do not say plainly where the body ends.")


def request_headers(given: Sequence[Header], *, module: str, identity: str) -> list[Header]:
    """What the service is sent. Raises Refused when it is too much."""
    if sum(len(name) + len(value) for name, value in given) > BYTES_MAX:
        message = f"The headers are larger than {BYTES_MAX} bytes."
        raise Refused(status=431, code="HEADERS_TOO_LARGE", message=message)
    trace = _first(given, b"traceparent")
    traceparent = traceparent_of(None if trace is None else trace.decode("latin-1"))
    dropped = {b"traceparent", b"x-request-id"} if traceparent else {b"traceparent", b"tracestate", b"x-request-id"}
    return [
        *_passing(given, NOT_SENT | dropped),
        (b"x-modplane-identity", identity.encode()),
        (b"x-forwarded-prefix", f"/api/v1/{module}".encode()),
        (b"traceparent", (traceparent or new_traceparent()).encode()),
        (b"x-request-id", request_id(given)),
    ]


def response_headers(given: Sequence[Header], *, request_id: bytes) -> list[Header]:
    """What the caller is answered."""
    dropped = NOT_ANSWERED | {name for name, _ in ANSWERED_TOO} | {b"x-request-id"}
    if _first(given, b"transfer-encoding") is not None:
        dropped |= {b"content-length"}  # chunks were what counted, and nobody after us is to think otherwise
    return [*_passing(given, dropped), *ANSWERED_TOO, (b"x-request-id", request_id)]


def request_id(given: Sequence[Header]) -> bytes:
    """The caller's, when it can be printed anywhere; otherwise a new one."""
    found = _first(given, b"x-request-id")
    return found if found is not None and REQUEST_ID.fullmatch(found) else uuid4().hex.encode()


def _passing(given: Iterable[Header], dropped: frozenset[bytes] | set[bytes]) -> list[Header]:
    lowered = [(name.lower(), value) for name, value in given]
    listed = {each.strip().lower() for name, value in lowered if name == b"connection" for each in value.split(b",")}
    return [
        (name, value)
        for name, value in lowered
        if name not in dropped and (name not in listed or name == b"content-length") and not _is_ours(name)
    ]


def _is_ours(name: bytes) -> bool:
    # servers that hand headers on as variables take '_' and '-' for the same
    return name.replace(b"_", b"-").startswith(OURS)


def _first(given: Sequence[Header], wanted: bytes) -> bytes | None:
    return next((value for name, value in given if name.lower() == wanted), None)
