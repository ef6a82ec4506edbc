"""Which media type a client gets, and which it may send, by the rules of GraphQL over HTTP. Never holds: bodies."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

from app.transport.refusal import Refused

RESPONSE_JSON = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"

# Between types the client names with the same weight, the earlier is answered.
PREFERENCE = (RESPONSE_JSON, JSON, EVENT_STREAM, HTML)
# Clients that take anything mostly predate graphql-response+json.
WILDCARD_PREFERENCE = (JSON, RESPONSE_JSON)
ACCEPT_CHARS_MAX = 1_024
UTF_8_NAMES = ("utf-8", "utf8")


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The media type to answer with; `may_stream` if the client also reads events."""

    media_type: str
    may_stream: bool


def negotiate(headers: Mapping[str, str], *, method: str) -> Accepted:
    """The best of what the client accepts, or 406."""
    accept = headers.get("accept") or "*/*"
    accepted = _choose(accept, method == "GET") if len(accept) <= ACCEPT_CHARS_MAX else None
    if accepted is None:
        message = f"Only {RESPONSE_JSON}, {JSON} and {EVENT_STREAM} can be answered."
        raise Refused(status=406, code="NOT_ACCEPTABLE", message=message)
    return accepted


@lru_cache(maxsize=256)
def _choose(accept: str, may_be_page: bool) -> Accepted | None:
    weights = _weights(accept)
    offered = PREFERENCE if may_be_page else PREFERENCE[:-1]
    named = [(weights[type_], -rank, type_) for rank, type_ in enumerate(offered) if weights.get(type_, 0) > 0]
    wild = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    if wild > 0:
        anything = next((type_ for type_ in WILDCARD_PREFERENCE if type_ not in weights), None)
        if anything is not None:
            named.append((wild, -len(PREFERENCE), anything))
    if not named:
        return None
    _, _, best = max(named)
    return Accepted(media_type=best, may_stream=weights.get(EVENT_STREAM, 0) > 0)


def _weights(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in accept.split(","):
        range_, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if range_:
            weights[range_.lower()] = weight
    return weights


def read_headers(scope: Scope) -> dict[str, str]:
    """Headers by their names in small letters. Of one that is repeated the first counts; `accept` is a list."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif name == "accept":
            headers[name] += f",{value}"
    return headers


def require_json(headers: Mapping[str, str]) -> None:
    """Refuse bodies that are not JSON in UTF-8. Also what keeps other sites' forms out: they cannot send this type."""
    content_type = headers.get("content-type", "")
    if content_type != JSON:
        _require_json(content_type)


def _require_json(content_type: str) -> None:
    type_, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"]
    if type_ != JSON or any(charset not in UTF_8_NAMES for charset in charsets):
        message = f"The request body must be {JSON} in UTF-8."
        raise Refused(status=415, code="UNSUPPORTED_MEDIA_TYPE", message=message, headers={"accept": JSON})
