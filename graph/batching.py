"""How a DataLoader reads a batch: by key, by list, by page, from the registry in memory, as a tenant. Never: of what.

Each tells what it reads before it reads it.
"""

# The functions made here are made for every operation, and would make their annotations each time.
from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto
from typing import TypeVar
from uuid import UUID

from auth.actor import Actor
from graph.loader import DataLoader
from models.database import Database
from models.tenant_reads import TenantReads
from queries.page import Page, PageRequest
from queries.reader import Reader, open_reader
from queries.registry import Registry
from queries.tenant_values import TenantValues
from rules.errors import Refusal

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


class Follows(Enum):
    """Whose rev grows whenever something changes in what is read."""

    REGISTRY = auto()
    ORGANIZATION = auto()


class RegistryLoader(DataLoader[K, V | None]):
    """From the registry in memory; what is not there, or not for everybody to see, the database is asked for.

    What this operation can be told of the registry without asking anybody waits for no tick.
    """

    def __init__(
        self,
        batches: Batches,
        query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, V]]],
        pick: Callable[[Registry, Actor], Mapping[K, V]],
    ) -> None:
        super().__init__()
        self._of, self._query, self._pick = batches, query, pick

    async def load(self, key: K) -> V | None:
        found = self.at_once((key,))
        return await super().load(key) if found is None else found[0]

    async def load_many(self, keys: Iterable[K]) -> list[V | None]:
        wanted = tuple(keys)
        found = self.at_once(wanted)
        return await super().load_many(wanted) if found is None else found

    def at_once(self, keys: Iterable[K]) -> list[V | None] | None:
        """Without asking anybody; None: that is not possible for all of them."""
        registry = self._of.at_hand()
        if registry is None:
            return None
        found = list(map(self._pick(registry, self._of.actor).get, keys))
        if None in found:
            return None
        self._of.note_read(Follows.REGISTRY)
        return found

    async def _fetch(self, keys: list[K]) -> Sequence[V | Exception | None]:
        of = self._of
        of.note_read(Follows.REGISTRY)
        registry = await of.registry()
        found: dict[K, V] = {}
        if registry is not None:
            held = self._pick(registry, of.actor)
            found = {key: held[key] for key in keys if key in held}
        if missing := [key for key in keys if key not in found]:
            async with of.reader(Follows.REGISTRY) as reader:
                found.update(await self._query(reader, missing))
        return [found.get(key) for key in keys]


class TenantLoader(DataLoader[K, V]):
    """The hot ones: a tenant's own, without a session, and together with what other tenants ask just now.

    `kept`: the same by way of Redis, for an answer that is known how new it must be.
    """

    def __init__(
        self,
        batches: Batches,
        tenant: UUID,
        query: Callable[[TenantReads, UUID, Sequence[K]], Awaitable[Mapping[K, V | Refusal]]],
        default: Callable[[], V],
        kept: Callable[[TenantValues, Sequence[K]], Awaitable[Mapping[K, V | Refusal]]] | None = None,
        *,
        reads_at_once: bool = False,
    ) -> None:
        super().__init__(reads_at_once=reads_at_once)
        self._of, self._tenant, self._query, self._default, self._kept = batches, tenant, query, default, kept

    async def _fetch(self, keys: list[K]) -> Sequence[V | Exception]:
        self._of.note_read(Follows.ORGANIZATION)
        values = None if self._kept is None else self._of.values()
        if self._kept is None or values is None:
            found = await self._query(self._of.tenant_reads, self._tenant, keys)
        else:
            found = await self._kept(values, keys)
        return [found[key] if key in found else self._default() for key in keys]


class Batches:
    """`note_read` is told of each read, before it, what that follows; None: nothing that has a rev.

    `registry`: the registry in memory, or None when it is not known how new it must be: then the database is asked.
    `at_hand`: the same without asking anybody how new that is; None also when that is not known yet. `values`: what is
    kept of the tenant in Redis, or None when it is not known how new it must be.
    """

    def __init__(
        self,
        database: Database,
        actor: Actor,
        note_read: Callable[[Follows | None], None],
        registry: Callable[[], Awaitable[Registry | None]],
        at_hand: Callable[[], Registry | None],
        values: Callable[[], TenantValues | None],
    ) -> None:
        self._database, self.actor, self.note_read = database, actor, note_read
        self.registry, self.at_hand, self.values = registry, at_hand, values

    def end(self) -> None:
        """Let go of everything: loaders, what they read and whose they are refer to each other, and would all wait for
        the collector, which was a third of the processor time of cold queries."""
        self.__dict__.clear()

    @property
    def tenant_reads(self) -> TenantReads:
        return self._database.tenant_reads

    def reader(self, what: Follows | None) -> AbstractAsyncContextManager[Reader]:
        self.note_read(what)
        return open_reader(self._database, self.actor)

    def _by_key(
        self, query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, V]]], what: Follows | None
    ) -> DataLoader[K, V | None]:
        async def load(keys: list[K]) -> list[V | None]:
            async with self.reader(what) as reader:
                found = await query(reader, keys)
            return [found.get(key) for key in keys]

        return DataLoader(load)

    def _lists(
        self, query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, list[V]]]], what: Follows | None
    ) -> DataLoader[K, list[V]]:
        async def load(keys: list[K]) -> list[list[V]]:
            async with self.reader(what) as reader:
                found = await query(reader, keys)
            return [found.get(key, []) for key in keys]

        return DataLoader(load)

    def _by_page(
        self, query: Callable[[Reader, Sequence[K], PageRequest], Awaitable[Mapping[K, Page[V]]]], what: Follows | None
    ) -> DataLoader[tuple[K, PageRequest], Page[V]]:
        """Pages of many parents: one statement per distinct page argument, which a document has few of."""

        async def load(keys: list[tuple[K, PageRequest]]) -> list[Page[V] | Refusal]:
            found: dict[tuple[K, PageRequest], Page[V] | Refusal] = {}
            for request in dict.fromkeys(request for _, request in keys):
                parents = [parent for parent, asked in keys if asked == request]
                try:
                    async with self.reader(what) as reader:
                        pages = await query(reader, parents, request)
                except Refusal as refusal:  # of this page's cursor: the other pages are sound
                    found.update({(parent, request): refusal for parent in parents})
                else:
                    found.update({(parent, request): pages[parent] for parent in parents})
            return [found[key] for key in keys]

        return DataLoader(load)
