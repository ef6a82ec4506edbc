"""The command line as its users have it: real processes, each in an environment and a data directory of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
REPLACING = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
# where the environment forbids bytecode beside the sources, every start would compile everything anew
BYTECODE = ROOT / "target" / "bytecode"
READY_SECONDS = 60.0
RUN_SECONDS = 60.0


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """This one without what would replace embedded servers, and with a data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODPLANE_")}
    for name in (*REPLACING, "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    return {**kept, "PYTHONPYCACHEPREFIX": str(BYTECODE), "MODPLANE_DATA_DIR": str(data_dir), **more}


def start(*arguments: str, log: Path, **given: str) -> subprocess.Popen[bytes]:
    """`modplane …` in the background, its input closed and its output in a file."""
    data_dir = Path(given.pop("data_dir"))
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=environment(data_dir, **given),
        )


def run(*arguments: str, data_dir: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """`modplane …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(data_dir, **given),
        timeout=RUN_SECONDS,
        check=False,
    )


@dataclass
class Dev:
    """A running `modplane dev` and what it has told."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    told: dict[str, str]

    def ask(self, query: str, variables: dict[str, Any] | None = None, *, token: str | None = None) -> Any:
        return ask(self.told["graphql"], query, variables, token=token or self.told["token"])


def ask(url: str, query: str, variables: dict[str, Any] | None = None, *, token: str) -> Any:
    """`data` of an answer without errors."""
    headers = {"authorization": f"Bearer {token}"}
    body = {"query": query, "variables": variables or {}}
    answer = httpx.post(url, json=body, headers=headers, timeout=20, trust_env=False).json()
    assert "errors" not in answer, answer
    return answer["data"]


@contextmanager
def running_dev(data_dir: Path, *, port: int, log: Path, options: tuple[str, ...] = (), **given: str) -> Iterator[Dev]:
    """From its start until it is ready, and ended whatever happens."""
    started = time.time()
    process = start("dev", *options, log=log, data_dir=str(data_dir), MODPLANE_PORT=str(port), **given)
    try:
        told = data_dir / "dev.json"
        wait_until(lambda: (told.exists() and told.stat().st_mtime >= started) or is_over(process, log))
        yield Dev(process=process, data_dir=data_dir, told=json.loads(told.read_text()))
    finally:
        end(process)


def is_over(process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    process.kill()
    process.wait(5)


def wait_until(is_done: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def open_files(pid: int) -> set[str]:
    """What a process has open, by /proc; nothing when it is gone. What it closes meanwhile is left out."""
    found: set[str] = set()
    with suppress(OSError):
        for each in list(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(OSError):
                found.add(os.readlink(each))
    return found


def connections_read(pid: int, port: int) -> int:
    """How many a process has accepted on a port, and read all that was sent over, by /proc."""
    mine = open_files(pid)
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established, nothing_unread = "01", ":00000000"
    return sum(
        (row[1].partition(":")[2], row[3]) == (f"{port:04X}", established)
        and row[4].endswith(nothing_unread)
        and f"socket:[{row[9]}]" in mine
        for row in rows
    )


def descendants(pid: int) -> set[int]:
    """All processes below one, by /proc; of those that end meanwhile it may know."""
    found: set[int] = set()
    with suppress(OSError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with suppress(OSError):
                for child in map(int, (task / "children").read_text().split()):
                    found |= {child} | descendants(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether it still does something: one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
