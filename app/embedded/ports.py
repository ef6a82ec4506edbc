"""Free ports on the loopback interface.

Never holds: which server has which port.
"""

import secrets
import socket
from collections.abc import Collection

# Below the range that systems take for outgoing connections: one of those could hold the port at the next start.
LOWEST, HIGHEST = 20000, 32000
TRIES_MAX = 200


def choose_port(wish: int | None, *, taken: Collection[int]) -> int:
    """A port that nobody listens on: the wish if possible. It may be lost again before a server binds it."""
    if wish is not None and wish not in taken and is_free(wish):
        return wish
    for _ in range(TRIES_MAX):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port on 127.0.0.1 from {LOWEST} to {HIGHEST}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: connections of an earlier run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
