"""`modplane serve` on servers that are there: all roles in one process, and the roles apart."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import URL
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from tests.conftest import Databases
from tests.process.programs import ask, descendants, end, is_over, run, start, wait_until
from tests.support.stopwatch import stopwatch

SIGN_UP = 'mutation { signUpOrganization(input: {name: "Served"}) { organization { id } errors { code } } }'
EVENTS = "subscription($id: ID!, $after: String) { moduleEvents(organizationId: $id, after: $after) { revision type } }"
COMPANY = 'mutation($id: ID!) { createCompany(input: {organizationId: $id, name: "Own"}) { revision errors { code } } }'
SOONER_THAN_THE_SWEEP = 4.5  # which would find the event in the log without any broker

Heard = Callable[[float], Any]


@pytest_asyncio.fixture
async def addresses(databases: Databases, servers: Endpoints) -> AsyncIterator[dict[str, str]]:
    """Where the servers are, as `serve` is told it, with a database of the test's own."""
    database: URL = await databases.create()
    yield {
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": servers.redis,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
    }


@pytest.mark.parametrize(
    "split", [("api,relay,reactions,worker",), ("api", "relay,reactions,worker")], ids=["together", "apart"]
)
async def test_an_event_reaches_a_subscriber(tmp_path: Path, addresses: dict[str, str], split: tuple[str, ...]) -> None:
    port = choose_port(None, taken=())
    with ExitStack() as stack:
        processes = [start_roles(stack, roles, tmp_path, {**addresses, "MODPLANE_PORT": str(port)}) for roles in split]
        bearer = run("token", "--role", "SUPER_ADMIN", data_dir=tmp_path / "data").stdout.strip()
        url = f"http://127.0.0.1:{port}/graphql"
        signed_up = ask(url, SIGN_UP, token=bearer)["signUpOrganization"]
        assert signed_up["errors"] == []
        organization = signed_up["organization"]["id"]
        with listening(url, bearer, organization) as heard:
            assert heard(30) == {"revision": 1, "type": "ORGANIZATION_CREATED"}
            # the first of them may find the relay still on its way to the broker
            for revision, seconds in ((2, 30), (3, SOONER_THAN_THE_SWEEP)):
                created = ask(url, COMPANY, {"id": organization}, token=bearer)["createCompany"]
                assert created == {"revision": revision, "errors": []}
                with stopwatch() as watch:
                    assert heard(30) == {"revision": revision, "type": "COMPANY_CREATED"}
                assert watch.seconds < seconds
        assert not any(is_server(pid) for process in processes for pid in descendants(process.pid))
        for process in processes:
            end(process)
        assert [process.returncode for process in processes] == [0] * len(split)
    assert not (tmp_path / "data" / "dev.json").exists()


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"])
def test_a_missing_address_is_named(tmp_path: Path, missing: str) -> None:
    given = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    del given[missing]
    refused = run("serve", data_dir=tmp_path, **given)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"modplane: set {missing}: ")
    assert "Traceback" not in refused.stderr


def test_all_missing_addresses_are_named_at_once(tmp_path: Path) -> None:
    refused = run("serve", data_dir=tmp_path)
    assert refused.returncode == 1
    assert "set DATABASE_URL, REDIS_URL, KAFKA_BOOTSTRAP_SERVERS: " in refused.stderr


@pytest.mark.parametrize("roles", ["api,cook", "", ","])
def test_roles_that_are_none_are_refused(tmp_path: Path, roles: str) -> None:
    refused = run("serve", "--roles", roles, data_dir=tmp_path)
    assert refused.returncode == 1
    assert "there are api, relay, reactions, worker" in refused.stderr


def is_server(pid: int) -> bool:
    """Whatever is not a worker's composer, which is there as soon as it has composed something."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return b"composer.mjs" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False  # it is gone


def start_roles(stack: ExitStack, roles: str, directory: Path, given: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process with these roles, once it has said that it is ready."""
    log = directory / f"{roles}.log"
    process = start("serve", "--roles", roles, log=log, data_dir=str(directory / "data"), **given)
    stack.callback(end, process)
    wait_until(lambda: "ready: " in log.read_text() or is_over(process, log))
    return process


@contextmanager
def listening(url: str, bearer: str, organization: str) -> Iterator[Heard]:
    """A subscriber from the first event on; what it is given waits so many seconds for the next one."""
    with connect(
        url.replace("http", "ws", 1), subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None
    ) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {bearer}"}}))
        assert json.loads(socket.recv(10)) == {"type": "connection_ack"}
        variables = {"id": organization, "after": "v1:0"}
        subscription = {"query": EVENTS, "variables": variables}
        socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": subscription}))

        def heard(seconds: float) -> Any:
            message = json.loads(socket.recv(seconds))
            assert message["type"] == "next", message
            return message["payload"]["data"]["moduleEvents"]

        yield heard
