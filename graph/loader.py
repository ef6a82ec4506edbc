"""A DataLoader: what is asked for in one tick of the event loop is read at once, and what was read is not read again.

Strawberry's makes several futures and two callbacks for every key, and was a tenth of a cold answer; this one makes a
future for everybody who waits, however many keys they wait for (docs/decisions/0028-loaders.md). Never holds: what is
read, and how.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


class made_once(Generic[T]):  # noqa: N801  # a decorator
    """functools.cached_property without the lock that it takes before Python 3.12: all are of one event loop."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self._name = make, make.__name__

    def __get__(self, owner: object, _class: type | None = None) -> T:
        made = owner.__dict__[self._name] = self._make(owner)
        return made


class _Batch(Generic[K]):
    """Keys that are read together, and who waits for them."""

    __slots__ = ("keys", "waiting")

    def __init__(self, keys: list[K]) -> None:
        self.keys = keys
        self.waiting: list[asyncio.Future[None]] = []


class DataLoader(Generic[K, V]):
    """Of one operation. `load_fn` answers a value for each key, in their order; an exception among them is raised for
    who asked for that key, and one that it raises for all. Either is remembered like a value.

    Whoever waits may be cancelled, as graphql-core does with the siblings of an error, and takes nobody along: neither
    others who wait for the same, nor the batch.
    """

    def __init__(
        self,
        load_fn: Callable[[list[K]], Awaitable[Sequence[V | Exception]]] | None = None,
        *,
        reads_at_once: bool = False,
    ) -> None:
        """`reads_at_once`: whoever asks first reads, waiting for no tick. For what has one key in an operation, and is
        joined behind `load_fn` with what other operations ask."""
        self._load_fn, self._reads_at_once = load_fn, reads_at_once
        self._found: dict[K, V | Exception] = {}
        self._batches: dict[K, _Batch[K]] = {}  # of keys that are being waited for
        self._next: _Batch[K] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def load(self, key: K) -> V:
        """Raises what came of this key."""
        if key not in self._found:
            await self._wait((key,))
        return _value(self._found[key])

    async def load_many(self, keys: Iterable[K]) -> list[V]:
        """In their order. Raises what came of the first that failed."""
        wanted, found = list(keys), self._found
        if missing := [key for key in wanted if key not in found]:
            await self._wait(missing)
        return [_value(found[key]) for key in wanted]

    async def _fetch(self, keys: list[K]) -> Sequence[V | Exception]:
        """Its own `load_fn`, or a subclass's way: a method kept in an attribute would be a reference to itself."""
        assert self._load_fn is not None
        return await self._load_fn(keys)

    async def _wait(self, missing: Sequence[K]) -> None:
        if self._reads_at_once and not any(key in self._batches for key in missing):
            await self._lead(_Batch(list(dict.fromkeys(missing))))
            return
        loop = asyncio.get_running_loop()
        batches: dict[int, _Batch[K]] = {}
        for key in missing:
            batch = self._batches.get(key)
            if batch is None:
                batch = self._batches[key] = self._open(loop)
                batch.keys.append(key)
            batches[id(batch)] = batch
        # one for each who waits: who is cancelled cancels his own
        ready: list[asyncio.Future[None]] = [loop.create_future() for _ in batches]
        for batch, each in zip(batches.values(), ready, strict=True):
            batch.waiting.append(each)
        for each in ready:
            await each

    def _open(self, loop: asyncio.AbstractEventLoop) -> _Batch[K]:
        if self._next is None:
            self._next = _Batch([])
            loop.call_soon(self._start_next)
        return self._next

    def _start_next(self) -> None:
        batch, self._next = self._next, None
        assert batch is not None
        self._start(batch)

    def _start(self, batch: _Batch[K]) -> None:
        task = asyncio.create_task(self._read(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _lead(self, batch: _Batch[K]) -> None:
        """Read in the task of who asks."""
        self._batches.update(dict.fromkeys(batch.keys, batch))
        try:
            await self._fill(batch)
        except asyncio.CancelledError:
            if batch.waiting:
                self._start(batch)  # again, for the others
            else:
                self._forget(batch)
            raise
        self._forget(batch)

    async def _read(self, batch: _Batch[K]) -> None:
        try:
            await self._fill(batch)
        except BaseException:
            for ready in batch.waiting:
                ready.cancel()
            raise
        finally:
            self._forget(batch)

    async def _fill(self, batch: _Batch[K]) -> None:
        try:
            values = await self._fetch(batch.keys)
            if len(values) != len(batch.keys):
                raise ValueError(f"asked for {len(batch.keys)} keys, got {len(values)} values")
            self._found.update(zip(batch.keys, values, strict=True))
        except Exception as error:  # noqa: BLE001 - handed on to all who wait, none is swallowed
            self._found.update(dict.fromkeys(batch.keys, error))

    def _forget(self, batch: _Batch[K]) -> None:
        """It is not under way any more, and nobody need wait."""
        for key in batch.keys:
            self._batches.pop(key, None)
        for ready in batch.waiting:
            if not ready.done():
                ready.set_result(None)


def _value(found: V | Exception) -> V:
    if isinstance(found, Exception):
        raise found
    return found
