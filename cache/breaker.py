"""A circuit breaker: a server that does not answer is left alone, and tried again by one caller each second."""

import time

FAILURES_MAX = 3
RETRY_AFTER_SECONDS = 1.0


class Breaker:
    """Opens after three failures in a row. While it is open, one call each second may try; its success closes it."""

    def __init__(self) -> None:
        self.opened = 0  # how often, for whoever counts
        self._failures = 0
        self._closed_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES_MAX

    def allows(self) -> bool:
        """Whether to make this call. Who is told so while it is open is the one who tries."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._closed_until:
            return False
        self._closed_until = now + RETRY_AFTER_SECONDS
        return True

    def succeed(self) -> None:
        self._failures = 0

    def fail(self) -> None:
        self._failures += 1
        if self._failures == FAILURES_MAX:
            self.opened += 1
        if self.is_open:
            self._closed_until = time.monotonic() + RETRY_AFTER_SECONDS
