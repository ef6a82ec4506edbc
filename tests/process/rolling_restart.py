"""A rolling restart under load, and the tally of what its clients noticed.

A fleet is API processes behind a balancer that asks each for /ready, and others. Every process is ended by SIGTERM and
started again in turn, while clients query, mutate, and subscribe with cursors. No client tries a request twice.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.support.proxy import proxy

ASK_READY_SECONDS = 0.1
READY_SECONDS = 60.0
END_SECONDS = 30.0
PAUSE_SECONDS = 0.05  # between two requests of a client
RECONNECT_SECONDS = 0.1
CATCH_UP_SECONDS = 30.0

SIGN_UP = 'mutation { signUpOrganization(input: {name: "Rolled"}) { organization { id } errors { code } } }'
RENAME = """mutation($id: ID!, $name: String!) {
  updateOrganization(input: {organizationId: $id, name: $name}) { revision errors { code } } }"""
READ = "query($id: ID!) { organization(id: $id) { revision } }"
EVENTS = """subscription($id: ID!, $after: String) {
  moduleEvents(organizationId: $id, after: $after) { revision cursor } }"""


@dataclass
class Member:
    """One process of the fleet. `port`: where an API listens; `is_up` says whether the others serve."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    is_up: Callable[[], bool]
    port: int | None = None
    process: subprocess.Popen[bytes] | None = None

    async def up(self) -> None:
        self.process = self.start()
        async with asyncio.timeout(READY_SECONDS):
            while not await asyncio.to_thread(self.is_up):
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode} before it was ready")
                await asyncio.sleep(0.05)

    async def down(self) -> int:
        """End it in order; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, END_SECONDS)


class Balancer:
    """Round-robin over those that answer /ready with 200, asked again and again; `url` is what clients are given."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.ports = [member.port for member in members if member.port is not None]
        self.ready: set[int] = set()
        self.url = ""
        self._order = cycle(self.ports)

    def choose(self) -> int | None:
        return next((port for port in (next(self._order) for _ in self.ports) if port in self.ready), None)

    async def watch(self, port: int) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                is_ready = False
                with suppress(httpx.HTTPError):
                    is_ready = (await client.get(f"http://127.0.0.1:{port}/ready")).status_code == 200
                (self.ready.add if is_ready else self.ready.discard)(port)
                await asyncio.sleep(ASK_READY_SECONDS)


@dataclass
class Tally:
    """What happened. Nobody noticed anything when `failed` and `wrong` are empty."""

    requests: int = 0
    connections: int = 0  # of subscribers, the first ones included
    events: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # events lost, repeated or out of order; reads of the past
    exit_codes: list[int] = field(default_factory=list)
    ended_in: list[float] = field(default_factory=list)  # seconds from SIGTERM to the exit, per restart


@dataclass
class Load:
    """Clients of one organization: one that changes it, one that reads it, subscribers."""

    url: str
    token: str
    organization: str
    tally: Tally
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    revision: int = 1
    last: int | None = None  # the revision of the last event, as soon as it is known

    async def write(self) -> None:
        async with client_of(self.token) as client:
            while not self.is_over.is_set():
                await self._rename(client)
                await asyncio.sleep(PAUSE_SECONDS)
            # said before it happens, so that whoever hears it knows that nothing follows
            self.last = self.revision + 1
            await self._rename(client)

    async def _rename(self, client: httpx.AsyncClient) -> None:
        name = f"Rolled {self.revision + 1}"
        answer = await self._ask(client, RENAME, {"id": self.organization, "name": name})
        payload = answer and answer["updateOrganization"]
        if payload and payload != {"revision": self.revision + 1, "errors": []}:
            self.tally.wrong.append(f"answered {payload} after {self.revision}")
        self.revision = payload["revision"] if payload else self.revision

    async def read(self) -> None:
        async with client_of(self.token) as client:
            while not self.is_over.is_set():
                known = self.revision
                answer = await self._ask(client, READ, {"id": self.organization})
                if answer and answer["organization"]["revision"] < known:
                    self.tally.wrong.append(f"read {answer} after {known}")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, client: httpx.AsyncClient, query: str, variables: dict[str, Any]) -> Any:
        """`data`, or None for a failure that goes into the tally."""
        self.tally.requests += 1
        try:
            response = await client.post(self.url, json={"query": query, "variables": variables})
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            self.tally.failed.append(repr(error))
            return None
        if response.status_code != 200 or "errors" in answer:
            self.tally.failed.append(f"{response.status_code} {response.text[:300]}")
            return None
        return answer["data"]

    async def subscribe(self, listen: "Listen") -> None:
        """Follow from the first event to the last that was written; go on elsewhere when a connection ends."""
        heard, cursor = 0, "v1:0"
        while heard != self.last:
            self.tally.connections += 1
            async for event in listen(self, cursor):
                if event["revision"] != heard + 1:
                    self.tally.wrong.append(f"heard {event['revision']} after {heard}")
                heard, cursor = event["revision"], event["cursor"]
                self.tally.events += 1
                if heard == self.last:
                    return
            await asyncio.sleep(RECONNECT_SECONDS)


Listen = Callable[[Load, str], AsyncIterator[Any]]


async def over_websocket(load: Load, cursor: str) -> AsyncIterator[Any]:
    """Events until the connection ends, for whatever reason."""
    url, protocol = load.url.replace("http", "ws", 1), Subprotocol("graphql-transport-ws")
    start = {"type": "connection_init", "payload": {"authorization": f"Bearer {load.token}"}}
    payload = {"query": EVENTS, "variables": {"id": load.organization, "after": cursor}}
    with suppress(ConnectionClosed, InvalidHandshake, OSError):
        async with connect(url, subprotocols=[protocol], proxy=None) as socket:
            await socket.send(json.dumps(start))
            await socket.recv()
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "next":
                    yield message["payload"]["data"]["moduleEvents"]
                elif message["type"] in ("error", "complete"):
                    load.tally.failed.append(f"socket: {message}")


async def over_sse(load: Load, cursor: str) -> AsyncIterator[Any]:
    """The same over Server-Sent Events."""
    body = {"query": EVENTS, "variables": {"id": load.organization, "after": cursor}}
    async with client_of(load.token) as client:
        with suppress(httpx.TransportError):
            async with client.stream("POST", load.url, json=body, headers={"accept": "text/event-stream"}) as response:
                if response.status_code != 200:
                    return  # 503: this one is going away as well
                async for line in response.aiter_lines():
                    if line.startswith("data:") and len(line) > len("data: "):
                        answer = json.loads(line.removeprefix("data:"))
                        if "errors" in answer:
                            load.tally.failed.append(f"event stream: {answer}")
                            return
                        yield answer["data"]["moduleEvents"]


def client_of(token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=30, headers={"authorization": f"Bearer {token}"})


async def roll(members: Sequence[Member], tally: Tally, *, rounds: int, settle: Callable[[], Awaitable[None]]) -> None:
    """Restart each in turn; `settle` is awaited after each."""
    for _ in range(rounds):
        for member in members:
            began = time.monotonic()
            tally.exit_codes.append(await member.down())
            tally.ended_in.append(round(time.monotonic() - began, 2))
            await member.up()
            await settle()


@asynccontextmanager
async def balanced(members: Sequence[Member]) -> AsyncIterator[Balancer]:
    """A balancer before the API processes, once all of them are ready."""
    balancer = Balancer(members)
    async with proxy(balancer.choose) as front:
        balancer.url = f"http://127.0.0.1:{front.port}/graphql"
        watching = [asyncio.create_task(balancer.watch(port)) for port in balancer.ports]
        try:
            await all_ready(balancer)
            yield balancer
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def all_ready(balancer: Balancer) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while balancer.ready != set(balancer.ports):
            await asyncio.sleep(0.02)


async def restart_under_load(
    members: Sequence[Member], token: str, *, rounds: int = 1, organizations: int = 3, seconds_between: float = 1.0
) -> Tally:
    """Roll a running fleet while each organization has a writer, a reader and two subscribers."""
    tally = Tally()
    async with balanced(members) as balancer:
        loads = [Load(balancer.url, token, await sign_up(balancer.url, token), tally) for _ in range(organizations)]

        async def settle() -> None:
            await all_ready(balancer)
            await asyncio.sleep(seconds_between)

        async with asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(load.write()) for load in loads]
            for load in loads:
                tasks.create_task(load.read())
            following = [tasks.create_task(each.subscribe(way)) for each in loads for way in (over_websocket, over_sse)]
            await asyncio.sleep(seconds_between)
            await roll(members, tally, rounds=rounds, settle=settle)
            for load in loads:
                load.is_over.set()
            await asyncio.wait(writers)
            _, waiting = await asyncio.wait(following, timeout=CATCH_UP_SECONDS)
            for task in waiting:
                tally.wrong.append("a subscriber never heard the last event")
                task.cancel()
    return tally


async def sign_up(url: str, token: str) -> str:
    async with client_of(token) as client:
        payload = (await client.post(url, json={"query": SIGN_UP})).json()["data"]["signUpOrganization"]
    assert payload["errors"] == []
    found: str = payload["organization"]["id"]
    return found
