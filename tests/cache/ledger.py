"""What the race tests race on: numbered rows in PostgreSQL, written and read by two processes' worth of cache.

A row's value is its rev, and is read in the same statement. The ledger remembers what was acknowledged to whom, and
judges each read by what had been acknowledged when it began.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
from redis.asyncio import Redis

from cache.keys import ORGANIZATION_INFO
from cache.stamped import Stamped
from tests.cache.conftest import Process

ORGANIZATIONS = 4
WRITES, READS, READERS = 200, 4_000, 40
# A snapshot ages longer before it is kept than a commit takes to be announced: that is what races are made of.
LOAD_SECONDS, ANNOUNCE_SECONDS = 0.02, 0.001

TABLE = "CREATE TABLE ledger (organization_id uuid PRIMARY KEY, rev bigint NOT NULL)"
WRITE = "UPDATE ledger SET rev = rev + 1 WHERE organization_id = $1 RETURNING rev"
READ = "SELECT organization_id, rev FROM ledger WHERE organization_id = ANY($1::uuid[])"


@dataclass
class Ledger:
    """`raised` knows the commits whose floor is known to be raised, `own` those of each writer."""

    pool: asyncpg.Pool
    draw: random.Random
    ids: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(ORGANIZATIONS)])
    raised: dict[UUID, int] = field(default_factory=dict)
    own: dict[tuple[int, UUID], int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    late: set[asyncio.Task[bool]] = field(default_factory=set)

    async def create(self) -> None:
        await self.pool.execute(TABLE)
        await self.pool.executemany("INSERT INTO ledger VALUES ($1, 1)", [(each,) for each in self.ids])

    async def load(self, ids: Collection[UUID]) -> Mapping[UUID, Stamped]:
        rows = await self.pool.fetch(READ, list(ids))
        await asyncio.sleep(self.draw.uniform(0, LOAD_SECONDS))
        revs = {UUID(str(organization_id)): rev for organization_id, rev in rows}
        return {organization_id: Stamped({organization_id: rev}, rev) for organization_id, rev in revs.items()}

    async def write(self, writer: int, raise_floor: Callable[[UUID, int], Awaitable[bool]]) -> None:
        organization_id = self.draw.choice(self.ids)
        rev = await self.pool.fetchval(WRITE, organization_id)
        self.own[writer, organization_id] = max(rev, self.own.get((writer, organization_id), 0))
        await asyncio.sleep(self.draw.uniform(0, ANNOUNCE_SECONDS))
        if await raise_floor(organization_id, rev):
            self.raised[organization_id] = max(rev, self.raised.get(organization_id, 0))
        else:
            self.counts["not raised"] += 1
        task = asyncio.create_task(self._say_again(raise_floor, organization_id, rev))
        self.late.add(task)
        task.add_done_callback(self.late.discard)

    async def read(self, reader: int, find: Callable[[UUID, int], Awaitable[int]]) -> None:
        """`find` is told what this client has written itself. Stale is less than was known when it was asked."""
        organization_id = self.draw.choice(self.ids)
        raised, own = self.raised.get(organization_id, 0), self.own.get((reader, organization_id), 0)
        found = await find(organization_id, own)
        self.counts["reads"] += 1
        self.counts["own stale"] += found < own
        self.counts["stale"] += found < raised

    async def _say_again(self, raise_floor: Callable[[UUID, int], Awaitable[bool]], stream: UUID, rev: int) -> bool:
        """As the reactions do, later and in any order."""
        await asyncio.sleep(self.draw.uniform(0, 0.05))
        return await raise_floor(stream, rev)


class Clients:
    """Reads and writes through the processes' caches; a client's number decides which process it speaks with."""

    def __init__(self, ledger: Ledger, processes: list[Process]) -> None:
        self._ledger = ledger
        self._processes = processes

    async def write(self, client: int) -> None:
        floor = self._processes[client % len(self._processes)].floor
        await self._ledger.write(client, lambda organization_id, rev: floor.raise_floors({organization_id: rev}))

    async def read(self, client: int) -> None:
        cache = self._processes[client % len(self._processes)].cache

        async def find(organization_id: UUID, own: int) -> int:
            need = {organization_id: own}
            found = await cache.get_many(ORGANIZATION_INFO, [organization_id], self._ledger.load, need=need)
            value = found[organization_id]
            assert value is not None
            assert isinstance(value.value, int)
            return value.value

        await self._ledger.read(client, find)


class NaiveClients(Clients):
    """Cache-aside as it is done everywhere: readers set what they read, writers delete after the commit."""

    def __init__(self, ledger: Ledger, redis: Redis) -> None:
        super().__init__(ledger, [])
        self._redis = redis

    async def write(self, client: int) -> None:

        async def delete(organization_id: UUID, _: int) -> bool:
            await self._redis.delete(f"naive:{organization_id}")
            return True

        await self._ledger.write(client, delete)

    async def read(self, client: int) -> None:

        async def find(organization_id: UUID, _: int) -> int:
            key = f"naive:{organization_id}"
            if (kept := await self._redis.get(key)) is not None:
                return int(kept)
            rev = (await self._ledger.load([organization_id]))[organization_id].revs[organization_id]
            await self._redis.set(key, rev, ex=300)
            return rev

        await self._ledger.read(client, find)


async def race(clients: Clients, ledger: Ledger, *, think_seconds: float = 0.0) -> Counter[str]:
    """4,000 reads and 200 writes by 40 clients at once; what they saw."""

    async def live(client: int) -> None:
        for number in range(READS // READERS):
            if number % (READS // WRITES) == client % (READS // WRITES):
                await clients.write(client)
            await clients.read(client)
            await asyncio.sleep(think_seconds)

    await asyncio.gather(*(live(client) for client in range(READERS)))
    await asyncio.gather(*ledger.late)
    assert ledger.counts["reads"] == READS
    return ledger.counts
