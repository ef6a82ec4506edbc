"""SIGTERM and Ctrl-C: everything under way is finished, streams are told to resume, and it is over whatever hangs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import URL
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from app.migrate import connect_owner
from tests.brokers.tansu import tansu
from tests.conftest import Databases
from tests.live.servers import pid_on, port_of
from tests.process.programs import ROOT, ask, connections_read, descendants, is_alive, run, running_dev, wait_until
from tests.process.test_serve import SIGN_UP, start_roles
from tests.support.proxy import proxy
from tests.support.stopwatch import Stopwatch

RENAME = 'mutation($id: ID!) { updateOrganization(input: {organizationId: $id, name: "Slow"}) { revision } }'
EVENTS = "subscription($id: ID!, $after: String) { moduleEvents(organizationId: $id, after: $after) { revision } }"
ALL = "api,relay,reactions,worker"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
END_SECONDS = 25.0
QUICK_SECONDS = 6.0  # nothing waits for anything, whose time is ten seconds and more


@dataclass
class Served:
    """A running `modplane serve` and an organization in it."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    organization: str
    log: Path
    database: URL

    def ask(self, query: str) -> Any:
        return ask(self.url, query, {"id": self.organization}, token=self.token)

    def tell_to_end(self, number: int = signal.SIGTERM) -> Stopwatch:
        """Runs since then."""
        self.process.send_signal(number)
        return Stopwatch()

    async def ended(self, told: Stopwatch, *, within: float) -> int:
        """The exit code, once it has ended in time and said nothing that sounds like a fault."""
        code = await asyncio.to_thread(self.process.wait, END_SECONDS + 15)
        told.stop()
        assert told.seconds < within, self.log.read_text()[-3000:]
        assert "Traceback" not in self.log.read_text(), self.log.read_text()[-3000:]
        return code

    async def has_read(self, count: int) -> None:
        """Wait until it has accepted so many connections, and read what was sent over them."""
        port = httpx.URL(self.url).port
        assert port is not None
        await asyncio.to_thread(wait_until, lambda: connections_read(self.process.pid, port) >= count)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


@pytest_asyncio.fixture
async def database(databases: Databases) -> URL:
    return await databases.create()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


async def served(
    stack: ExitStack, directory: Path, servers: Endpoints, database: URL, *, roles: str = ALL, **given: str
) -> Served:
    """A process that serves; `given` takes the place of what it is told by default."""
    port = choose_port(None, taken=())
    addresses = {
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": servers.redis,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
        "MODPLANE_PORT": str(port),
        "MODPLANE_DRAIN_GRACE_SECONDS": "0",
    }
    # in a thread: a proxy of this loop may stand between it and its servers
    process = await asyncio.to_thread(start_roles, stack, roles, directory, {**addresses, **given})
    bearer = run("token", "--role", "SUPER_ADMIN", data_dir=directory / "data").stdout.strip()
    url = f"http://127.0.0.1:{port}/graphql"
    signed_up = (await asyncio.to_thread(ask, url, SIGN_UP, token=bearer))["signUpOrganization"]
    log, organization = directory / f"{roles}.log", signed_up["organization"]["id"]
    return Served(process=process, url=url, token=bearer, organization=organization, log=log, database=database)


@asynccontextmanager
async def locked(each: Served) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Whoever changes the organization waits until the context ends. What it yields waits for somebody who does."""
    connection = await connect_owner(each.database)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE organizations IN EXCLUSIVE MODE")

            async def is_waited_for() -> None:
                async with asyncio.timeout(END_SECONDS):
                    while not await connection.fetchval(WAITS):
                        await asyncio.sleep(0.02)

            yield is_waited_for
    finally:
        await connection.close()


@asynccontextmanager
async def subscribed(each: Served) -> AsyncIterator[ClientConnection]:
    """A socket that has heard the organization's first event."""
    url, protocol = each.url.replace("http", "ws", 1), Subprotocol("graphql-transport-ws")
    async with connect(url, subprotocols=[protocol], proxy=None) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": each.headers}))
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
        payload = {"query": EVENTS, "variables": {"id": each.organization, "after": "v1:0"}}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        assert json.loads(await socket.recv())["payload"]["data"] == {"moduleEvents": {"revision": 1}}
        yield socket


async def closed(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as ended:
        await socket.recv()
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


async def read_stream(each: Served, started: asyncio.Event) -> tuple[str, bool]:
    """All that an event stream says to its end, and whether HTTP calls that end one."""
    body = {"query": EVENTS, "variables": {"id": each.organization, "after": "v1:0"}}
    headers = {**each.headers, "accept": "text/event-stream"}
    text = ""
    async with (
        httpx.AsyncClient(timeout=END_SECONDS, trust_env=False) as client,
        client.stream("POST", each.url, json=body, headers=headers) as response,
    ):
        try:
            async for chunk in response.aiter_text():
                text += chunk
                if "data" in text:
                    started.set()
        except httpx.RemoteProtocolError:
            return text, False
    return text, True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_process_ends_quickly(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack, number: int
) -> None:
    each = await served(stack, tmp_path, servers, database)
    assert httpx.get(each.url.replace("/graphql", "/ready"), trust_env=False).json() == {"status": "ready"}
    assert await each.ended(each.tell_to_end(number), within=QUICK_SECONDS) == 0


async def test_what_is_under_way_is_finished_and_streams_are_told_to_resume(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack
) -> None:
    each = await served(stack, tmp_path, servers, database)
    started = asyncio.Event()
    async with subscribed(each) as socket, asyncio.TaskGroup() as tasks:
        stream = tasks.create_task(read_stream(each, started))
        await started.wait()
        async with locked(each) as is_waited_for:
            slow = tasks.create_task(asyncio.to_thread(each.ask, RENAME))
            await is_waited_for()
            told = each.tell_to_end()
            assert await closed(socket) == (1001, "going away, resume")
            text, is_whole = await stream
            assert told.seconds < 1
            assert not slow.done()
        assert await slow == {"updateOrganization": {"revision": 2}}
    assert is_whole
    events = [block for block in text.split("\n\n") if "data" in block]
    assert [json.loads(block.split("data:")[1]) for block in events] == [
        {"data": {"moduleEvents": {"revision": 1}}}
    ]  # and no `complete`: it is to be resumed
    assert await each.ended(told, within=QUICK_SECONDS) == 0


async def test_who_is_connected_already_is_still_answered(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack
) -> None:
    """Accepted, and half a request read: closing such a connection would be an answer lost."""
    each = await served(stack, tmp_path, servers, database, roles="api")
    address = httpx.URL(each.url)
    connections = [await asyncio.open_connection(address.host, address.port) for _ in range(20)]
    first, rest = b"GET /health HTTP/1.1\r\n", b"host: localhost\r\n\r\n"
    for _, writer in connections[::2]:
        writer.write(first)
    await each.has_read(len(connections))
    told = each.tell_to_end()
    for number, (_, writer) in enumerate(connections):
        writer.write(rest if number % 2 == 0 else first + rest)
    for reader, writer in connections:
        answer = (await reader.read()).lower()
        assert answer.startswith(b"http/1.1 200 ok\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"}]}")
        writer.close()
    assert await each.ended(told, within=QUICK_SECONDS) == 0


async def test_balancers_have_time_to_notice(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack
) -> None:
    each = await served(stack, tmp_path, servers, database, MODPLANE_DRAIN_GRACE_SECONDS="3")
    async with httpx.AsyncClient(trust_env=False, headers=each.headers) as client:
        query = {"query": "{ viewer { subject } }"}
        before = await client.post(each.url, json=query)
        assert (before.status_code, before.headers.get("connection")) == (200, None)
        told = each.tell_to_end()
        async with asyncio.timeout(END_SECONDS):
            while (ready := await client.get(each.url.replace("/graphql", "/ready"))).status_code == 200:
                await asyncio.sleep(0.02)
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        health = await client.get(each.url.replace("/graphql", "/health"))
        assert (health.status_code, health.headers["connection"]) == (200, "close")
        served_still = await client.post(each.url, json=query)
        assert (served_still.status_code, served_still.headers["connection"]) == (200, "close")
        assert served_still.json()["data"]["viewer"] == {"subject": "cli"}
        body = {"query": EVENTS, "variables": {"id": each.organization}}
        refused = await client.post(each.url, json=body, headers={"accept": "text/event-stream"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        with pytest.raises(InvalidStatus) as handshake:
            async with subscribed(each):
                pass
        assert handshake.value.response.status_code == 503
        assert told.seconds < 3
    assert await each.ended(told, within=3 + QUICK_SECONDS) == 0


async def test_a_frozen_broker_holds_nothing_up_for_ever(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack
) -> None:
    kafka = stack.enter_context(tansu(tmp_path / "kafka"))
    each = await served(stack, tmp_path, servers, database, KAFKA_BOOTSTRAP_SERVERS=kafka)
    async with subscribed(each) as socket:
        pid = pid_on(port_of(kafka))
        os.kill(pid, signal.SIGSTOP)
        try:
            assert each.ask(RENAME) == {"updateOrganization": {"revision": 2}}
            told = each.tell_to_end()
            # the event goes to the subscriber out of the log if there is time for it; else it resumes elsewhere
            assert (await closed(socket))[0] == 1001
            assert await each.ended(told, within=END_SECONDS) == 0
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_a_database_that_swallows_everything_holds_nothing_up_for_ever(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack
) -> None:
    async with proxy(lambda: database.port) as between:
        each = await served(stack, tmp_path, servers, database.set(port=between.port))
        each.database = database
        async with subscribed(each) as socket:
            between.swallow()
            asking = asyncio.create_task(
                asyncio.to_thread(httpx.get, each.url.replace("/graphql", "/ready"), timeout=20)
            )
            await each.has_read(2)  # the socket, and this: it is under way
            told = each.tell_to_end()
            assert await closed(socket) == (1001, "going away, resume")
            assert (await asking).status_code == 503
            assert await each.ended(told, within=END_SECONDS) == 0


async def test_ctrl_c_twice_ends_it_at_once(
    tmp_path: Path, servers: Endpoints, database: URL, stack: ExitStack
) -> None:
    each = await served(stack, tmp_path, servers, database)
    async with locked(each) as is_waited_for:
        slow = asyncio.create_task(asyncio.to_thread(each.ask, RENAME))
        await is_waited_for()
        each.tell_to_end(signal.SIGINT).stop()
        await asyncio.sleep(0.7)
        assert each.process.poll() is None
        assert await each.ended(each.tell_to_end(signal.SIGINT), within=QUICK_SECONDS) == 130
        with pytest.raises(httpx.TransportError):
            await slow


HANGING = """
import asyncio, logging, sys
from app.shutdown import LastResort, end_roles

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def main():
    tasks = [asyncio.create_task(stubborn(), name="relay"), asyncio.create_task(asyncio.sleep(9), name="worker")]
    await asyncio.sleep(0)
    last_resort = LastResort(1.0)
    last_resort.start(tasks)
    await end_roles(tasks, None)

logging.basicConfig(stream=sys.stderr)
asyncio.run(main())
"""


def test_who_hangs_is_named_and_left() -> None:
    left = subprocess.run(
        [sys.executable, "-c", HANGING], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert left.returncode == 1
    assert "not ended after 1 s, leaving it: relay\n" in left.stderr


def test_a_log_that_nobody_reads_does_not_hold_it_up() -> None:
    """Its pipe is full: whoever says something waits for ever, and holds the log's lock."""
    program = HANGING.replace("asyncio.run(main())", "sys.stderr.write('x' * 65536); asyncio.run(main())")
    stuck = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        assert stuck.wait(60) == 1
    finally:
        stuck.kill()
        assert stuck.stderr is not None
        stuck.stderr.close()
        stuck.wait(5)


async def test_a_fault_ends_it_in_order_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_dev(tmp_path / "data", port=choose_port(None, taken=()), log=log) as running:
        below = descendants(running.process.pid)
        os.kill(pid_on(port_of(running.told["redis"])), signal.SIGKILL)
        assert await asyncio.to_thread(running.process.wait, END_SECONDS) == 1
        assert not any(map(is_alive, below))
    assert "valkey" in log.read_text().lower()


async def test_dev_takes_its_servers_along(tmp_path: Path) -> None:
    with running_dev(tmp_path / "data", port=choose_port(None, taken=()), log=tmp_path / "log") as running:
        below = descendants(running.process.pid)
        assert len(below) >= 3
        os.kill(running.process.pid, signal.SIGINT)
        told = Stopwatch()
        assert await asyncio.to_thread(running.process.wait, END_SECONDS) == 0
        told.stop()
        assert told.seconds < 2 * QUICK_SECONDS
        assert not any(map(is_alive, below))
