"""From bytes to a checked GraphQL request: size, JSON depth, parameters, variables. Never holds: status of answers."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive

from app.transport.refusal import ClientGone, Refused, bad_request, bad_user_input
from app.transport.trusted import TrustedDocuments
from graph.limits import Limits

JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
NOT_A_BRACKET = re.compile(rb"[^][{}]++")
URL_PARAMETERS_MAX = 20
# Read and thrown away after a refusal, so that clients that write before they read still see the answer.
DISCARDED_BYTES_MAX = 1_048_576
DISCARD_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class GraphQLRequest:
    """What every transport makes of its input."""

    query: str
    variables: dict[str, object] | None
    operation_name: str | None
    extensions: dict[str, object] | None


@dataclass(frozen=True)
class Caller:
    """The client that asks, by the name it gives itself, and what it may call by an id."""

    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)
    client: str = ""


ANYBODY = Caller()


async def read_body(
    receive: Receive, headers: Mapping[str, str], *, limits: Limits, has_arrived: bool = False
) -> bytes:
    """The whole body, or a refusal as soon as it is known to be too large or too slow. `has_arrived`: it is there."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(status=415, code="UNSUPPORTED_MEDIA_TYPE", message="Compressed request bodies are not accepted.")
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limits.body_bytes:
        if "expect" not in headers:
            await _discard(receive)
        raise _too_large(limits)
    if has_arrived:
        return await _read_chunks(receive, limits=limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read_chunks(receive, limits=limits)
    except TimeoutError:
        message = f"The request body did not arrive within {limits.body_seconds:g} seconds."
        raise Refused(status=408, code="REQUEST_TIMEOUT", message=message, headers={"connection": "close"}) from None


async def _read_chunks(receive: Receive, *, limits: Limits) -> bytes:
    chunks = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks += message.get("body", b"")
        if len(chunks) > limits.body_bytes:
            if message.get("more_body", False):
                await _discard(receive)
            raise _too_large(limits)
        if not message.get("more_body", False):
            return bytes(chunks)


async def _discard(receive: Receive) -> None:
    left = DISCARDED_BYTES_MAX
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


def _too_large(limits: Limits) -> Refused:
    message = f"The request body is larger than {limits.body_bytes} bytes."
    return Refused(
        status=413,
        code="PAYLOAD_TOO_LARGE",
        message=message,
        headers={"connection": "close"},
        extensions={"limit": limits.body_bytes},
    )


def decode_json(data: bytes, *, limits: Limits) -> object:
    """JSON, once a scan of the bytes has shown that it is not nested too deeply."""
    if json_depth_exceeds(data, limits.json_depth):
        raise bad_request(f"The JSON is nested deeper than {limits.json_depth} levels.")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # An escaped lone surrogate is grammatical JSON, of a string that UTF-8 cannot hold.
        if "surrogate in string" in str(error):
            raise bad_user_input("Strings cannot contain lone surrogates.") from None
        raise bad_request("The body is not valid JSON in UTF-8.") from None


def json_depth_exceeds(data: bytes, depth_max: int) -> bool:
    """Whether brackets outside of strings nest deeper; linear, and only two counts for most requests."""
    if data.count(b"[") + data.count(b"{") <= depth_max:
        return False
    depth = 0
    for byte in NOT_A_BRACKET.sub(b"", JSON_STRING.sub(b"", data)):
        if byte in b"[{":
            depth += 1
            if depth > depth_max:
                return True
        else:
            depth -= 1
    return False


def read_url_parameters(query_string: bytes, *, limits: Limits, caller: Caller = ANYBODY) -> GraphQLRequest:
    """The parameters of a GET; `variables` and `extensions` are JSON texts."""
    if len(query_string) > limits.body_bytes:
        raise _too_large(limits)
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=URL_PARAMETERS_MAX,
        )
    except ValueError:
        raise bad_request("The URL's query string is malformed.") from None
    parameters: dict[str, object] = dict(pairs)
    for name in ("variables", "extensions"):
        text = parameters.get(name)
        if isinstance(text, str):
            parameters[name] = decode_json(text.encode(), limits=limits) if text else None
    return read_parameters(parameters, limits=limits, caller=caller)


def read_parameters(parameters: object, *, limits: Limits, caller: Caller = ANYBODY) -> GraphQLRequest:
    """The parameters of GraphQL over HTTP, each of its type; others are ignored. What is called by its id is found."""
    if isinstance(parameters, list):
        message = "Batches are not accepted: send one operation per request."
        raise Refused(status=400, code="BATCHING_NOT_SUPPORTED", message=message)
    if not isinstance(parameters, dict):
        raise bad_request("The request must be a JSON object.")
    query = caller.trusted.text_of(caller.client, parameters)
    operation_name = parameters.get("operationName")
    if not isinstance(operation_name, str | None):
        raise bad_request("The parameter 'operationName' must be a string.")
    variables = _read_map(parameters, "variables")
    if variables:
        check_variables(variables, limits=limits)
    return GraphQLRequest(
        query=query,
        variables=variables,
        # GET sends an absent name as an empty one.
        operation_name=operation_name or None,
        extensions=_read_map(parameters, "extensions"),
    )


def _read_map(parameters: Mapping[str, object], name: str) -> dict[str, object] | None:
    value = parameters.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise bad_request(f"The parameter '{name}' must be a JSON object.")


def check_variables(variables: dict[str, object], *, limits: Limits) -> None:
    """Refuse what no field could take: very long lists, and U+0000, which PostgreSQL cannot store."""
    stack: list[object] = [variables]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            if "\0" in value:
                raise bad_user_input("Strings cannot contain U+0000.")
        elif isinstance(value, list):
            if len(value) > limits.variable_list_items:
                raise bad_user_input(
                    f"A list in the variables has {len(value)} items; at most {limits.variable_list_items} are allowed."
                )
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value)
            stack.extend(value.values())
