"""A Valkey for the tests of this folder, empty for each, and the parts of one process on it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from cache.floor import RevisionFloor
from cache.local import LocalCache
from cache.read_through import ReadThrough
from cache.server import CacheServer, connect
from tests.cache.valkey import Valkey
from tests.support.patience import patient


@dataclass
class Process:
    """What one process has of the cache: its own connections, its own single flight, its own counts."""

    server: CacheServer
    floor: RevisionFloor
    cache: ReadThrough


@asynccontextmanager
async def running_process(
    url: str, *, local: dict[str, Any] | None = None, loads_max: int = 8, is_patient: bool = True
) -> AsyncIterator[Process]:
    """`local`: what a LocalCache is told of the tail; without it there is none. `is_patient`: not how it is served."""
    server = connect(url)
    floor = RevisionFloor(server)
    near = LocalCache(generation=lambda: floor.generation, **local) if local is not None else None
    with ExitStack() as stack:
        if is_patient:
            stack.enter_context(patient(server))
        try:
            yield Process(server, floor, ReadThrough(server, floor, local=near, loads_max=loads_max))
        finally:
            await floor.aclose()
            await server.aclose()


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """For tests that leave it running."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """For a test that freezes or kills it."""
    server = Valkey(tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.kill()


@pytest_asyncio.fixture
async def process(valkey: Valkey) -> AsyncIterator[Process]:
    async with running_process(valkey.url) as running:
        await running.server.flushall()
        yield running


@pytest_asyncio.fixture
async def other(valkey: Valkey) -> AsyncIterator[Process]:
    """A second process on the same server."""
    async with running_process(valkey.url) as running:
        yield running
