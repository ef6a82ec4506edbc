"""The orderly end of a process: in an order that loses nobody's answer, and over in 25 s whatever hangs."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from app.draining import Draining

log = logging.getLogger("modplane")

END_SECONDS_MAX = 25.0
API_SECONDS_MAX = 20.0  # of those: answers under way and streams
# Between the last connection accepted and the first one closed: what was accepted is also served.
SETTLE_SECONDS = 0.1
FEEDS_STREAMS = frozenset({"live", "revocations"})
FAULT, INTERRUPTED = 1, 130  # the latter as shells count: 128 and the number of SIGINT


class EndSignals:
    """SIGTERM and SIGINT, once: end in order. SIGINT while that goes on: now."""

    def __init__(self, last_resort: "LastResort") -> None:
        self.received = asyncio.Event()
        self._last_resort = last_resort
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: int) -> None:
        if number == signal.SIGINT and self.received.is_set():
            os._exit(INTERRUPTED)
        self._last_resort.start()
        self.received.set()


class LastResort:
    """A thread that ends the process when it has not ended by itself: the event loop may be what hangs."""

    def __init__(self, seconds: float = END_SECONDS_MAX) -> None:
        self._timer = threading.Timer(seconds, self._leave, [seconds])
        self._timer.daemon = True
        self._waited_for: Sequence[asyncio.Task[None]] = ()
        self._has_started = False

    def start(self, tasks: Sequence[asyncio.Task[None]] = ()) -> None:
        """Starting again only says whom to name."""
        self._waited_for = tasks or self._waited_for
        if not self._has_started:
            self._has_started = True
            self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _leave(self, seconds: float) -> None:
        hung = [task.get_name() for task in self._waited_for if not task.done()] or ["closing connections"]
        message = "not ended after %g s, leaving it: %s"
        # in a thread of its own: a log that nobody reads would block this one too
        saying = threading.Thread(target=log.critical, args=(message, seconds, ", ".join(hung)), daemon=True)
        saying.start()
        saying.join(1.0)
        os._exit(FAULT)


class Api:
    """The API's server and what is said at its door."""

    def __init__(self, server: uvicorn.Server, door: Draining, *, grace_seconds: float) -> None:
        self.server = server
        self._door = door
        self._grace_seconds = grace_seconds

    async def drain(self, serving: asyncio.Task[None]) -> None:
        """Say so, wait for balancers to notice, then accept nothing more, and finish what there is."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + API_SECONDS_MAX
        self._door.begin()
        await asyncio.sleep(self._grace_seconds)
        # before uvicorn does: it would close at once what was accepted and not read from yet
        for listener in self.server.servers:
            listener.close()
        await asyncio.sleep(SETTLE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(ends_at):
                await self._door.end_streams()
        # uvicorn takes whole seconds; requests that are still under way after them are cancelled
        self.server.config.timeout_graceful_shutdown = max(1, int(ends_at - loop.time()))
        self.server.should_exit = True
        await asyncio.wait([serving])


async def end_roles(tasks: Sequence[asyncio.Task[None]], api: Api | None) -> None:
    """End the tasks of all roles. Bounded by LastResort alone: who hangs is waited for until it strikes.

    Relay, reactions and worker begin at once, for others take their places over; the API goes on meanwhile, and what
    feeds its streams until they are closed.
    """
    running = [task for task in tasks if not task.done()]
    serving = [task for task in running if task.get_name() == "api"]
    feeding = [task for task in running if task.get_name() in FEEDS_STREAMS]
    for task in running:
        if task not in serving and task not in feeding:
            task.cancel()
    if api is not None and serving:
        await api.drain(serving[0])
    for task in feeding:
        task.cancel()
    if running:
        await asyncio.wait(running)
    # what does not answer from here on is cut off, and the pool would call each such connection a fault
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    for task in running:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("role %s ended with a fault", task.get_name(), exc_info=error)


async def collect_leftovers() -> None:
    """End what libraries left running: the loop's own end would wait for them without limit, and without a word."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest)
