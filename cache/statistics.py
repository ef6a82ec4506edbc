"""What the cache did, counted per family of keys. Never holds: how it is shown."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum


class Count(StrEnum):
    """What happened to one value that was asked for, or was to be kept."""

    LOCAL = "local"  # a hit in this process
    HIT = "hit"
    NEGATIVE = "negative"  # a hit that says: there is none
    MISS = "miss"  # not there, or no floor to judge it by
    OLD = "old"  # there, but older than the floor or than what the client has seen
    POISONED = "poisoned"  # there, but not of our form
    AWAY = "away"  # Redis could not be asked
    JOINED = "joined"  # not loaded: somebody else in this process or in another one did
    LOADED = "loaded"
    STORED = "stored"
    REFUSED = "refused"  # not stored: a commit came in between, another reader has the lease, or it is too large


class Statistics:
    """Counters that only grow, since the process began."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Count]] = {}

    def add(self, family: str, count: Count, number: int = 1) -> None:
        if family not in self._counts:
            self._counts[family] = Counter()
        self._counts[family][count] += number

    def snapshot(self) -> Mapping[str, Mapping[str, int]]:
        """By the family's pattern and the count's name; every count is there, at nought too."""
        return {family: {each.value: counts[each] for each in Count} for family, counts in self._counts.items()}

    def hit_rate(self, family: str) -> float | None:
        """The part of the values asked for that needed no load; None before the first."""
        counts = self._counts.get(family, Counter())
        hits = counts[Count.LOCAL] + counts[Count.HIT] + counts[Count.NEGATIVE]
        asked = hits + counts[Count.MISS] + counts[Count.OLD] + counts[Count.POISONED] + counts[Count.AWAY]
        return hits / asked if asked else None
