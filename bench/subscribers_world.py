"""What subscribers.py measures on: processes, an organization, who writes to it, and when each write was answered."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.embedded.ports import choose_port
from app.embedded.supervisor import Supervisor
from bench.chaos.client import Client, Lost
from bench.subscribers_client import Reader, connect

PROGRAM = (sys.executable, "-m", "app.cli")
START_SECONDS = 60.0
HEARD_SECONDS = 30.0
FLOOD_EVENTS, FLOOD_TEXT = 10, "x" * 40_000  # more than a connection holds on its way
KEEP_ALIVE_SECONDS = 3.0  # the server hangs up on an idle connection after five
SIGN_UP = 'mutation { signUpOrganization(input: {name: "Bench"}) { organization { id } errors { message } } }'
RENAME = """mutation($o: ID!, $n: String) { updateOrganization(input: {organizationId: $o, name: $n}) {
  revision errors { message } } }"""
REGISTER = """mutation($m: JSON!) { registerModule(input: {manifest: $m}) { errors { message } } }"""
ASSIGN = 'mutation($o: ID!) { assignModule(input: {organizationId: $o, module: "bench"}) { errors { message } } }'
CONFIGURE = """mutation($o: ID!, $v: JSON!) { setOrganizationConfig(
  input: {organizationId: $o, module: "bench", value: $v}) { revision errors { message } } }"""
MANIFEST = {"name": "bench", "version": "1.0.0", "display_name": "Bench"}
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Target:
    """The API process to measure. `token`: of a SUPER_ADMIN."""

    port: int
    token: str
    pid: int

    @property
    def rss_kib(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_KIB


class World:
    """One organization, who writes to it, and when each revision was answered."""

    def __init__(self, target: Target, client: Client, organization: str) -> None:
        self.target, self.client, self.organization = target, client, organization
        self.revision = 1
        self.answered: dict[int, float] = {}
        self.heard: dict[int, list[float]] = {}

    def hear(self, rev: int, moment: float) -> None:
        moments = self.heard.get(rev)
        if moments is not None:
            moments.append(moment)

    async def subscribe(self, count: int) -> list[Reader]:
        """Begun at the current revision, so that every later event must be heard by each."""
        variables = {"o": self.organization, "a": f"v1:{self.revision}"}
        return await connect(self.target.port, count, token=self.target.token, variables=variables, on_event=self.hear)

    async def hang(self, count: int, flood: "Flood") -> list[Reader]:
        """Clients that subscribe to the same, and to a flood besides, and then take nothing in any more."""
        heard = 0

        def hear(rev: int, moment: float) -> None:
            nonlocal heard
            heard += 1

        readers = await connect(
            self.target.port,
            count,
            token=self.target.token,
            variables={"o": flood.organization, "a": f"v1:{flood.revision}"},
            also={"o": self.organization, "a": f"v1:{self.revision}"},
            on_event=hear,
            small=True,
        )
        # All are in the stream before it rises: one that still reads the log would be measured, and not a slow reader.
        await flood.tell(self.client, text="")
        deadline = time.monotonic() + HEARD_SECONDS
        while heard < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{heard} of {count} heard an event before they stopped reading")
            await asyncio.sleep(0.01)
        for reader in readers:
            reader.stop_reading()
        await flood.rise(self.client)
        return readers

    async def publish(self) -> int:
        if time.monotonic() - max(self.answered.values(), default=0.0) > KEEP_ALIVE_SECONDS:
            self.client.drop()
        rev = self.revision + 1
        self.heard[rev] = []
        answer = await self.client.ask(RENAME, {"o": self.organization, "n": f"Bench {rev}"})
        self.answered[rev] = time.monotonic()
        payload = answer["data"]["updateOrganization"]
        if payload["revision"] != rev:
            raise RuntimeError(f"expected revision {rev}: {payload}")
        self.revision = rev
        return rev

    async def everybody(self, rev: int, count: int) -> None:
        """Wait until so many have heard it, or for HEARD_SECONDS."""
        deadline = time.monotonic() + HEARD_SECONDS
        while len(self.heard[rev]) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def take(self, revs: list[int], count: int) -> tuple[list[float], int]:
        """Delays, and how many were not heard; an event may be read before its mutation's answer is."""
        delays = [max(0.0, moment - self.answered[rev]) for rev in revs for moment in self.heard[rev]]
        lost = sum(count - len(self.heard[rev]) for rev in revs)
        for rev in revs:
            del self.heard[rev], self.answered[rev]
        return delays, lost


@dataclass
class Flood:
    """An organization whose events are large."""

    organization: str
    revision: int

    @staticmethod
    async def prepare(client: Client) -> "Flood":
        answer = await client.ask(SIGN_UP)
        organization = answer["data"]["signUpOrganization"]["organization"]["id"]
        await client.ask(REGISTER, {"m": MANIFEST})
        await client.ask(ASSIGN, {"o": organization})
        return Flood(organization, 2)

    async def rise(self, client: Client) -> None:
        for _ in range(FLOOD_EVENTS):
            await self.tell(client, text=FLOOD_TEXT)

    async def tell(self, client: Client, *, text: str) -> None:
        """One event, as large as the text."""
        value = {"text": text, "number": self.revision}
        answer = await client.ask(CONFIGURE, {"o": self.organization, "v": value})
        self.revision = answer["data"]["setOrganizationConfig"]["revision"]


@asynccontextmanager
async def world(target: Target) -> AsyncIterator[World]:
    async with Client(target.port, target.token) as client:
        answer = await client.ask(SIGN_UP)
        yield World(target, client, answer["data"]["signUpOrganization"]["organization"]["id"])


@contextmanager
def running_target(directory: Path) -> Iterator[Target]:
    """Embedded servers and the product's own processes in an empty directory, ended in the end."""
    servers = Supervisor(directory / "servers", fsync=False)
    endpoints = servers.start()
    port = choose_port(None, taken=set())
    environment = {
        **os.environ,
        "DATABASE_URL": endpoints.postgres,
        "REDIS_URL": endpoints.redis,
        "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
        "MODPLANE_DATA_DIR": str(directory / "data"),
        "MODPLANE_PORT": str(port),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (directory / "log").open("ab") as log:
            subprocess.run([*PROGRAM, "migrate"], env=environment, check=True, stdout=log, stderr=log)
            token = subprocess.check_output([*PROGRAM, "token", "--role", "SUPER_ADMIN"], env=environment, text=True)
            for role in ("relay", "api"):
                command = [*PROGRAM, "serve", "--roles", role]
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        target = Target(port=port, token=token.strip(), pid=processes[-1].pid)
        asyncio.run(_until_answers(target))
        yield target
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(START_SECONDS)
        servers.stop()


async def _until_answers(target: Target) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with Client(target.port, target.token) as client:
        while time.monotonic() < deadline:
            try:
                if "data" in await client.ask("{ viewer { subject } }"):
                    return
            except Lost:
                await asyncio.sleep(0.1)
    raise RuntimeError("the API does not answer; its log is in the directory")
