"""How long `modplane dev` takes until it answers, and how much memory the whole stack holds when idle. Linux only.

Prints the table of docs/measurements.md: python bench/startup.py. Never holds: measurements of queries.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

PATIENCE_SECONDS = 120
SETTLE_SECONDS = 10
GONE = (FileNotFoundError, ProcessLookupError)  # a process may end while it is looked at
SERVERS = ("postgres", "valkey", "tansu")


@dataclass(frozen=True)
class Memory:
    """PSS shares out what processes have in common, so that the sum is what the stack takes from the machine."""

    pss_kib: int
    rss_kib: int


@dataclass(frozen=True)
class Start:
    """`processor_seconds`: what all processes used until then, which a busy machine changes less than the clock."""

    seconds: float
    processor_seconds: float
    memory: dict[str, Memory]


@dataclass(frozen=True)
class Round:
    first: Start
    second: Start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rounds = []
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds} …", file=sys.stderr)
        rounds.append(measure_round())
    print(report(rounds, load=load))


def measure_round() -> Round:
    """A first start in an empty directory, and a second one in what it left."""
    with tempfile.TemporaryDirectory(prefix="modplane-bench-") as directory:
        first = measure_start(Path(directory) / "data", settle_seconds=0)
        second = measure_start(Path(directory) / "data", settle_seconds=SETTLE_SECONDS)
    return Round(first=first, second=second)


def measure_start(data_dir: Path, *, settle_seconds: float) -> Start:
    """Time from the command to the first answer of GraphQL, and the memory some seconds later."""
    port = free_port()
    environment = {**os.environ, "MODPLANE_PORT": str(port), "MODPLANE_DATA_DIR": str(data_dir)}
    for name in ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        environment.pop(name, None)
    program = Path(sys.executable).with_name("modplane")
    started_at = time.monotonic()
    with (data_dir.parent / "log").open("ab") as log:
        process = subprocess.Popen([program, "dev"], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_until_answers(process, data_dir / "dev.json", port)
        seconds, processor_seconds = time.monotonic() - started_at, sum(map(used_seconds, descendants(process.pid)))
        time.sleep(settle_seconds)
        return Start(seconds=seconds, processor_seconds=processor_seconds, memory=memory_of(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def free_port() -> int:
    """Below the range for outgoing connections, one of which could take the port in between."""
    for port in range(18400, 18500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError("no free port from 18400 to 18499")


def wait_until_answers(process: subprocess.Popen[bytes], told: Path, port: int) -> None:
    """dev.json is written when everything is up; that GraphQL answers from the database is then seen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    body = json.dumps({"query": "{ industries(first: 1) { nodes { code } } }"}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if told.exists() and json.load(urlopen(request, timeout=5))["data"]["industries"]["nodes"]:
                return
        except URLError:
            pass
        time.sleep(0.01)
    raise RuntimeError("modplane dev did not answer; run it by hand to see why")


def memory_of(root: int) -> dict[str, Memory]:
    """The memory of a process and all below it, by program."""
    found: dict[str, Memory] = {}
    for pid in descendants(root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            rollup = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        except GONE:
            continue
        name = next((server for server in SERVERS if pid != root and server in command), "modplane")
        known = found.get(name, Memory(0, 0))
        pss, rss = (int(rollup[key].split()[0]) for key in ("Pss", "Rss"))
        found[name] = Memory(pss_kib=known.pss_kib + pss, rss_kib=known.rss_kib + rss)
    return found


def descendants(root: int) -> Iterator[int]:
    parents = {int(path.name): parent_of(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting.extend(child for child, parent in parents.items() if parent == pid)


def parent_of(process: Path) -> int:
    try:
        return int(stat_of(process)[1])
    except GONE:
        return 0


def used_seconds(pid: int) -> float:
    """Of the processor: its own, and that of its children that have ended."""
    try:
        return sum(map(int, stat_of(Path(f"/proc/{pid}"))[11:15])) / os.sysconf("SC_CLK_TCK")
    except GONE:
        return 0.0


def stat_of(process: Path) -> list[str]:
    """The fields of proc(5) stat after the name, which stands in parentheses and may hold anything."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def report(rounds: list[Round], *, load: float) -> str:
    rows: list[tuple[str, str, str]] = []
    for name, starts in (
        ("first start, in an empty directory", [each.first for each in rounds]),
        ("second start", [each.second for each in rounds]),
    ):
        rows.append((f"{name}: time to ready", *spread([each.seconds for each in starts])))
        rows.append((f"{name}: processor time until then", *spread([each.processor_seconds for each in starts])))
    for name in ("modplane", *SERVERS):
        used = [each.second.memory[name] for each in rounds]
        rows.append((f"idle memory, {name}", *figures(used)))
    totals = [
        Memory(sum(m.pss_kib for m in each.second.memory.values()), sum(m.rss_kib for m in each.second.memory.values()))
        for each in rounds
    ]
    rows.append(("**idle memory, whole stack**", *figures(totals)))
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}; load average before the run {load:.1f}; median of {len(rounds)}.",
        "",
        "| | median | range |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines)


def spread(values: list[float]) -> tuple[str, str]:
    return f"{statistics.median(values):.1f} s", f"{min(values):.1f} to {max(values):.1f} s"


def figures(used: list[Memory]) -> tuple[str, str]:
    pss = [each.pss_kib / 1024 for each in used]
    rss = statistics.median(each.rss_kib / 1024 for each in used)
    return f"{statistics.median(pss):.0f} MiB PSS", f"{min(pss):.0f} to {max(pss):.0f} MiB PSS; {rss:.0f} MiB RSS"


if __name__ == "__main__":
    main()
