"""A Valkey of a test's own: it can be frozen, killed, and started again from a dump that it wrote before."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.binaries import find_valkey_server
from app.embedded.ports import choose_port

READY_SECONDS = 20.0


class Valkey:
    """One server on one port, whose process may be another one later."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        # not one of those that the system lends to outgoing connections: it has to be there after a restart
        self.port = choose_port(None, taken=())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = find_valkey_server()
        settings = {"port": self.port, "bind": "127.0.0.1", "dir": self._directory, "save": "", "appendonly": "no"}
        options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + READY_SECONDS
        while b"PONG" not in self._ping():
            assert time.monotonic() < until, "valkey-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """At once: nothing is written on the way."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def keep_dump(self) -> Path:
        """The copy that the server's last SAVE has written."""
        return Path(shutil.copy(self._directory / "dump.rdb", self._directory / "kept.rdb"))

    def restart_from(self, dump: Path) -> None:
        self.kill()
        shutil.copy(dump, self._directory / "dump.rdb")
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay and new ones come about, and nobody answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def _ping(self) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64)
        except OSError:
            return b""
