"""The embedded Valkey: a cache that forgets, so nothing of it is on disk but its settings.

Never holds: key names (cache/).
"""

import signal
import socket

from app.embedded.binaries import find_valkey_server
from app.embedded.data_dir import DataDir, load_password, write_config
from app.embedded.server import Server

NAME = "valkey"


def prepare(directory: DataDir) -> Server:
    program = find_valkey_server()
    password = load_password(directory, NAME)
    # It would load a dump from its working directory and may be told to write one there: a directory of its own.
    home = directory.path / NAME
    home.mkdir(mode=0o700, exist_ok=True)
    config = home / "valkey.conf"
    # In a file and not on the command line, where every user could read the password.
    write_config(
        config,
        "bind 127.0.0.1\n"
        "protected-mode yes\n"
        f"requirepass {password}\n"
        "daemonize no\n"
        'save ""\n'
        "appendonly no\n"
        "maxmemory 64mb\n"
        "maxmemory-policy allkeys-lru\n"
        "always-show-logo no\n",
    )
    return Server(
        name=NAME,
        command=lambda port: [program, config, "--port", str(port)],
        is_ready=lambda _process, port: _answers(port, password),
        ready_seconds_max=30.0,
        cwd=home,
        death_signal=signal.SIGKILL,
        stop_ladder=((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)),
    )


def url(directory: DataDir, port: int) -> str:
    return f"redis://:{load_password(directory, NAME)}@127.0.0.1:{port}/0"


def _answers(port: int, password: str) -> bool:
    # Only our own server knows the password, so the answer also proves who has the port.
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(f"AUTH {password}\r\n".encode("ascii"))
            return connection.recv(64).startswith(b"+OK")
    except OSError:
        return False
