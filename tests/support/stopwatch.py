"""How long something took, without the pauses in which the machine let nobody run.

What the product promises about time, it promises on a machine that runs: one that stops for a second is not its fault.
A server that a test has stopped, or that hangs, is no pause: this process goes on meanwhile.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK_SECONDS = 0.01
# Threads of a process that computes wait for each other, a few milliseconds: that is the process, and counts.
PAUSE_SECONDS_MIN = 0.1


class Stopwatch:
    """`seconds` from its beginning until now, or until it was stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = self._seen_at = time.monotonic()
        self._paused = 0.0
        self._stopped = threading.Event()
        self._ended_at: float | None = None
        threading.Thread(target=self._look, daemon=True).start()

    @property
    def seconds(self) -> float:
        self._note()
        with self._lock:
            return (self._ended_at or self._seen_at) - self._began - self._paused

    def stop(self) -> None:
        self._note()
        with self._lock:
            self._ended_at = self._seen_at
        self._stopped.set()

    def _look(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            self._note()

    def _note(self) -> None:
        """Whoever looks first after a pause notes it."""
        with self._lock:
            now = time.monotonic()
            if now - self._seen_at > PAUSE_SECONDS_MIN and self._ended_at is None:
                self._paused += now - self._seen_at
            self._seen_at = now


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Runs inside; afterwards it tells how long that was."""
    watch = Stopwatch()
    try:
        yield watch
    finally:
        watch.stop()
