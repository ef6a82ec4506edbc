"""A load generator that costs little, and what it counts: answers, their times, and the server's processor time.

Every answer is checked: a wrong GraphQL answer is an HTTP 200 too. Never holds: what is asked.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

# Both the answer's own errors and those of a mutation's payload; an empty list is none.
ERROR = b'"errors":[{'
END_SECONDS = 20.0  # for what is under way when a window is over
ALL_SECONDS = 180.0  # for everything, where nothing is measured
ANSWERS_MIN = 20  # a window waits for so many: fewer have no percentiles


class WrongAnswer(Exception):
    """An answer that is no answer; the text begins with what was read."""


@dataclass(frozen=True)
class Window:
    """What was seen in one stretch of time. `cpu_us`: user and system time of the server per answer."""

    answers: int
    seconds: float
    cpu_us: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def processor_seconds(pids: list[int]) -> float:
    """User and system time of these processes and all below them, to the nanosecond, by their threads' schedstat.

    proc(5) stat has the same in steps of 10 ms: too coarse for a window in which a server has done little.
    """
    return sum(_nanoseconds(each) for pid in pids for each in tree_of(pid)) / 1e9


def tree_of(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.extend(int(child) for child in task.read_text().split())
    return found


def _nanoseconds(pid: int) -> int:
    """A thread that has ended is not counted any more; servers keep theirs."""
    found = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += int(path.read_text().split()[0])
    return found


class Load:
    """The state that all connections of a window share. `requests` may end: then the window does."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.latencies: list[float] = []
        self.is_over = False
        self.failure: Exception | None = None
        self.ended = asyncio.Event()
        self.open = 0

    def next(self) -> bytes | None:
        if self.is_over:
            return None
        found = next(self.requests, None)
        if found is None:
            self.is_over = True
        return found

    def fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.is_over = True


class _Connection(asyncio.Protocol):
    """One request at a time on a connection that is kept open."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._needed = 0  # of the answer under way: bytes in all, 0 while its head is not whole
        self._began = 0.0
        self._is_idle = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._load.open += 1
        self._ask()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            self._needed = _length(buffer)
        if not self._needed or len(buffer) < self._needed:
            return
        self._load.latencies.append(time.perf_counter() - self._began)
        if not buffer.startswith(b"HTTP/1.1 200") or ERROR in buffer or len(buffer) > self._needed:
            self._load.fail(WrongAnswer(buffer[:2000].decode("utf-8", "replace")))
        self._buffer, self._needed = b"", 0
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_idle:
            self._load.fail(WrongAnswer(f"the server hung up: {exc!r}"))
        self._load.open -= 1
        if not self._load.open:
            self._load.ended.set()

    def _ask(self) -> None:
        request = self._load.next()
        if request is None:
            self._is_idle = True
            self._transport.close()
            return
        self._is_idle = False
        self._began = time.perf_counter()
        self._transport.write(request)


def _length(buffer: bytes) -> int:
    """How long the whole answer is; 0 when that is not known yet. Every server measured says content-length."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = buffer[:end].lower()
    at = head.find(b"content-length:")
    if at < 0:
        raise WrongAnswer(f"an answer without content-length: {head.decode('latin-1')}")
    line = head.find(b"\r\n", at)
    return end + 4 + int(head[at + 15 : line if line > 0 else end])


@dataclass(frozen=True)
class Target:
    """Where to send requests, and whose processor time they take."""

    ports: tuple[int, ...]
    pids: tuple[int, ...]


async def measure(
    target: Target, requests: Iterator[bytes], *, connections: int, seconds: float, warm_seconds: float
) -> Window:
    """Load the target without a pause; what comes in the first `warm_seconds` is checked and not counted.

    The window is longer where answers are few. Raises WrongAnswer, and ValueError when the requests end before anything
    was counted.
    """
    load, loop, pids = Load(requests), asyncio.get_running_loop(), list(target.pids)
    for number in range(connections):
        port = target.ports[number % len(target.ports)]
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
    await _pass(load, warm_seconds)
    load.latencies.clear()
    processor, began = processor_seconds(pids), time.perf_counter()
    await _pass(load, seconds)
    while len(load.latencies) < ANSWERS_MIN and not load.ended.is_set():
        await _pass(load, seconds)
    answers = len(load.latencies)
    spent, used = time.perf_counter() - began, processor_seconds(pids) - processor
    latencies, load.is_over = sorted(load.latencies), True
    await _ended(load, END_SECONDS)
    if not answers:
        raise ValueError("the requests ended before anything was counted: a larger data set is needed")
    return Window(answers, spent, used / answers * 1e6, percentile(latencies, 0.5), percentile(latencies, 0.99))


async def send_all(target: Target, requests: Iterator[bytes], *, connections: int) -> None:
    """Each request once, nothing measured."""
    load, loop = Load(requests), asyncio.get_running_loop()
    for number in range(connections):
        port = target.ports[number % len(target.ports)]
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
    await _ended(load, ALL_SECONDS)


async def _pass(load: Load, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await load.ended.wait()
    except TimeoutError:
        pass
    if load.failure is not None:
        raise load.failure


async def _ended(load: Load, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await load.ended.wait()
    if load.failure is not None:
        raise load.failure


def percentile(ordered: list[float], share: float) -> float:
    """Milliseconds of an ordered list of seconds, by the nearest rank."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)
