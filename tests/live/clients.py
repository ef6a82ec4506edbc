"""Clients that subscribe as others would: one over a WebSocket, one over Server-Sent Events; and a Kafka consumer."""

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from events.topics import ensure_topics
from events.types import PARTITIONS, TOPICS
from tests.support.platform import Platform

PROTOCOL = Subprotocol("graphql-transport-ws")
SECONDS = 30.0
SUBSCRIPTION = """subscription($organization: ID, $module: String, $types: [ModuleEventType!], $after: String) {
  moduleEvents(organizationId: $organization, moduleCode: $module, types: $types, after: $after) {
    id type organizationId moduleCode companyId revision cursor payload } }"""

Event = dict[str, Any]


@dataclass
class Subscriber:
    """One subscription, by its messages: `hear` waits for the next one's type and payload."""

    hear: Callable[[], Any]
    drop: Callable[[], None]

    async def take(self, count: int, *, seconds: float = SECONDS) -> list[Event]:
        """The next events; anything else that comes is a failure."""
        async with asyncio.timeout(seconds):
            return [await self._event() for _ in range(count)]

    async def error(self) -> dict[str, Any]:
        """The extensions of the only error, when that is all there is to hear."""
        async with asyncio.timeout(SECONDS):
            kind, payload = await self.hear()
        (error,) = payload if kind == "error" else payload["errors"]
        assert kind == "error" or not payload.get("data"), payload
        extensions: dict[str, Any] = error["extensions"]
        return extensions

    async def nothing_else(self, seconds: float = 0.3) -> None:
        """Nothing but silence for a while."""
        try:
            async with asyncio.timeout(seconds):
                heard = await self.hear()
        except TimeoutError:
            return
        raise AssertionError(f"heard {heard}")

    async def _event(self) -> Event:
        kind, payload = await self.hear()
        assert kind == "next", (kind, payload)
        assert "errors" not in payload, payload
        event: Event = payload["data"]["moduleEvents"]
        return event


@asynccontextmanager
async def opened_socket(
    platform: Platform, *, token: str | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    """An acknowledged WebSocket."""
    url = platform.url.replace("http", "ws", 1)
    async with connect(url, subprotocols=[PROTOCOL], proxy=None, max_size=None, **options) as socket:
        bearer = token or platform.admin
        await say(socket, type="connection_init", payload={"authorization": f"Bearer {bearer}"})
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
        yield socket


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def subscribe(socket: ClientConnection, id: str = "1", **variables: Any) -> None:
    await say(socket, type="subscribe", id=id, payload={"query": SUBSCRIPTION, "variables": variables})


@asynccontextmanager
async def over_websocket(
    platform: Platform, *, token: str | None = None, **variables: Any
) -> AsyncIterator[Subscriber]:
    async with opened_socket(platform, token=token) as socket:
        await subscribe(socket, **variables)

        async def hear() -> tuple[str, Any]:
            message = json.loads(await socket.recv())
            return message["type"], message.get("payload")

        yield Subscriber(hear=hear, drop=socket.transport.abort)


@asynccontextmanager
async def over_sse(platform: Platform, *, token: str | None = None, **variables: Any) -> AsyncIterator[Subscriber]:
    headers = {"authorization": f"Bearer {token or platform.admin}", "accept": "text/event-stream"}
    body = {"query": SUBSCRIPTION, "variables": variables}
    async with (
        httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client,
        client.stream("POST", platform.url, json=body, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        lines = response.aiter_lines()

        async def hear() -> tuple[str, Any]:
            kind = ""
            async for line in lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data:"):
                    return kind, json.loads(line.removeprefix("data:") or "null")
            raise AssertionError("the stream has ended")

        yield Subscriber(hear=hear, drop=lambda: None)


def slow_reader(platform: Platform) -> sockets.socket:
    """A connected socket that takes very little in before its owner reads."""
    address = urlsplit(platform.url)
    small = sockets.socket()
    small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    small.connect((address.hostname, address.port))
    small.setblocking(False)
    return small


@asynccontextmanager
async def kafka_from_the_start(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """An ordinary consumer of every topic, as a partner would write it."""
    await ensure_topics(bootstrap)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=f"test-{uuid4()}", auto_offset_reset="earliest", enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, number) for topic in TOPICS for number in range(PARTITIONS)])
        yield consumer


async def records_of(
    consumer: AIOKafkaConsumer, organization: str, count: int, *, seconds: float = SECONDS
) -> list[ConsumerRecord]:
    """Read on until so many of an organization's records are there, and for a moment more."""
    found: list[ConsumerRecord] = []
    key = organization.encode()
    async with asyncio.timeout(seconds):
        while len(found) < count:
            found += await _more(consumer, key, 200)
    return found + await _more(consumer, key, 300)


async def _more(consumer: AIOKafkaConsumer, key: bytes, milliseconds: int) -> list[ConsumerRecord]:
    batches = await consumer.getmany(timeout_ms=milliseconds)
    return [record for records in batches.values() for record in records if record.key == key]


def header(record: ConsumerRecord, name: str) -> str:
    (value,) = [value for key, value in record.headers if key == name]
    text: str = value.decode()
    return text


def revisions(events: list[Event]) -> list[int]:
    return [event["revision"] for event in events]


OVER = {"websocket": over_websocket, "sse": over_sse}
