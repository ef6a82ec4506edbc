"""The processes that are compared, each started where it may run: what is measured on one core, all else on another."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.embedded.ports import choose_port
from bench.compare.install import ROOT
from bench.compare.load import Target, tree_of

CORES = sorted(os.sched_getaffinity(0))
MEASURED, OTHERS = {CORES[0]}, {CORES[-1]}
START_SECONDS, END_SECONDS = 60.0, 30.0
UVICORN = ("--host", "127.0.0.1", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error")
# ends what it becomes when this process ends, however it does
LAUNCH = (sys.executable, "-I", "-S", str(ROOT / "app" / "embedded" / "launch.py"))
MODPLANE = (sys.executable, "-m", "app.cli")


@contextlib.contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """What is started inside runs on these cores, and so does all that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Server:
    """A process and the port it serves; 0 when it serves none."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def target(self) -> Target:
        return Target(ports=(self.port,), pids=(self.process.pid,))


@dataclass
class Servers:
    """Everything started, ended in the end. `logs`: where each one's output goes."""

    logs: Path
    environment: Mapping[str, str]
    running: list[Server] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        cores: set[int] = MEASURED,
        has_port: bool = True,
    ) -> Server:
        """Start it, and wait until its port answers. `{port}` in the command is the port. Raises RuntimeError."""
        port = choose_port(None, taken=self.taken)
        self.taken.add(port)
        told = {**os.environ, **self.environment, "PORT": str(port), "MODPLANE_PORT": str(port), **(environment or {})}
        with (self.logs / f"{name}.log").open("wb") as log, on(cores):
            whole = [*LAUNCH, str(os.getpid()), str(int(signal.SIGKILL)), "", *command]
            process = subprocess.Popen(
                [part.replace("{port}", str(port)) for part in whole], cwd=cwd, env=told, stdout=log, stderr=log
            )
        server = Server(name, port if has_port else 0, process)
        self.running.append(server)
        if has_port:
            self._wait(server)
        return server

    def stop(self) -> None:
        for server in self.running:
            server.process.send_signal(signal.SIGTERM)
        for server in self.running:
            try:
                server.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
        self.running.clear()

    def _wait(self, server: Server) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
                return
            time.sleep(0.05)
        log = (self.logs / f"{server.name}.log").read_text(errors="replace")
        raise RuntimeError(f"{server.name} does not serve: {log[-3000:]}")


def modplane(servers: Servers, name: str, roles: str, **options: object) -> Server:
    """The product, by its own command."""
    has_port = "api" in roles
    cores = MEASURED if has_port else OTHERS
    command = [*MODPLANE, "serve", "--roles", roles]
    return servers.start(name, command, cores=cores, has_port=has_port, **options)  # type: ignore[arg-type]


def node(servers: Servers, name: str, directory: Path) -> Server:
    """A Node peer; production, as its frameworks want it said."""
    return servers.start(
        name, [shutil.which("node") or "node", f"{name}.mjs"], cwd=directory, environment={"NODE_ENV": "production"}
    )


def python(servers: Servers, name: str, interpreter: Path) -> Server:
    command = [str(interpreter), "-m", "uvicorn", f"bench.compare.python.{name}_peer:app", "--port", "{port}", *UVICORN]
    return servers.start(name, command)


def limit(servers: Servers, answers: Path) -> Server:
    """The bare ASGI application, under the server and the event loop that Modplane has too."""
    command = [sys.executable, "-m", "uvicorn", "bench.compare.limits.asgi:app", "--port", "{port}", *UVICORN]
    return servers.start("limit", [*command, "--lifespan", "off"], environment={"BENCH_ANSWERS": str(answers)})


def memory_mib(server: Server) -> float:
    """PSS of the process and those below it: what they have in common is shared out."""
    total = 0
    for pid in tree_of(server.process.pid):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return round(total / 1024, 1)
