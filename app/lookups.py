"""What modules' host names stand for, asked so that one module's silent name server keeps no other module waiting.

The C library's lookup holds a thread until its name server answers or is given up, far longer than any of us waits; the
event loop has a handful of threads for everything. Never holds: which addresses may be called.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

from federation.routing import Lookup

THREADS_MAX = 64
OF_OWNER_MAX = 4  # at a time, those included whose answer nobody waits for any more

Resolve = Callable[..., Sequence[tuple[Any, ...]]]


class Lookups:
    """One for a process that calls services. `resolve`: as socket.getaddrinfo, which may block."""

    def __init__(self, resolve: Resolve = socket.getaddrinfo) -> None:
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="lookup")
        self._places: dict[str, asyncio.Semaphore] = {}

    def of(self, owner: str) -> Lookup:
        """How a module's names are looked up."""

        async def look_up(host: str, port: int) -> Sequence[str]:
            """All addresses of a host; OSError when it has none. One that is written in full is its own."""
            if is_address(host):
                return [host]
            places = self._places.setdefault(owner, asyncio.Semaphore(OF_OWNER_MAX))
            await places.acquire()
            loop = asyncio.get_running_loop()
            asked = self._threads.submit(self._resolve, host, port, type=socket.SOCK_STREAM)
            asked.add_done_callback(lambda _: _release(loop, places))
            return [str(entry[4][0]) for entry in await asyncio.wrap_future(asked)]

        return look_up

    def close(self) -> None:
        """Without waiting for what still hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _release(loop: asyncio.AbstractEventLoop, places: asyncio.Semaphore) -> None:
    """Called in the thread that looked up, perhaps when the loop has ended."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(places.release)


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
