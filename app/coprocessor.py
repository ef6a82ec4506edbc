"""For routers that ask a coprocessor which policies an operation may count on: what is not answered is denied.

Hive Router at its stage `graphql.analysis`, GraphOS Router at `SupergraphRequest`. Neither can be given a header of its
own for this, so the address carries a proof of the gateway's key.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.federation import Identities, json_response, refusing
from app.transport.refusal import Refused, bad_request

ADDRESS = "/federation/v1/coprocessor"
PURPOSE = "coprocessor"
BODY_BYTES_MAX = 1024 * 1024
POLICIES_MAX = 1_000
HIVE_STAGE, HIVE_KEY = "graphql.analysis", "hive::authorization::required_policies"
APOLLO_STAGE = "SupergraphRequest"
APOLLO_KEYS = ("apollo::authorization::required_policies", "apollo_authorization::policies::required")
VERSION = 1


def coprocessor_route(identities: Identities) -> Route:
    async def decide(request: Request) -> Response:
        identities.require_gateway(request, purpose=PURPOSE)
        asked = await _read(request)
        stage = asked.get("stage")
        if stage not in (HIVE_STAGE, APOLLO_STAGE):
            return json_response({"version": VERSION, "stage": stage, "control": "continue"})
        try:
            actor = identities.caller(_authorization(asked))
            granted = {f"module:{code}" for code in (await identities.entitlement(actor)).modules}
        except Refused as refused:
            return json_response(_break(asked, refused))
        return json_response(_answer(asked, granted))

    return Route(ADDRESS, refusing(decide), methods=["POST"])


def _answer(asked: Mapping[str, Any], granted: set[str]) -> dict[str, object]:
    """Only what is asked for: whoever has a module is not told to a router that does not need to know."""
    context = _object(asked.get("context"))
    if asked["stage"] == HIVE_STAGE:
        return {"version": VERSION, "control": "continue", "context": _decided(context, (HIVE_KEY,), granted)}
    entries = _decided(_object(context.get("entries")), APOLLO_KEYS, granted)
    return {**_echo(asked), "control": "continue", "context": {"entries": entries}}


def _decided(context: Mapping[str, Any], keys: tuple[str, ...], granted: set[str]) -> dict[str, dict[str, bool]]:
    decided: dict[str, dict[str, bool]] = {}
    for key in keys:
        required = _object(context.get(key))
        if len(required) > POLICIES_MAX:
            raise bad_request(f"More than {POLICIES_MAX} policies.")
        if required:
            decided[key] = {policy: policy in granted for policy in required}
    return decided


def _break(asked: Mapping[str, Any], refused: Refused) -> dict[str, object]:
    """End the operation: a credential that is no good is not the same as none."""
    answer = {"control": {"break": refused.status}, "body": refused.payload()}
    if asked["stage"] == HIVE_STAGE:
        return {"version": VERSION, **answer, "headers": {"content-type": "application/json"}}
    return {**_echo(asked), **answer, "headers": {"content-type": ["application/json"]}}


def _echo(asked: Mapping[str, Any]) -> dict[str, object]:
    return {"version": VERSION, "stage": asked["stage"], "id": asked.get("id")}


def _authorization(asked: Mapping[str, Any]) -> str | None:
    """The client's own, among the headers that the router was told to include: a text, or a list of texts."""
    for name, value in _object(asked.get("headers")).items():
        if name.lower() == "authorization":
            first = value[0] if isinstance(value, list) and value else value
            return first if isinstance(first, str) else None
    return None


async def _read(request: Request) -> Mapping[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refused(status=413, code="PAYLOAD_TOO_LARGE", message=f"More than {BODY_BYTES_MAX} bytes.")
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        asked = None
    if not isinstance(asked, dict):
        raise bad_request("The body must be a JSON object.")
    return asked


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
