"""The embedded broker: Tansu speaks Kafka's protocol and keeps everything in memory.

It has no idempotent producer, no transactions and no compaction, and forgets all when it ends: nothing may rely on
them (the outbox and the inbox do that work).
Never holds: topics (events/).
"""

import secrets
import signal
import socket
import struct
from pathlib import Path

from app.embedded.binaries import find_tansu
from app.embedded.server import Server

NAME = "tansu"
METADATA = 3


def prepare() -> Server:
    program = find_tansu()
    cluster_id = f"modplane-{secrets.token_hex(8)}"
    return Server(
        name=NAME,
        command=lambda port: [program, "broker", "--cluster-id", cluster_id, *_flags(port)],
        is_ready=lambda _process, port: _answers(port, cluster_id),
        ready_seconds_max=30.0,
        cwd=Path("/"),  # it looks for a file .env in its working directory and all above it
        death_signal=signal.SIGKILL,
        stop_ladder=((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)),
    )


def _flags(port: int) -> list[str]:
    # Both addresses, always: the default listens on every interface.
    address = f"tcp://127.0.0.1:{port}"
    return [
        *("--listener-url", address, "--advertised-listener-url", address),
        *("--storage-engine", "memory://tansu/"),
    ]


def _answers(port: int, cluster_id: str) -> bool:
    """Whether our broker answers a Metadata request: the cluster's name tells it from another one on that port."""
    version, correlation, no_client, no_topics = 2, 7, -1, 0
    request = struct.pack(">hhihi", METADATA, version, correlation, no_client, no_topics)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return cluster_id.encode("ascii") in connection.recv(1024)
    except OSError:
        return False
