"""Answers as bytes on a connection: an answer by one write must be what the ordinary way would have sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from graph.limits import Limits
from tests.transport.probe import running_server

pytestmark = pytest.mark.asyncio
SECONDS = 20.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    async with running_server(Limits()) as server, asyncio.timeout(SECONDS):
        host, _, port = server.url.removeprefix("http://").partition("/")[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield reader, writer
        finally:
            writer.close()


def request_for(value: str, *, version: str = "1.1", more: str = "") -> bytes:
    sent = {"query": "query($value: JSON!) { echo(value: $value) }", "variables": {"value": value}}
    body = json.dumps(sent).encode()
    head = f"POST /graphql HTTP/{version}\r\nhost: here\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[list[str], str]:
    """The head's lines but for the date, and the value that has been echoed."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    (length,) = [int(line.partition(":")[2]) for line in head if line.startswith("content-length:")]
    answer = json.loads(await reader.readexactly(length))
    assert answer.keys() == {"data"}
    value: str = answer["data"]["echo"]
    return [line for line in head if not line.startswith("date:")], value


async def test_requests_that_come_at_once_are_answered_in_their_order_and_alike() -> None:
    async with connected() as (reader, writer):
        writer.write(b"".join(map(request_for, "abc")))
        answers = [await read_answer(reader) for _ in "abc"]
        assert [value for _, value in answers] == ["a", "b", "c"]
        # only the last was the connection's newest when it was answered, and went out at once
        writer.write(request_for("d"))
        alone, value = await read_answer(reader)
        assert (value, alone) == ("d", answers[0][0])
        assert answers[0][0] == answers[1][0] == answers[2][0]
        assert alone == [
            "HTTP/1.1 200 OK",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-type: application/json; charset=utf-8",
            "content-length: 21",
            "",
            "",
        ]


@pytest.mark.parametrize(("version", "more"), [("1.1", "connection: close\r\n"), ("1.0", "")])
async def test_who_wants_no_more_is_answered_and_left(version: str, more: str) -> None:
    async with connected() as (reader, writer):
        writer.write(request_for("last", version=version, more=more))
        head, value = await read_answer(reader)
        assert (value, "connection: close" in head, await reader.read()) == ("last", True, b"")


async def test_who_does_not_read_gets_all_of_it_later() -> None:
    texts = [f"{number:02}" + "x" * 150_000 for number in range(40)]
    async with connected() as (reader, writer):
        sending = asyncio.create_task(_send(writer, texts))
        await asyncio.sleep(0.5)  # far more is under way than sockets hold, and nobody reads
        for text in texts:
            assert (await read_answer(reader))[1] == text
        await sending


async def _send(writer: asyncio.StreamWriter, texts: list[str]) -> None:
    for text in texts:
        writer.write(request_for(text))
        await writer.drain()
