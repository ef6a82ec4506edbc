"""Waiting for Redis as long as it takes: most tests are about what it says, and a machine may stop for a second.

Never for tests of what happens when it does not answer: the product's own time, 100 ms, is theirs.
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from cache.server import CacheServer

SECONDS = 20.0


@contextmanager
def patient(server: CacheServer) -> Iterator[None]:
    """Whatever is asked of the server inside has twenty seconds to be answered."""
    ask, options = server.asking, server.connection_pool.connection_kwargs
    connects_within = options["socket_connect_timeout"]

    def asking(_seconds: float = SECONDS, *, since: float | None = None) -> AbstractAsyncContextManager[None]:
        return ask(SECONDS, since=since)

    server.asking, options["socket_connect_timeout"] = asking, SECONDS  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        server.asking, options["socket_connect_timeout"] = ask, connects_within  # type: ignore[method-assign]
