"""Stopping, freezing and finding servers that tests started themselves."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LISTENING = "0A"


def pid_on(port: int) -> int:
    """The process that listens on a port of the loopback interface."""
    wanted = {f"socket:[{inode}]" for inode in _inodes_on(port)}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if any(os.readlink(each) in wanted for each in (process / "fd").iterdir()):
                    return int(process.name)
    raise LookupError(f"nobody listens on port {port}")


@contextmanager
def frozen(port: int) -> Iterator[None]:
    """The server on a port does nothing inside: connections stay open and nobody answers."""
    pid = pid_on(port)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def port_of(address: str) -> int:
    """The port of host:port, or of a URL that ends in it and a path."""
    return int(address.rpartition("@")[2].partition("/")[0].rpartition(":")[2])


def _inodes_on(port: int) -> Iterator[str]:
    # Java's loopback sockets are IPv6 ones
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
