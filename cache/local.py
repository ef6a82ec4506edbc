"""Values in the memory of this process, for two seconds, and only while the events of their streams arrive.

Never holds: values that nobody has checked against a floor or read from the database.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from cache.stamped import Stamped

TTL_SECONDS = 2.0
TAIL_AGE_SECONDS_MAX = 1.0
BYTES_MAX = 16_777_216
ENTRY_BYTES = 500  # about what an entry weighs besides its content


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Stamped
    size: int
    until: float


class LocalCache:
    """`tail_rev` answers the last rev that the tail has seen of a stream, None when it does not follow it;
    `tail_age` how many seconds ago the tail last was known to miss nothing; `generation` is the floors'.
    """

    def __init__(
        self,
        *,
        tail_rev: Callable[[UUID], int | None],
        tail_age: Callable[[], float],
        generation: Callable[[], int],
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._tail_rev = tail_rev
        self._tail_age = tail_age
        self._generation_now = generation
        self._generation = generation()
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.bytes = 0

    def find(self, key: str, need: Mapping[UUID, int]) -> Stamped | None:
        """The value, if the tail lives and has seen nothing newer, and the client neither."""
        if not self._is_on():
            return None
        entry = self._entries.get(key)
        if entry is None:
            return None
        if time.monotonic() >= entry.until:
            self._remove(key)
            return None
        for stream, rev in entry.value.revs.items():
            seen = self._tail_rev(stream)
            if seen is None or rev < seen or rev < need.get(stream, 0):
                return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: str, value: Stamped, size: int, *, generation: int) -> None:
        """`size`: of the content in bytes. `generation`: the floors', from before the value was judged or read."""
        if not self._is_on() or generation != self._generation:
            return
        self._remove(key)
        size += ENTRY_BYTES
        if size > self._bytes_max:
            return
        self._entries[key] = _Entry(value, size, time.monotonic() + TTL_SECONDS)
        self.bytes += size
        while self.bytes > self._bytes_max:
            self._remove(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0

    def _is_on(self) -> bool:
        generation = self._generation_now()
        if generation != self._generation:
            self._generation = generation
            self.clear()
        if self._tail_age() >= TAIL_AGE_SECONDS_MAX:
            self.clear()  # what the tail missed meanwhile is not known when it lives again
            return False
        return True

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size
