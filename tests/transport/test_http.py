"""GraphQL over HTTP, through a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from graph.limits import Limits
from tests.transport.probe import SECRET, Server, running_server

pytestmark = pytest.mark.asyncio
RESPONSE_JSON = "application/graphql-response+json"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[Server]:
    async with running_server(Limits()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as opened:
        yield opened


async def post(client: httpx.AsyncClient, server: Server, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"content-type": "application/json", "accept": RESPONSE_JSON, **named}
    return await client.post(server.url, content=content, headers=sent)


def code(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    assert "data" not in response.json()
    found: str = error["extensions"]["code"]
    return found


async def test_a_query_by_post(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, {"query": "{ hello whoami }"})
    assert (response.status_code, response.json()) == (200, {"data": {"hello": "world", "whoami": "anonymous"}})
    assert response.headers["content-type"] == f"{RESPONSE_JSON}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (RESPONSE_JSON, RESPONSE_JSON),
        (f"application/json, {RESPONSE_JSON}", RESPONSE_JSON),
        (f"application/json, {RESPONSE_JSON};q=0.9", "application/json"),
        (f"{RESPONSE_JSON};q=0, */*", "application/json"),
        ("application/json;q=0, */*", RESPONSE_JSON),
        ("application/json;charset=utf-8", "application/json"),
        (f"{RESPONSE_JSON}, application/json, text/event-stream, multipart/mixed", RESPONSE_JSON),
    ],
)
async def test_the_answer_has_the_type_the_client_prefers(
    client: httpx.AsyncClient, server: Server, accept: str | None, expected: str
) -> None:
    request = client.build_request(
        "POST", server.url, content=b'{"query":"{hello}"}', headers={"content-type": "application/json"}
    )
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    response = await client.send(request)
    assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, expected)


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "application/json;q=0", "x" * 2000])
async def test_other_types_are_not_acceptable(client: httpx.AsyncClient, server: Server, accept: str) -> None:
    response = await post(client, server, {"query": "{hello}"}, accept=accept)
    assert (response.status_code, code(response)) == (406, "NOT_ACCEPTABLE")


async def test_a_query_by_get(client: httpx.AsyncClient, server: Server) -> None:
    parameters = {
        "query": "query A($n: [Int!]!) { total(numbers: $n) } query B { hello }",
        "variables": '{"n":[1,2]}',
        "operationName": "A",
        "extensions": "{}",
    }
    response = await client.get(server.url, params=parameters, headers={"accept": RESPONSE_JSON})
    assert (response.status_code, response.json()) == (200, {"data": {"total": 3}})


async def test_a_mutation_by_get_is_refused_and_does_nothing(client: httpx.AsyncClient, server: Server) -> None:
    response = await client.get(server.url, params={"query": "mutation { touch }"})
    assert (response.status_code, response.headers["allow"], code(response)) == (405, "POST", "METHOD_NOT_ALLOWED")
    assert server.log.touched == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, server: Server, method: str) -> None:
    response = await client.request(method, server.url)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST, OPTIONS")
    assert code(response) == "METHOD_NOT_ALLOWED"


async def test_options_names_the_methods(client: httpx.AsyncClient, server: Server) -> None:
    response = await client.options(server.url)
    assert (response.status_code, response.headers["allow"]) == (204, "GET, POST, OPTIONS")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json; charset=utf-16", ""],
)
async def test_only_json_in_utf_8_is_read(client: httpx.AsyncClient, server: Server, content_type: str) -> None:
    response = await post(client, server, {"query": "mutation { touch }"}, content_type=content_type)
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert server.log.touched == 0


async def test_compressed_bodies_are_refused(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, b"\x1f\x8b", content_encoding="gzip")
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "BAD_REQUEST"),
        (b"{", "BAD_REQUEST"),
        (b'{"query":"{hello}\xff"}', "BAD_REQUEST"),
        (b"null", "BAD_REQUEST"),
        (b"[]", "BATCHING_NOT_SUPPORTED"),
        (b'[{"query":"{hello}"}]', "BATCHING_NOT_SUPPORTED"),
        (b"{}", "BAD_REQUEST"),
        (b'{"query":""}', "BAD_REQUEST"),
        (b'{"query":1}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":[]}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":"{}"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","operationName":1}', "BAD_REQUEST"),
        (b'{"query":"{hello}","extensions":"x"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":NaN}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":1e999}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":"\\u0000"}}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","variables":{"a\\u0000":1}}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","variables":{"a":[{"b":"\\u0000"}]}}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","variables":{"a":"\\ud800"}}', "BAD_USER_INPUT"),
        (b'{"query":"{hello}","variables":{"a":"\\udc00\\ud800"}}', "BAD_USER_INPUT"),
    ],
)
@pytest.mark.parametrize("accept", [RESPONSE_JSON, "application/json"])
async def test_malformed_requests(
    client: httpx.AsyncClient, server: Server, body: bytes, expected: str, accept: str
) -> None:
    response = await post(client, server, body, accept=accept)
    assert (response.status_code, code(response)) == (400, expected)


@pytest.mark.parametrize("query_string", ["", "variables={}", "query={hello}&variables=[", "query=%ff", "a&" * 30])
async def test_malformed_urls(client: httpx.AsyncClient, server: Server, query_string: str) -> None:
    response = await client.get(f"{server.url}?{query_string}")
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_nesting_of_json_at_the_boundary(client: httpx.AsyncClient, server: Server) -> None:
    def nested(depth: int) -> bytes:  # the body and `variables` are the first two levels
        value = "[" * (depth - 2) + "]" * (depth - 2)
        return f'{{"query":"query($v:JSON!){{echo(value:$v)}}","variables":{{"v":{value}}}}}'.encode()

    assert (await post(client, server, nested(64))).status_code == 200
    for depth in (65, 100_000):
        response = await post(client, server, nested(depth))
        assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_brackets_inside_strings_are_not_nesting(client: httpx.AsyncClient, server: Server) -> None:
    text = '\\"' + "[{" * 500
    body = {"query": "query($v:JSON!){echo(value:$v)}", "variables": {"v": text}}
    assert (await post(client, server, body)).json() == {"data": {"echo": text}}


async def test_numbers_beyond_64_bits_are_kept_as_json_keeps_them(client: httpx.AsyncClient, server: Server) -> None:
    body = b'{"query":"query($v:JSON!){echo(value:$v)}","variables":{"v":123456789012345678901234567890}}'
    response = await post(client, server, body)
    assert (response.status_code, response.json()) == (200, {"data": {"echo": 1.2345678901234568e29}})
    assert (await post(client, server, {"query": "{echo(value: 123456789012345678901234567890)}"})).status_code < 500


async def test_the_last_of_duplicate_keys_counts(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, b'{"query":"{nothing}","query":"{hello}"}')
    assert response.json() == {"data": {"hello": "world"}}


async def test_lists_in_variables_at_the_boundary(client: httpx.AsyncClient, server: Server) -> None:
    for size, status in ((1_000, 200), (1_001, 400)):
        body = {"query": "query($n:[Int!]!){total(numbers:$n)}", "variables": {"n": [1] * size}}
        response = await post(client, server, body)
        assert response.status_code == status
    assert code(response) == "BAD_USER_INPUT"


async def test_representations_at_the_boundary(client: httpx.AsyncClient, server: Server) -> None:
    for size, status in ((1_000, 200), (1_001, 400)):
        body = {"query": "query($r:[JSON!]!){_entities(representations:$r)}", "variables": {"r": [{}] * size}}
        assert (await post(client, server, body)).status_code == status


async def test_bodies_at_the_boundary(client: httpx.AsyncClient, server: Server) -> None:
    for size, status in ((262_144, 200), (262_145, 413), (300_000, 413), (3_000_000, 413)):
        response = await post(client, server, b'{"query":"{hello}"}'.ljust(size))
        assert response.status_code == status
    assert (code(response), response.json()["errors"][0]["extensions"]["limit"]) == ("PAYLOAD_TOO_LARGE", 262_144)


async def test_chunked_bodies_are_bounded_too(client: httpx.AsyncClient, server: Server) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536
            await asyncio.sleep(0)

    # The server stops reading and closes: the client sees either the answer or a broken pipe, and never sends for ever.
    async with asyncio.timeout(30):
        try:
            headers = {"content-type": "application/json"}
            response = await client.post(server.url, content=endless(), headers=headers)
        except httpx.TransportError:
            pass
        else:
            assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")
    assert sent < 30_000_000

    async def modest() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 60_000

    response = await client.post(server.url, content=modest(), headers={"content-type": "application/json"})
    assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async with running_server(Limits(body_seconds=0.2)) as server:
        host, port = server.url.removeprefix("http://").removesuffix("/graphql").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"REQUEST_TIMEOUT" in answer


@pytest.mark.parametrize("query", ["{", "{ nothing }", "query($n:Int!){things(first:$n){name}}"])
async def test_request_errors_are_400_unless_the_client_knows_only_json(
    client: httpx.AsyncClient, server: Server, query: str
) -> None:
    response = await post(client, server, {"query": query})
    assert response.status_code == 400
    assert "data" not in response.json()
    assert (await post(client, server, {"query": query}, accept="application/json")).status_code == 200


async def test_an_unknown_operation_name(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, {"query": "query A { hello }", "operationName": "B"})
    assert (response.status_code, code(response)) == (400, "OPERATION_RESOLUTION_FAILURE")


async def test_a_null_that_bubbles_up_is_data(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, {"query": "{ fails }"})
    assert (response.status_code, response.json()["data"]) == (200, None)
    assert SECRET not in response.text


async def test_tokens(client: httpx.AsyncClient, server: Server) -> None:
    known = await post(client, server, {"query": "{whoami}"}, authorization="bearer alice-token")
    assert known.json() == {"data": {"whoami": "alice"}}
    for header in ("Bearer nonsense", "Bearer", "Basic YTpi"):
        refused = await post(client, server, {"query": "{whoami}"}, authorization=header)
        assert (refused.status_code, code(refused)) == (401, "UNAUTHENTICATED")
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_fault_in_authentication_is_masked(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, {"query": "{whoami}"}, authorization="Bearer crash")
    assert (response.status_code, code(response)) == (500, "INTERNAL")
    assert SECRET not in response.text


async def test_the_deadline(client: httpx.AsyncClient) -> None:
    async with running_server(Limits(execution_seconds=0.3)) as server:
        response = await post(client, server, {"query": "{ slow }"})
        assert (response.status_code, code(response)) == (504, "TIMEOUT")
        assert server.log.cancelled.is_set()


async def test_a_client_that_hangs_up_cancels_its_query(client: httpx.AsyncClient) -> None:
    async with running_server(Limits()) as server:
        request = asyncio.create_task(post(client, server, {"query": "{ slow }"}))
        async with asyncio.timeout(30):
            await server.log.started.wait()
            request.cancel()
            await server.log.cancelled.wait()


async def test_subscriptions_are_told_where_to_go(client: httpx.AsyncClient, server: Server) -> None:
    response = await post(client, server, {"query": "subscription { count(to: 1) }"})
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


async def test_a_browser_gets_a_page_that_runs_only_its_own_script(client: httpx.AsyncClient, server: Server) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
    response = await client.get(server.url, headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert response.text.startswith("<!doctype html>")
