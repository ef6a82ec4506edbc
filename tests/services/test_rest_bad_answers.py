"""Services that answer what they should not, hang, or hold on to connections: nobody but their own callers notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio
from starlette.types import Message

from app.proxy.exchange import Answering, RequestBody
from app.proxy.places import OF_MODULE_MAX, OF_ORGANIZATION_MAX, Places
from app.transport.refusal import Refused
from tests.services.rest import Served, code_of
from tests.services.services import becomes, module_with_key, register_instance
from tests.support.platform import Platform
from tests.support.stories import admin_of, assign, sign_up

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n"
ANSWERS = {
    "/health": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "/switch": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nmore",
    "/both-short": CHUNKED + b"content-length: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "/both-long": CHUNKED + b"content-length: 9999\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "/two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nhello",
    "/longer": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello",
    "/no-http": b"220 mail.example.com ESMTP\r\n",
    "/endless-head": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000,
    "/origin": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-accel-redirect: /etc/passwd\r\nX-Sendfile: /etc/passwd\r\n"
    b"strict-transport-security: max-age=9\r\nnel: {}\r\nreport-to: {}\r\n"
    b"service-worker-allowed: /\r\nx-own: 1\r\n\r\n",
}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    answer = ANSWERS.get(head.split(b" ")[1].decode())
    if answer is None:
        await reader.read()  # hangs until the other side gives up
    else:
        writer.write(answer)
    writer.close()


@asynccontextmanager
async def _misbehaving(platform: Platform) -> AsyncIterator[Served]:
    module, key = await module_with_key(platform)
    organization = await sign_up(platform)
    await assign(platform, organization, module)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    try:
        instance = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await register_instance(platform, key, module, instance)
        await becomes(platform, module, {instance: "HEALTHY"}, seconds=5)
        yield Served(platform, module, key, None, instance, organization)  # type: ignore[arg-type]
    finally:
        server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def misbehaving(probing: Platform) -> AsyncIterator[Served]:
    async with _misbehaving(probing) as served:
        yield served


@pytest.mark.parametrize("path", ["/switch", "/two-lengths", "/no-http", "/endless-head"])
async def test_what_is_no_answer_is_a_bad_gateway(misbehaving: Served, path: str) -> None:
    assert code_of(await misbehaving.get(path)) == (502, "BAD_GATEWAY")


@pytest.mark.parametrize("path", ["/both-short", "/both-long"])
async def test_a_length_beside_chunks_is_not_believed(misbehaving: Served, path: str) -> None:
    response = await misbehaving.get(path)
    assert (response.status_code, response.content) == (200, b"hello")
    assert "content-length" not in response.headers


async def test_what_comes_after_the_end_does_not_pass(misbehaving: Served) -> None:
    try:
        content = (await misbehaving.get("/longer")).content
    except httpx.RemoteProtocolError:
        content = b"he"
    assert content == b"he"


async def test_what_is_for_the_whole_origin_or_for_proxies_does_not_pass(misbehaving: Served) -> None:
    response = await misbehaving.get("/origin")
    shown = {name for name in response.headers if name not in ("date", "x-request-id")}
    assert shown == {"content-length", "content-security-policy", "x-content-type-options", "x-own"}


async def test_who_hangs_takes_nobody_elses_place(misbehaving: Served, served: Served) -> None:
    """An organization that waits for a module does not have all of it, nor any of another's."""
    other = await sign_up(misbehaving.platform)
    await assign(misbehaving.platform, other, misbehaving.module)
    third = await sign_up(misbehaving.platform)
    await assign(misbehaving.platform, third, misbehaving.module)
    url = misbehaving.url("/hang")
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(trust_env=False, timeout=30, limits=httpx.Limits(max_connections=None)) as client,
    ):
        waiting = [
            asyncio.create_task(client.get(url, headers={"authorization": f"Bearer {bearer}"}))
            for bearer in (misbehaving.bearer, admin_of(other))
            for _ in range(OF_ORGANIZATION_MAX)
        ]
        try:
            while (refused := await misbehaving.get("/no-http", bearer=admin_of(third))).status_code == 502:
                await asyncio.sleep(0.05)
            assert (*code_of(refused), refused.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
            assert not any(each.done() for each in waiting)
            assert (await served.get("/x")).status_code == 200
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        while code_of(await misbehaving.get("/no-http")) != (502, "BAD_GATEWAY"):
            await asyncio.sleep(0.05)


def test_places_are_of_the_module_and_of_the_organization() -> None:
    places = Places()
    held = [places.taken(f"module-{number}", None) for number in range(OF_ORGANIZATION_MAX)]
    for each in held:
        each.__enter__()
    with pytest.raises(Refused) as refused, places.taken("another", None):
        pass
    assert refused.value.message == "50 requests of this organization are under way; try again."
    assert len(places) == OF_ORGANIZATION_MAX + 1
    for each in held:
        each.__exit__(None, None, None)
    assert len(places) == 0
    assert OF_MODULE_MAX == 2 * OF_ORGANIZATION_MAX


async def _never() -> Message:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_a_body_that_does_not_come_is_given_up() -> None:
    body = RequestBody(_never, [(b"content-length", b"5")], seconds=0.05)
    with pytest.raises(Refused) as refused:
        await anext(body.chunks())
    assert (refused.value.status, refused.value.code) == (408, "TIMEOUT")


async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await _never()

    answering = Answering(send, b"r-1", seconds=0.05)
    with pytest.raises(TimeoutError):
        await answering.relay(httpx.Response(200, stream=_Once()))
    assert answering.has_begun


class _Once(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"
