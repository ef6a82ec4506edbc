"""Start the embedded servers, watch them, end them; whatever happens to this process, they do not outlive it.

Never holds: what a particular server is told (postgres.py, valkey.py, tansu.py).
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.embedded import postgres, tansu, valkey
from app.embedded.data_dir import DataDir, claim, load_ports, release, save_ports
from app.embedded.errors import EmbeddedServerError
from app.embedded.ports import choose_port, is_free
from app.embedded.process import end, log_tail, spawn
from app.embedded.server import Server

PORT_TRIES_MAX = 5
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Endpoints:
    """Where the servers are; empty for one that was not wanted."""

    postgres: str
    redis: str
    kafka: str


@dataclass
class Running:
    server: Server
    port: int
    process: subprocess.Popen[bytes]


class Supervisor:
    """The embedded servers of one data directory."""

    def __init__(
        self, data_dir: Path, *, postgres: bool = True, redis: bool = True, kafka: bool = True, fsync: bool = True
    ) -> None:
        self._data_dir = data_dir
        self._wants_postgres = postgres
        self._wants_redis = redis
        self._wants_kafka = kafka
        self._fsync = fsync
        self._directory: DataDir | None = None
        self._running: dict[str, Running] = {}

    def start(self) -> Endpoints:
        """Start what is wanted and wait until it is ready; on any failure nothing is left running."""
        if threading.current_thread() is not threading.main_thread():
            # Linux ends the servers when the thread that started them ends.
            raise EmbeddedServerError("Embedded servers are started from the main thread.")
        if self._directory is not None:
            raise EmbeddedServerError("The embedded servers have been started already.")
        self._directory = claim(self._data_dir)
        try:
            return self._start_in(self._directory)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the servers, all at once, and give the data directory free. Safe to call again."""
        enders = [
            threading.Thread(target=end, args=(running.process, running.server.stop_ladder))
            for running in self._running.values()
        ]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
        self._running.clear()
        if self._directory is not None:
            release(self._directory)
            self._directory = None

    def failed(self) -> str | None:
        """What to tell the user about a server that has ended by itself, if one has."""
        if self._directory is None:
            return None
        for running in self._running.values():
            if running.process.poll() is not None:
                return _describe_end(self._directory, running)
        return None

    def restart(self, name: str, *, by: signal.Signals = signal.SIGKILL) -> None:
        """End a server by a signal and have it back on its port, ready: a crash and its repair, seen from outside."""
        if self._directory is None or name not in self._running:
            raise EmbeddedServerError(f"{name} is not running.")
        known = self._running.pop(name)
        end(known.process, ((by, known.server.ready_seconds_max), *known.server.stop_ladder))
        self._spawn(self._directory, known.server, wish=known.port)
        self._wait_until_ready(self._directory, name)
        if self._running[name].port != known.port:
            raise EmbeddedServerError(f"The port {known.port} of {name} was taken while it was away.")

    def _start_in(self, directory: DataDir) -> Endpoints:
        # The quick ones first: they get ready while PostgreSQL, perhaps, makes its cluster.
        preparations: list[tuple[bool, str, Callable[[], Server]]] = [
            (self._wants_redis, valkey.NAME, lambda: valkey.prepare(directory)),
            (self._wants_kafka, tansu.NAME, tansu.prepare),
            (self._wants_postgres, postgres.NAME, lambda: postgres.prepare(directory, fsync=self._fsync)),
        ]
        wishes = load_ports(directory)
        for is_wanted, name, prepare in preparations:
            if is_wanted:
                directory.log(name).write_bytes(b"")
                self._spawn(directory, prepare(), wish=wishes.get(name))
        for name in tuple(self._running):
            self._wait_until_ready(directory, name)
        ports = {name: running.port for name, running in self._running.items()}
        save_ports(directory, {**wishes, **ports})
        return Endpoints(
            postgres=postgres.url(directory, ports[postgres.NAME]) if self._wants_postgres else "",
            redis=valkey.url(directory, ports[valkey.NAME]) if self._wants_redis else "",
            kafka=f"127.0.0.1:{ports[tansu.NAME]}" if self._wants_kafka else "",
        )

    def _spawn(self, directory: DataDir, server: Server, *, wish: int | None) -> None:
        port = choose_port(wish, taken={running.port for running in self._running.values()})
        process = spawn(
            server.command(port),
            directory=directory,
            log_name=server.name,
            death_signal=server.death_signal,
            cwd=server.cwd,
        )
        self._running[server.name] = Running(server, port, process)

    def _wait_until_ready(self, directory: DataDir, name: str) -> None:
        tries = 1
        running = self._running[name]
        deadline = time.monotonic() + running.server.ready_seconds_max
        while not running.server.is_ready(running.process.pid, running.port) or running.process.poll() is not None:
            if running.process.poll() is not None:
                # Between choosing a port and binding it, somebody else may have taken it: that is worth another try.
                if tries == PORT_TRIES_MAX or is_free(running.port):
                    raise EmbeddedServerError(_describe_end(directory, running))
                tries += 1
                self._spawn(directory, running.server, wish=None)
                running = self._running[name]
            elif time.monotonic() > deadline:
                seconds = running.server.ready_seconds_max
                raise EmbeddedServerError(f"{name} was not ready within {seconds:.0f} s.{log_tail(directory, name)}")
            time.sleep(POLL_SECONDS)


def _describe_end(directory: DataDir, running: Running) -> str:
    name, code = running.server.name, running.process.returncode
    return f"{name} has ended (code {code}); the end of its log:{log_tail(directory, name)}"
