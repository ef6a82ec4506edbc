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
    """`find` answers what this operation can be told of the registry without asking anybody: that waits for no tick."""

    def __init__(
        self, load: Callable[[list[K]], Awaitable[list[V | None]]], find: Callable[[Iterable[K]], list[V] | None]
    ) -> None:
        super().__init__(load)
        self._find = find

    async def load(self, key: K) -> V | None:
        found = self._find((key,))
        return await super().load(key) if found is None else found[0]

    async def load_many(self, keys: Iterable[K]) -> list[V | None]:
        wanted = tuple(keys)
        found = self._find(wanted)
        return await super().load_many(wanted) if found is None else [*found]


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
        self._database, self._actor, self._note_read = database, actor, note_read
        self._registry, self._at_hand, self._values = registry, at_hand, values

    def end(self) -> None:
        """Let go of everything: loaders, what they read and whose they are refer to each other, and would all wait for
        the collector, which was a third of the processor time of cold queries."""
        self.__dict__.clear()

    def _reader(self, what: Follows | None) -> AbstractAsyncContextManager[Reader]:
        self._note_read(what)
        return open_reader(self._database, self._actor)

    def _from_registry(
        self,
        query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, V]]],
        pick: Callable[[Registry, K], V | None],
    ) -> DataLoader[K, V | None]:
        """What is not in the registry in memory, or not for everybody to see, the database is asked for."""

        async def load(keys: list[K]) -> list[V | None]:
            self._note_read(Follows.REGISTRY)
            registry = await self._registry()
            found: dict[K, V] = {}
            if registry is not None:
                found = {key: row for key in keys if (row := pick(registry, key)) is not None}
            if missing := [key for key in keys if key not in found]:
                async with self._reader(Follows.REGISTRY) as reader:
                    found.update(await query(reader, missing))
            return [found.get(key) for key in keys]

        def find(keys: Iterable[K]) -> list[V] | None:
            registry = self._at_hand()
            if registry is None:
                return None
            found = []
            for key in keys:
                row = pick(registry, key)
                if row is None:
                    return None
                found.append(row)
            self._note_read(Follows.REGISTRY)
            return found

        return RegistryLoader(load, find)

    def _of_tenant(
        self,
        tenant: UUID,
        query: Callable[[TenantReads, UUID, Sequence[K]], Awaitable[Mapping[K, V | Refusal]]],
        default: Callable[[], V],
        kept: Callable[[TenantValues, Sequence[K]], Awaitable[Mapping[K, V | Refusal]]] | None = None,
    ) -> DataLoader[K, V]:
        """The hot ones: a tenant's own, without a session, and together with what other tenants ask just now.

        `kept`: the same by way of Redis, for an answer that is known how new it must be.
        """

        async def load(keys: list[K]) -> list[V | Refusal]:
            self._note_read(Follows.ORGANIZATION)
            values = None if kept is None else self._values()
            if kept is None or values is None:
                found = await query(self._database.tenant_reads, tenant, keys)
            else:
                found = await kept(values, keys)
            return [found[key] if key in found else default() for key in keys]

        return DataLoader(load)

    def _by_key(
        self, query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, V]]], what: Follows | None
    ) -> DataLoader[K, V | None]:
        async def load(keys: list[K]) -> list[V | None]:
            async with self._reader(what) as reader:
                found = await query(reader, keys)
            return [found.get(key) for key in keys]

        return DataLoader(load)

    def _lists(
        self, query: Callable[[Reader, Sequence[K]], Awaitable[Mapping[K, list[V]]]], what: Follows | None
    ) -> DataLoader[K, list[V]]:
        async def load(keys: list[K]) -> list[list[V]]:
            async with self._reader(what) as reader:
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
                    async with self._reader(what) as reader:
                        pages = await query(reader, parents, request)
                except Refusal as refusal:  # of this page's cursor: the other pages are sound
                    found.update({(parent, request): refusal for parent in parents})
                else:
                    found.update({(parent, request): pages[parent] for parent in parents})
            return [found[key] for key in keys]

        return DataLoader(load)
