"""A model of the cache's protocol: one stream, one key, and schedules drawn at random.

A schedule lets commits, their announcements (which come late, twice and in any order), evictions, restarts from an
older copy, reads, loads and fills happen in any order that the real parts could bring about. An answer is stale when
it is older than what had been acknowledged to somebody before the read began.

Run it for the figures of the decision page: `python -m tests.cache.model`.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")
STEPS = 30
Lease = str
ORDINARY = ("commit", "announce", "late", "look", "look", "load", "fill", "fill")
EVICTING = (*ORDINARY, "evict_floor", "evict_value")
RESTARTING = (*EVICTING, "copy", "restart")


class Store(NamedTuple):
    """What Redis holds of one stream and one key."""

    floor: int | Lease | None = None
    value: int | None = None  # the rev it is stamped with


class CacheProtocol(Protocol):
    """What the parts do to the store. `look` answers a hit's rev or None, and may put up a lease."""

    def look(self, store: Store, need: int, nonce: Lease) -> tuple[Store, int | None]: ...
    def fill(self, store: Store, rev: int, seen: Store) -> Store: ...
    def bump(self, store: Store, rev: int) -> Store: ...
    def restart(self, copy: Store) -> Store: ...


class Naive:
    """Cache-aside: a commit deletes the value, a reader stores what it read."""

    def look(self, store: Store, need: int, nonce: Lease) -> tuple[Store, int | None]:
        return store, store.value

    def fill(self, store: Store, rev: int, seen: Store) -> Store:
        return store._replace(value=rev)

    def bump(self, store: Store, rev: int) -> Store:
        return store._replace(value=None)

    def restart(self, copy: Store) -> Store:
        return copy


class FloorFromZero(Naive):
    """A floor that is missing counts as 0."""

    def look(self, store: Store, need: int, nonce: Lease) -> tuple[Store, int | None]:
        floor = store.floor if isinstance(store.floor, int) else 0
        return store, store.value if store.value is not None and store.value >= max(floor, need) else None

    def fill(self, store: Store, rev: int, seen: Store) -> Store:
        floor = store.floor if isinstance(store.floor, int) else 0
        return store._replace(value=rev) if rev >= floor else store

    def bump(self, store: Store, rev: int) -> Store:
        return store._replace(floor=max(rev, store.floor if isinstance(store.floor, int) else 0))


class LeaseReplaced(FloorFromZero):
    """Floor and lease; a bump that finds no floor, or a lease, makes its own rev the floor."""

    def look(self, store: Store, need: int, nonce: Lease) -> tuple[Store, int | None]:
        if store.floor is None:
            store = store._replace(floor=nonce)
        if isinstance(store.floor, int) and store.value is not None and store.value >= max(store.floor, need):
            return store, store.value
        return store, None

    def fill(self, store: Store, rev: int, seen: Store) -> Store:
        if isinstance(store.floor, int):
            return Store(max(rev, store.floor), rev) if rev >= store.floor else store
        return Store(rev, rev) if store.floor is not None and store.floor == seen.floor else store


class LeaseOnlyReplaced(LeaseReplaced):
    """A bump makes its rev the floor in place of a lease, and leaves a floor alone that is missing."""

    def bump(self, store: Store, rev: int) -> Store:
        return store if store.floor is None else super().bump(store, rev)


class LeaseKept(LeaseReplaced):
    """A bump that finds a lease leaves it there."""

    def bump(self, store: Store, rev: int) -> Store:
        return super().bump(store, rev) if isinstance(store.floor, int) else store


class LeaseDeleted(LeaseReplaced):
    """A bump raises a floor that is a number, and deletes a lease."""

    def bump(self, store: Store, rev: int) -> Store:
        return super().bump(store, rev) if isinstance(store.floor, int) else store._replace(floor=None)


class LeaseDeletedByRun(LeaseDeleted):
    """Ours: besides, no run of the server knows the floors of another."""

    def restart(self, copy: Store) -> Store:
        return copy._replace(floor=None)


@dataclass
class Reading:
    """A reader between its look and its fill."""

    acknowledged: int
    seen: Store
    loaded: int | None = None


class Schedule:
    """One run of the model. `counts` has the answers: hit, loaded, and of the hits those that were stale."""

    def __init__(self, protocol: CacheProtocol, draw: random.Random, *, has_token: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._protocol = protocol
        self._draw = draw
        self._has_token = has_token
        self._store = self._copy = Store()
        self._committed = self._acknowledged = self._nonces = 0
        self._unannounced: list[int] = []
        self._late: list[int] = []
        self._looked: list[Reading] = []
        self._loaded: list[Reading] = []

    def run(self, steps: tuple[str, ...], acts: "dict[str, Callable[[Schedule], None]]") -> None:
        choice = self._draw.choice
        for _ in range(STEPS):
            acts[choice(steps)](self)

    def commit(self) -> None:
        self._committed += 1
        self._unannounced.append(self._committed)

    def announce(self) -> None:
        """By the writer, before it acknowledges; the reactions will say it again, whenever."""
        if self._unannounced:
            rev = self._any(self._unannounced)
            self._store = self._protocol.bump(self._store, rev)
            self._acknowledged = max(self._acknowledged, rev)
            self._late.append(rev)

    def late(self) -> None:
        if self._late:
            self._store = self._protocol.bump(self._store, self._any(self._late))

    def evict_floor(self) -> None:
        self._store = self._store._replace(floor=None)

    def evict_value(self) -> None:
        self._store = self._store._replace(value=None)

    def copy(self) -> None:
        self._copy = self._store

    def restart(self) -> None:
        self._store = self._protocol.restart(self._copy)

    def look(self) -> None:
        self._nonces += 1
        need = self._acknowledged if self._has_token else 0
        self._store, hit = self._protocol.look(self._store, need, f"L{self._nonces}")
        if hit is None:
            self._looked.append(Reading(self._acknowledged, self._store))
        else:
            self.counts["hit"] += 1
            self.counts["stale"] += hit < self._acknowledged

    def load(self) -> None:
        if self._looked:
            reading = self._any(self._looked)
            reading.loaded = self._committed
            self.counts["loaded"] += 1
            self._loaded.append(reading)

    def fill(self) -> None:
        if self._loaded:
            reading = self._any(self._loaded)
            assert reading.loaded is not None
            self._store = self._protocol.fill(self._store, reading.loaded, reading.seen)

    def _any(self, choices: list[T]) -> T:
        return choices.pop(self._draw.randrange(len(choices)))


ACTS: dict[str, Callable[[Schedule], None]] = {name: getattr(Schedule, name) for name in set(RESTARTING)}


def stale_schedules(
    protocol: CacheProtocol, steps: tuple[str, ...], *, seed: int, schedules: int, has_token: bool = False
) -> Counter[str]:
    """Over all schedules: the hits, the loads, the stale hits, and as `schedules` those with a stale hit."""
    total: Counter[str] = Counter()
    for number in range(schedules):
        schedule = Schedule(protocol, random.Random(seed * 1_000_003 + number), has_token=has_token)
        schedule.run(steps, ACTS)
        total += schedule.counts
        total["schedules"] += schedule.counts["stale"] > 0
    return total


def main() -> None:
    protocols = (Naive, FloorFromZero, LeaseReplaced, LeaseOnlyReplaced, LeaseKept, LeaseDeleted, LeaseDeletedByRun)
    for name, steps in (("ordinary", ORDINARY), ("evicting", EVICTING), ("restarting", RESTARTING)):
        for protocol in protocols:
            for has_token in (False, True):
                found = stale_schedules(protocol(), steps, seed=1, schedules=60_000, has_token=has_token)
                print(f"{name:10} {protocol.__name__:18} {'token' if has_token else '':5} {dict(found)}")


if __name__ == "__main__":
    main()
