"""REST beside the graph: who gets through to a module's service, and what passes on the way there and back."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from auth.actor import Role
from tests.services.rest import Echo, Served, code_of
from tests.services.services import becomes, call_instance, module_with_key, register_instance, serving
from tests.support.platform import KEY, Platform, token
from tests.support.stories import admin_of, assign, create_company, register, sign_up, unassign, unique

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_request_passes_as_it_is(served: Served) -> None:
    company = await create_company(served.platform, served.organization)
    bearer = token(Role.COMPANY_ADMIN, organization=served.organization, company=company, subject="ada")
    sent = {
        "accept": "text/x",
        "content-type": "text/y",
        "traceparent": TRACE,
        "tracestate": "a=b",
        "x-request-id": "r-1",
    }
    response = await served.get(
        "/invoices/a%20b;v=1/100%25?q=%2F&r", bearer=bearer, method="PATCH", content=b"body", headers=sent
    )
    assert response.status_code == 200
    said = response.json()
    assert (said["method"], said["path"], said["query"]) == ("PATCH", "/invoices/a%20b;v=1/100%25", "q=%2F&r")
    assert said["sha256"] == hashlib.sha256(b"body").hexdigest()
    headers = dict(said["headers"])
    assert len(headers) == len(said["headers"])
    claims = jwt.decode(
        headers.pop("x-modplane-identity"),
        KEY.public_key(),
        algorithms=["EdDSA"],
        audience=f"modplane:subgraph:{served.module}",
    )
    assert (claims["sub"], claims["org"], claims["company"]) == ("ada", served.organization, company)
    assert served.module in claims["modules"]
    for name in ("accept-encoding", "user-agent"):
        headers.pop(name)
    assert headers == {
        "host": served.instance.removeprefix("http://"),
        "accept": "text/x",
        "content-type": "text/y",
        "content-length": "4",
        "x-forwarded-prefix": f"/api/v1/{served.module}",
        "traceparent": TRACE,
        "tracestate": "a=b",
        "x-request-id": "r-1",
    }
    assert response.headers["x-request-id"] == "r-1"


async def test_what_is_not_for_the_service_does_not_pass(served: Served) -> None:
    dropped = {
        "cookie": "a=b",
        "x-modplane-identity": "forged",
        "x_modplane_identity": "forged",
        "X-Modplane-Gateway": "forged",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "proxy-authorization": "Basic x",
        "te": "trailers",
        "upgrade": "h2c",
        "connection": "x-private, upgrade",
        "x-private": "1",
        "expect": "nothing",
        "traceparent": "nonsense",
        "tracestate": "a=b",
        "x-request-id": "two words",
    }
    said = (await served.get("/", headers=dropped)).json()
    headers = {name: [value for each, value in said["headers"] if each == name] for name, _ in said["headers"]}
    assert set(headers) == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "x-modplane-identity",
        "x-forwarded-prefix",
        "traceparent",
        "x-request-id",
    }
    assert all(len(values) == 1 for values in headers.values())
    assert "forged" not in str(headers)
    assert headers["traceparent"][0] != "nonsense"
    assert headers["x-request-id"][0] != "two words"


async def test_what_is_not_for_the_caller_does_not_pass(served: Served) -> None:
    response = await served.get("/cookie")
    assert (response.status_code, response.content) == (418, b"<script>")
    assert {name: value for name, value in response.headers.items() if name not in ("date", "x-request-id")} == {
        "content-type": "text/html; charset=utf-8",
        "content-length": "8",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PROPFIND"])
async def test_any_method_passes(served: Served, method: str) -> None:
    response = await served.get("/x", method=method)
    assert response.status_code == 200
    assert (response.content == b"") == (method == "HEAD")


async def test_the_method_that_would_show_the_identity_does_not(served: Served) -> None:
    assert code_of(await served.get("/traced", method="TRACE")) == (405, "METHOD_NOT_ALLOWED")
    assert "/traced" not in served.echo.asked


async def test_who_gets_through(served: Served) -> None:
    hidden = await register(served.platform, unique("hidden"), visibility="PRIVATE")
    stranger = admin_of(await sign_up(served.platform))
    before = len(served.echo.asked)
    not_there = {"errors": [{"message": "There is no such module.", "extensions": {"code": "NOT_FOUND"}}]}
    for module in ("no-such-module", hidden):
        response = await served.get("/x", module=module)
        assert (response.status_code, response.json()) == (404, not_there)
    response = await served.get("/x", bearer=stranger)
    assert (response.status_code, response.json()) == (
        403,
        {
            "errors": [
                {
                    "message": f"Your organization has no active module {served.module}.",
                    "extensions": {"code": "NOT_ENTITLED"},
                }
            ]
        },
    )
    assert code_of(await served.get("/x", bearer=None)) == (401, "UNAUTHENTICATED")
    assert code_of(await served.get("/x", bearer="nonsense")) == (401, "UNAUTHENTICATED")
    assert code_of(await served.get("/x", bearer=served.key)) == (403, "NOT_ENTITLED")
    assert len(served.echo.asked) == before
    assert (await served.get("/x", bearer=served.platform.admin)).status_code == 200


async def test_an_entitlement_that_ends_ends_an_answer_under_way(served: Served) -> None:
    organization = await sign_up(served.platform)
    await assign(served.platform, organization, served.module)
    headers = {"authorization": f"Bearer {admin_of(organization)}"}
    served.echo.ended.clear()
    ended_at = 0.0
    with pytest.raises(httpx.RemoteProtocolError):
        async with served.platform.client.stream("GET", served.url("/stream"), headers=headers) as response:
            async for _ in response.aiter_raw():
                if not ended_at:
                    await unassign(served.platform, organization, served.module)
                    ended_at = time.monotonic()
    assert time.monotonic() - ended_at < 4
    async with asyncio.timeout(20):
        await served.echo.ended.wait()


async def test_a_caller_that_leaves_ends_the_services_work(served: Served) -> None:
    served.echo.ended.clear()
    headers = {"authorization": f"Bearer {served.bearer}"}
    async with served.platform.client.stream("GET", served.url("/stream"), headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for chunk in response.aiter_raw():
            assert chunk == b"data: tick\n\n"
            break
    async with asyncio.timeout(20):
        await served.echo.ended.wait()


async def test_an_answer_that_breaks_off_does_not_look_whole(served: Served) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await served.get("/broken")


async def test_bodies_stream_and_are_bounded(served: Served) -> None:
    chunk = b"x" * 65_536

    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield chunk

    said = (await served.get("/up", method="POST", content=chunks(100))).json()
    assert (said["size"], said["sha256"]) == (6_553_600, hashlib.sha256(chunk * 100).hexdigest())
    for content in (chunks(161), chunk * 161):
        response = await served.get("/up", method="POST", content=content)
        assert code_of(response) == (413, "PAYLOAD_TOO_LARGE")


async def test_instances_take_turns_and_one_that_is_away_is_passed_over(probing: Platform) -> None:
    module, key = await module_with_key(probing)
    organization = await sign_up(probing)
    await assign(probing, organization, module)
    client, url = probing.client, probing.url.replace("/graphql", f"/api/v1/{module}/who")
    headers = {"authorization": f"Bearer {admin_of(organization)}"}
    response = await client.get(url, headers=headers)
    assert (*code_of(response), response.headers["retry-after"]) == (503, "MODULE_NOT_AVAILABLE", "5")
    first, second = Echo("first"), Echo("second")
    async with serving(first) as one:
        async with serving(second) as other:
            for each in (one, other):
                await register_instance(probing, key, module, each)
            await becomes(probing, module, {one: "HEALTHY", other: "HEALTHY"}, seconds=5)
            await asyncio.sleep(1.1)
            names = [(await client.get(url, headers=headers)).json()["name"] for _ in range(6)]
            assert names in (["first", "second"] * 3, ["second", "first"] * 3)
        names = [(await client.get(url, headers=headers)).json()["name"] for _ in range(3)]
        assert names == ["first"] * 3
        await call_instance(probing, "deregister", key, module=module, url=one)
        await call_instance(probing, "deregister", key, module=module, url=other)
        await asyncio.sleep(1.1)
        assert code_of(await client.get(url, headers=headers)) == (503, "MODULE_NOT_AVAILABLE")
