"""The load generator against a server that behaves as told: what it counts, and what it takes for no answer."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import repeat

import pytest

from bench.compare.fanout import Audience, FanOut, Subscriber, frame
from bench.compare.fanout import measure as measure_fan_out
from bench.compare.load import ANSWERS_MIN, Target, WrongAnswer, measure, processor_seconds, send_all, tree_of
from bench.compare.operations import Tenant, post, request_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"data":{}}'
REQUEST = post("/graphql", b"{}")
Behave = Callable[[asyncio.StreamWriter, int], None]


@asynccontextmanager
async def served(behave: Behave) -> AsyncIterator[Target]:
    """A server that hands each request to `behave`, with its number."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                count += 1
                behave(writer, count)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target(ports=(server.sockets[0].getsockname()[1],), pids=(os.getpid(),))


def answer(writer: asyncio.StreamWriter, _: int) -> None:
    writer.write(OK)


async def test_a_window_counts_answers_and_processor_time() -> None:
    async with served(answer) as target:
        window = await measure(target, repeat(REQUEST), connections=3, seconds=0.3, warm_seconds=0.05)
    assert window.answers >= ANSWERS_MIN
    assert 0.3 <= window.seconds < 5
    # this process is server and client: it works all the time
    assert 0 < window.cpu_us <= window.seconds / window.answers * 1e6 * (os.cpu_count() or 1)
    assert 0 < window.p50_ms <= window.p99_ms


async def test_an_answer_may_come_in_pieces() -> None:
    def in_pieces(writer: asyncio.StreamWriter, _: int) -> None:
        loop = asyncio.get_running_loop()
        for number, piece in enumerate((OK[:10], OK[10:45], OK[45:])):
            loop.call_later(0.001 * number, writer.write, piece)

    async with served(in_pieces) as target:
        window = await measure(target, repeat(REQUEST), connections=2, seconds=0.2, warm_seconds=0.0)
    assert window.answers >= ANSWERS_MIN


@pytest.mark.parametrize(
    "body",
    [b'{"data":null,"errors":[{"message":"no"}]}', b'{"data":{"assignModule":{"errors":[{"code":"X"}]}}}'],
)
async def test_an_error_is_no_answer(body: bytes) -> None:
    def refuse_the_tenth(writer: asyncio.StreamWriter, number: int) -> None:
        wrong = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        writer.write(wrong if number == 10 else OK)

    async with served(refuse_the_tenth) as target:
        with pytest.raises(WrongAnswer, match="errors"):
            await measure(target, repeat(REQUEST), connections=2, seconds=5, warm_seconds=0.0)


async def test_another_status_is_no_answer_and_neither_is_a_hang_up() -> None:
    def fail(writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(OK.replace(b"200 OK", b"503 No"))

    def hang_up(writer: asyncio.StreamWriter, _: int) -> None:
        writer.close()

    for behave, says in ((fail, "503"), (hang_up, "hung up")):
        async with served(behave) as target:
            with pytest.raises(WrongAnswer, match=says):
                await send_all(target, iter([REQUEST] * 5), connections=1)


async def test_requests_that_end_are_sent_once_each_and_end_the_window() -> None:
    seen: list[int] = []

    def note(writer: asyncio.StreamWriter, number: int) -> None:
        seen.append(number)
        writer.write(OK)

    async with served(note) as target:
        window = await measure(target, iter([REQUEST] * 50), connections=4, seconds=30, warm_seconds=0.0)
        assert len(seen) == 50
        # what came while others were still connecting is not counted
        assert 0 < window.answers <= 50
        with pytest.raises(ValueError, match="larger data set"):
            await measure(target, iter([]), connections=1, seconds=30, warm_seconds=0.0)


async def test_a_server_s_children_are_counted_with_it() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "30")
    try:
        assert process.pid in tree_of(os.getpid())
        assert processor_seconds([os.getpid()]) > processor_seconds([process.pid])
    finally:
        process.kill()
        await process.wait()


def test_only_the_product_is_sent_a_token() -> None:
    tenant = Tenant(id="0190", header=b"authorization: Bearer x\r\n")
    with_token, without = (request_of("nested", tenant, has_token=each) for each in (True, False))
    assert with_token.replace(tenant.header, b"") == without
    assert without.endswith(b'"variables":{"id":"0190"}}')


async def test_a_fan_out_is_over_when_every_subscriber_has_heard_every_event() -> None:
    """The server is the limit of the benchmark, in this process."""
    from bench.compare.limits import frames  # noqa: PLC0415

    server = await asyncio.get_running_loop().create_server(frames.Connection, "127.0.0.1", 0)
    text = b'{"id":"1","type":"next","payload":' + b"1" * 300 + b"}"

    async def publish() -> None:
        frames.publish(text)

    async with server:
        target = Target(ports=(server.sockets[0].getsockname()[1],), pids=(os.getpid(),))
        found = await measure_fan_out(target, publish, subscribers=20, events=3, token="t", organization="o")
    assert (found.frames, found.text) == (60, text)
    assert isinstance(found, FanOut)


async def test_a_subscriber_reads_frames_wherever_they_are_cut() -> None:
    audience = Audience(count=3)
    subscriber = Subscriber(audience, token="t", organization="o")
    short, long = (b'{"type":"next","id":"1","payload":' + b"2" * size + b"}" for size in (3, 70_000))
    stream = b"".join(
        b"\x81" + (bytes([len(each)]) if len(each) < 126 else b"\x7f" + len(each).to_bytes(8, "big")) + each
        for each in (short, long, short)
    )
    subscriber._is_open = True
    for at in range(0, len(stream), 999):
        subscriber.data_received(stream[at : at + 999])
    assert audience.heard == 3
    assert audience.everybody.is_set()
    assert frame(b"x" * 200)[:4] == b"\x81\xfe\x00\xc8"
