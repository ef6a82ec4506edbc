"""GraphQL over SSE: the bytes, the heartbeat, and what ends a stream."""

import asyncio
import time

import httpx
import pytest

from graph.limits import Limits
from tests.transport.probe import SECRET, Actor, running_server

pytestmark = pytest.mark.asyncio
HEADERS = {"accept": "text/event-stream", "content-type": "application/json"}
START = ":\n\n"
COMPLETE = "event: complete\ndata:\n\n"


async def read(url: str, query: str, *, method: str = "POST", token: str | None = None) -> httpx.Response:
    headers = HEADERS | ({"authorization": f"Bearer {token}"} if token else {})
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        if method == "GET":
            return await client.get(url, params={"query": query}, headers={"accept": headers["accept"]})
        return await client.post(url, json={"query": query}, headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_byte_for_byte(method: str) -> None:
    async with running_server(Limits()) as server:
        response = await read(server.url, "subscription { count(to: 2) }", method=method)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-accel-buffering"] == "no"
    events = 'event: next\ndata: {"data":{"count":1}}\n\nevent: next\ndata: {"data":{"count":2}}\n\n'
    assert response.text == START + events + COMPLETE


async def test_queries_and_mutations_stream_one_result() -> None:
    async with running_server(Limits()) as server:
        for query, data in (("{ hello }", '{"hello":"world"}'), ("mutation { touch }", '{"touch":1}')):
            response = await read(server.url, query)
            assert response.text == f'{START}event: next\ndata: {{"data":{data}}}\n\n{COMPLETE}'


async def test_a_mutation_by_get_is_refused() -> None:
    async with running_server(Limits()) as server:
        assert (await read(server.url, "mutation { touch }", method="GET")).status_code == 405
        assert server.log.touched == 0


async def test_a_client_that_prefers_json_still_gets_its_subscription() -> None:
    accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    async with running_server(Limits()) as server, httpx.AsyncClient(trust_env=False) as client:
        body = {"query": "subscription { count(to: 1) }"}
        response = await client.post(server.url, json=body, headers={"accept": accept})
        assert response.headers["content-type"].startswith("text/event-stream")


async def test_errors_of_the_operation_are_events_and_masked() -> None:
    async with running_server(Limits()) as server:
        invalid = await read(server.url, "subscription { nothing }")
        broken = await read(server.url, "subscription { breaks }")
    assert '"code":"GRAPHQL_VALIDATION_FAILED"' in invalid.text
    assert '"data":' not in invalid.text
    assert invalid.text.endswith(COMPLETE)
    assert broken.text.startswith(START + 'event: next\ndata: {"data":{"breaks":1}}\n\n')
    assert '"code":"INTERNAL"' in broken.text
    assert SECRET not in broken.text


async def test_refusals_before_the_operation_are_http() -> None:
    async with running_server(Limits()) as server:
        response = await read(server.url, "subscription { count(to: 1) }", token="nonsense")
    assert (response.status_code, response.headers["content-type"]) == (401, "application/json; charset=utf-8")


async def test_heartbeats_and_a_prompt_end_when_the_client_leaves() -> None:
    async with running_server(Limits(heartbeat_seconds=0.05)) as server, asyncio.timeout(30):
        async with httpx.AsyncClient(trust_env=False) as client:
            body = {"query": "subscription { forever }"}
            async with client.stream("POST", server.url, json=body, headers=HEADERS) as response:
                seen = ""
                async for text in response.aiter_text():
                    seen += text
                    if seen.count(":\n\n") >= 3:
                        break
        await server.log.closed.wait()
    assert seen.replace(START, "") == 'event: next\ndata: {"data":{"forever":1}}\n\n'


async def test_a_stream_ends_with_its_token() -> None:
    actors = {"short": Actor("bob", expires_at=time.time() + 2)}
    async with running_server(Limits(), actors=actors) as server, asyncio.timeout(30):
        response = await read(server.url, "subscription { forever }", token="short")
        await server.log.closed.wait()
    error = '{"errors":[{"message":"token expired","extensions":{"code":"UNAUTHENTICATED"}}]}'
    assert response.text.endswith(f"event: next\ndata: {error}\n\n{COMPLETE}")
