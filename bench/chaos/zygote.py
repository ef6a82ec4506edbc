"""Forks product processes from one that has imported everything: a start takes 30 ms and not 2 s, and so does a kill.

It speaks JSON, a line each way. Asked {"tag", "roles", "port", "owner", "redis", "kafka", "key", "log", "failpoint"},
it answers {"spawned": tag, "pid"}; when a child ends it says {"exited": pid, "status"}, negative for a signal.
"""

import ctypes
import json
import logging
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.dev import listen
from app.migrate import role_urls
from app.serve import Backends, Process, run_process
from auth.tokens import TokenIssuer, TokenVerifier
from events import failpoints
from models.database import parse_url

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.01
libc = ctypes.CDLL(None)


def main() -> None:
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if readable:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                _spawn(json.loads(line))
        _reap()


def _spawn(order: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        _become(order)
    _tell({"spawned": order["tag"], "pid": pid})


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell({"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _become(order: dict[str, Any]) -> NoReturn:
    """The child: a `modplane serve` in all but its start."""
    code = 1
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
            os.dup2(source, descriptor)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        code = uvloop.run(run_process(_process(order)))
    except BaseException:  # noqa: BLE001 - a child must never return into the zygote's loop
        traceback.print_exc()
    finally:
        os._exit(code)


def _process(order: dict[str, Any]) -> Process:
    if order.get("failpoint"):
        failpoints.arm(order["failpoint"])
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(order["key"]))
    backends = Backends(
        database=role_urls(parse_url(order["owner"])), redis=order["redis"], kafka=order["kafka"], pool_size=8
    )
    listener = listen("127.0.0.1", order["port"]) if "api" in order["roles"] else None
    verifier = TokenVerifier(key.public_key(), TokenIssuer())
    ready = Path(order["log"] + f".{os.getpid()}.ready")
    return Process(backends=backends, roles=order["roles"], verifier=verifier, listener=listener, on_ready=ready.touch)


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
