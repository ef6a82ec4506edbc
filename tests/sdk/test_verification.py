"""Who is let in: what platform and gateway have signed, and nothing else."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from modplane_sdk.identity import IDENTITY_HEADER, PASSAGE_HEADER, body_hash
from modplane_sdk.keys import Signer
from modplane_sdk.middleware import Doors, is_sdl_query
from modplane_sdk.service import create_app
from modplane_sdk.testing import LocalPlatform, served
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.sdk.modules import billing

ORGANIZATION = "01a1b2c3-0000-7000-8000-000000000001"
QUERY = json.dumps({"query": "{ billingCaller }"}).encode()
SERVED = {"data": {"billingCaller": f"tester of {ORGANIZATION}"}}
PLATFORM = LocalPlatform("billing")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with (
        served(create_app(billing, PLATFORM)) as running,
        httpx.Client(base_url=running.url, timeout=30, trust_env=False) as client,
    ):
        yield client


def passed_on(body: bytes = QUERY, **identity: Any) -> dict[str, str]:
    return PLATFORM.headers(PLATFORM.identity(ORGANIZATION, **identity), body)


def code_of(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    found: str = error["extensions"]["code"]
    return found


def test_what_the_gateway_passes_on_is_served_for_its_caller(client: httpx.Client) -> None:
    assert client.post("/graphql", content=QUERY, headers=passed_on()).json() == SERVED


def test_a_padded_hash_is_a_hash(client: httpx.Client) -> None:
    claims: dict[str, object] = {"body_sha256": body_hash(QUERY) + "=", "jti": str(uuid4())}
    headers = {**passed_on(), PASSAGE_HEADER: PLATFORM.sign(Signer.GATEWAY, claims, seconds=30)}
    assert client.post("/graphql", content=QUERY, headers=headers).json() == SERVED


def gateway_token(**claims: object) -> str:
    good: dict[str, object] = {"body_sha256": body_hash(QUERY), "jti": str(uuid4())}
    return PLATFORM.sign(Signer.GATEWAY, {**good, **claims}, seconds=30)


def identity_token(signer: Signer = Signer.PLATFORM, **claims: object) -> str:
    good: dict[str, object] = {"sub": "tester", "roles": ["MEMBER"], "org": ORGANIZATION, "modules": ["billing"]}
    return PLATFORM.sign(signer, {"iss": "modplane", **good, **claims}, seconds=60)


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"platform"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def with_shared_secret(token: str) -> str:
    """HS256, as if the public key were a secret: the algorithm is not the token's to say."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "platform"})


# Made when they are sent: the suite may come to them long after it was collected.
def now() -> int:
    return int(time.time())


WRONG_PASSAGES: dict[str, tuple[Callable[[], dict[str, object]], str]] = {
    "of another body": (lambda: {"body_sha256": body_hash(b"{}")}, "BODY_CHANGED"),
    "of no body": (lambda: {"body_sha256": None}, "UNAUTHENTICATED"),
    "without an id": (lambda: {"jti": None}, "UNAUTHENTICATED"),
    "for another module": (lambda: {"aud": "modplane:subgraph:crm"}, "UNAUTHENTICATED"),
    "for the platform": (lambda: {"aud": "modplane"}, "UNAUTHENTICATED"),
    "of another issuer": (lambda: {"iss": "modplane"}, "UNAUTHENTICATED"),
    "expired": (lambda: {"iat": now() - 200, "exp": now() - 100}, "EXPIRED"),
    "from the future": (lambda: {"iat": now() + 600, "exp": now() + 630}, "UNAUTHENTICATED"),
    "good for an hour": (lambda: {"exp": now() + 3600}, "UNAUTHENTICATED"),
}
WRONG_IDENTITIES: dict[str, Callable[[], str]] = {
    "signed by the gateway": lambda: identity_token(Signer.GATEWAY),
    "for another module": lambda: identity_token(aud="modplane:subgraph:crm"),
    "a bearer token": lambda: identity_token(aud="modplane"),
    "of another issuer": lambda: identity_token(iss="modplane-gateway"),
    "unsigned": lambda: unsigned(identity_token()),
    "signed with a secret": lambda: with_shared_secret(identity_token()),
    "of another platform": lambda: LocalPlatform("billing").identity(ORGANIZATION),
    "no token": lambda: "x.y.z",
    "with an organization that is a number": lambda: identity_token(org=7),
    "with modules in a text": lambda: identity_token(modules="billing"),
    "too long": lambda: identity_token(padding="x" * 20_000),
}


@pytest.mark.parametrize("name", WRONG_PASSAGES)
def test_a_wrong_passage_is_refused(client: httpx.Client, name: str) -> None:
    claims, code = WRONG_PASSAGES[name]
    headers = {**passed_on(), PASSAGE_HEADER: gateway_token(**claims())}
    response = client.post("/graphql", content=QUERY, headers=headers)
    assert (response.status_code, code_of(response)) == (401, code)


@pytest.mark.parametrize("name", WRONG_IDENTITIES)
def test_a_wrong_identity_is_refused(client: httpx.Client, name: str) -> None:
    headers = {**passed_on(), IDENTITY_HEADER: WRONG_IDENTITIES[name]()}
    response = client.post("/graphql", content=QUERY, headers=headers)
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")


def test_an_expired_identity_says_so(client: httpx.Client) -> None:
    headers = {**passed_on(), IDENTITY_HEADER: identity_token(iat=now() - 200, exp=now() - 100)}
    assert code_of(client.post("/graphql", content=QUERY, headers=headers)) == "EXPIRED"


def test_a_passage_is_good_once(client: httpx.Client) -> None:
    headers = passed_on()
    answers = [client.post("/graphql", content=QUERY, headers=headers) for _ in range(2)]
    assert answers[0].json() == SERVED
    assert (answers[1].status_code, code_of(answers[1])) == (401, "REPLAYED")


@pytest.mark.parametrize(("late", "status"), [(20, 200), (40, 401)])
def test_clocks_may_differ_by_half_a_minute(client: httpx.Client, late: int, status: int) -> None:
    """Either way, and a passage is remembered for as long as it would be taken."""
    for made_at in (now() - 30 - late, now() + late):
        times: dict[str, Any] = {"iat": made_at, "exp": made_at + 30}
        headers = {**passed_on(), PASSAGE_HEADER: gateway_token(**times), IDENTITY_HEADER: identity_token(**times)}
        answers = [client.post("/graphql", content=QUERY, headers=headers).status_code for _ in range(2)]
        assert answers == [status, 401]


def test_a_header_that_comes_twice_is_refused(client: httpx.Client) -> None:
    good = passed_on()
    headers = [*good.items(), (IDENTITY_HEADER, PLATFORM.identity(str(uuid4())))]
    assert client.post("/graphql", content=QUERY, headers=headers).status_code == 401


def test_nothing_of_one_request_is_left_for_the_next(client: httpx.Client) -> None:
    assert client.post("/graphql", content=QUERY, headers=passed_on()).json() == SERVED
    body = json.dumps({"query": "{ _service { sdl } }"}).encode()
    sdl = {"data": {"_service": {"sdl": billing.schema.as_str()}}}
    assert client.post("/graphql", content=body, headers={"content-type": "application/json"}).json() == sdl
    other = str(uuid4())
    headers = PLATFORM.headers(PLATFORM.identity(other, subject="somebody"), QUERY)
    answer = client.post("/graphql", content=QUERY, headers=headers).json()
    assert answer == {"data": {"billingCaller": f"somebody of {other}"}}


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        ({"query": "{ _service { sdl } }"}, True),
        ({"query": "query Sdl{_service{sdl}}"}, True),
        ({"query": "{ _service { sdl } billingCaller }"}, False),
        ({"query": "{ _service { sdl } } { billingCaller }"}, False),
        ({"query": "{ _service { sdl } } query Other { billingCaller }", "operationName": "Other"}, False),
        ({"query": "mutation { _service { sdl } }"}, False),
        ([{"query": "{ _service { sdl } }"}], False),
        ({"query": None}, False),
    ],
)
def test_only_the_query_for_the_sdl_is_open(body: Any, is_one: bool) -> None:
    assert is_sdl_query(json.dumps(body).encode()) is is_one


def test_nothing_is_done_for_an_address(client: httpx.Client) -> None:
    response = client.get("/graphql", params={"query": "{ billingCaller }"}, headers=passed_on(b""))
    assert (response.status_code, response.headers["allow"], code_of(response)) == (405, "POST", "METHOD_NOT_ALLOWED")


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 1024 * 1024

    try:
        response = client.post("/graphql", content=endless(), headers=passed_on())
    except httpx.TransportError:
        return  # it hung up on us while we were sending
    assert (response.status_code, code_of(response)) == (413, "PAYLOAD_TOO_LARGE")


def test_the_health_path_is_open_and_no_other(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok", "version": "1.0.0"}
    assert [client.get(path).status_code for path in ("/", "/docs", "/openapi.json", "/health/", "/caller")] == [
        401
    ] * 5


def test_the_health_path_is_open_for_looking_only(client: httpx.Client) -> None:
    answers = [client.request(method, "/health").status_code for method in ("HEAD", "POST", "PUT", "OPTIONS")]
    assert answers == [405, 401, 401, 401]  # the first is the application's own


@pytest.mark.parametrize("health", ["/graphql", "/graphql/", "/modplane/hooks/pre_install", "health", "/up?deep", ""])
def test_a_health_path_that_would_open_another_door_is_refused(health: str) -> None:
    with pytest.raises(ValueError, match="health_check"):
        Doors(health=health)


@pytest.mark.parametrize(
    "path", ["/graphql%0a", "/graphql%0A%0A", "/caller%0a", "/modplane/hooks/pre_install%0a", "/%00"]
)
def test_a_path_with_a_control_character_leads_nowhere(client: httpx.Client, path: str) -> None:
    """The router takes /graphql and a line feed for /graphql: an identity alone would do there."""
    headers = {IDENTITY_HEADER: PLATFORM.identity(ORGANIZATION), "content-type": "application/json"}
    response = client.post(path, content=QUERY, headers=headers)
    assert (response.status_code, code_of(response)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "path", ["/graphql/", "/graphql//", "//graphql", "/GraphQL", "/./graphql", "/graphql;x", "/graphql%2f"]
)
def test_no_other_spelling_of_a_path_gets_past_the_passage(client: httpx.Client, path: str) -> None:
    headers = {IDENTITY_HEADER: PLATFORM.identity(ORGANIZATION), "content-type": "application/json"}
    assert client.post(path, content=QUERY, headers=headers).status_code in {401, 404}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "QUERY"])
def test_only_post_gets_to_graphql_and_hooks(client: httpx.Client, method: str) -> None:
    for path in ("/graphql", "/modplane/hooks/pre_install"):
        assert client.request(method, path, content=QUERY, headers=passed_on()).status_code == 405


def test_the_platforms_rest_proxy_needs_no_passage(client: httpx.Client) -> None:
    headers = {IDENTITY_HEADER: PLATFORM.identity(ORGANIZATION)}
    assert client.get("/caller", headers=headers).json() == {"subject": "tester"}


def test_a_hook_answers_whether_it_is_against_it(client: httpx.Client) -> None:
    said = {version: call_hook(client, "pre_install", {"version": version}).json() for version in ("1.0.0", "1.0.1")}
    assert said == {
        "1.0.0": {"allowed": False, "reason": "not on a Friday"},
        "1.0.1": {"allowed": True, "reason": None},
    }


def test_a_hook_that_is_not_there_agrees_and_a_name_that_is_none_does_not(client: httpx.Client) -> None:
    assert call_hook(client, "on_enable", {}).json() == {"allowed": True, "reason": None}
    response = call_hook(client, "pre_everything", {})
    assert (response.status_code, code_of(response)) == (404, "NOT_FOUND")


def test_a_veto_after_the_fact_is_a_fault(client: httpx.Client) -> None:
    response = call_hook(client, "post_install", {})
    assert (response.status_code, code_of(response)) == (500, "INTERNAL")


def test_a_hook_is_the_platforms_to_call_and_not_the_gateways(client: httpx.Client) -> None:
    response = call_hook(client, "pre_install", {"version": "1.0.0"}, Signer.GATEWAY)
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")


def test_a_hook_that_nobody_signed_is_not_run(client: httpx.Client) -> None:
    response = client.post("/modplane/hooks/pre_install", json={"version": "1.0.1"})
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")
    headers = {IDENTITY_HEADER: PLATFORM.identity(None, roles=("SUPER_ADMIN",))}
    response = client.post("/modplane/hooks/pre_install", json={"version": "1.0.1"}, headers=headers)
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")


def call_hook(
    client: httpx.Client, name: str, call: dict[str, Any], signer: Signer = Signer.PLATFORM
) -> httpx.Response:
    body = json.dumps(call).encode()
    headers = PLATFORM.headers(PLATFORM.identity(ORGANIZATION, roles=("SUPER_ADMIN",)), body, signer)
    return client.post(f"/modplane/hooks/{name}", content=body, headers=headers)


def test_a_caller_without_the_module_is_answered_null_and_why(client: httpx.Client) -> None:
    answer = client.post("/graphql", content=QUERY, headers=passed_on(modules=("crm",))).json()
    assert answer["data"] == {"billingCaller": None}
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "MODULE_NOT_ENTITLED", "module": "billing"}]


def test_a_fault_is_masked(client: httpx.Client) -> None:
    body = json.dumps({"query": "{ billingFault }"}).encode()
    response = client.post("/graphql", content=body, headers=passed_on(body))
    assert response.json()["data"] == {"billingFault": None}
    assert "secret" not in response.text


def test_a_stream_of_events_ends_its_lines_with_lf(client: httpx.Client) -> None:
    body = json.dumps({"query": "subscription { billingCallers }"}).encode()
    headers = {**passed_on(body), "accept": "text/event-stream"}
    text = client.post("/graphql", content=body, headers=headers).text
    assert "\r" not in text
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: {")]
    assert [event["data"] for event in events] == [{"billingCallers": "tester"}, {"billingCallers": ORGANIZATION}]


def subscribe(client: httpx.Client, *messages: dict[str, Any]) -> list[Any]:
    """What a socket answers: messages, at the end its close code."""
    url = str(client.base_url).replace("http", "ws").rstrip("/") + "/graphql"
    answers: list[Any] = []
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], open_timeout=10) as socket:
        try:
            for message in messages:
                socket.send(json.dumps(message))
            while True:
                answers.append(json.loads(socket.recv(timeout=10)))
                if answers[-1]["type"] == "complete":
                    return answers
        except ConnectionClosed as closed:
            return [*answers, closed.rcvd.code if closed.rcvd else None]


def init(body: bytes = b"", **identity: Any) -> dict[str, Any]:
    headers = passed_on(body, **identity)
    return {"type": "connection_init", "payload": {name: headers[name] for name in (IDENTITY_HEADER, PASSAGE_HEADER)}}


START = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { billingCallers }"}}


def test_a_socket_is_verified_by_its_first_message(client: httpx.Client) -> None:
    answers = subscribe(client, init(), START)
    assert [answer["type"] for answer in answers] == ["connection_ack", "next", "next", "complete"]
    assert answers[1]["payload"]["data"] == {"billingCallers": "tester"}


@pytest.mark.parametrize(
    "messages",
    [
        [START],
        [{"type": "connection_init"}, START],
        [{"type": "connection_init", "payload": {IDENTITY_HEADER: 1, PASSAGE_HEADER: []}}, START],
        [init(b"another body"), START],
        [{"type": "ping"}, init(), START],
    ],
    ids=["no init", "no payload", "no texts", "another body", "ping first"],
)
def test_a_socket_that_does_not_say_who_it_is_is_closed(client: httpx.Client, messages: list[dict[str, Any]]) -> None:
    assert subscribe(client, *messages) == [4403]


def test_a_socket_is_opened_once_by_a_passage(client: httpx.Client) -> None:
    first = init()
    assert len(subscribe(client, first, START)) == 4
    assert subscribe(client, first, START) == [4403]


def test_a_socket_elsewhere_is_not_opened(client: httpx.Client) -> None:
    with pytest.raises(Exception, match="403"):
        connect(str(client.base_url).replace("http", "ws").rstrip("/") + "/caller", open_timeout=10)
