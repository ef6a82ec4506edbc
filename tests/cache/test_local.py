"""Values in process: what they are valid by, and what turns them off."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from cache import local
from cache.local import ENTRY_BYTES, LocalCache
from cache.stamped import Stamped
from tests.cache.conftest import running_process
from tests.cache.test_read_through import Source, counts
from tests.cache.valkey import Valkey

ORG, REGISTRY = uuid4(), uuid4()


@dataclass
class Tail:
    """What the tail of events would tell."""

    revs: dict[UUID, int] = field(default_factory=lambda: {ORG: 5, REGISTRY: 2})
    age: float = 0.1
    generation: int = 1

    def cache(self, **settings: Any) -> LocalCache:
        return LocalCache(
            tail_rev=self.revs.get, tail_age=lambda: self.age, generation=lambda: self.generation, **settings
        )


VALUE = Stamped({ORG: 5, REGISTRY: 2}, {"a": 1})


def full(tail: Tail) -> LocalCache:
    cache = tail.cache()
    cache.put("key", VALUE, 10, generation=1)
    assert cache.find("key", {}) is VALUE
    return cache


def _newer(tail: Tail) -> None:
    tail.revs[ORG] = 6


def _registry(tail: Tail) -> None:
    tail.revs[REGISTRY] = 3


def _unfollowed(tail: Tail) -> None:
    del tail.revs[ORG]


def _late(tail: Tail) -> None:
    tail.age = 1.0


def _other_run(tail: Tail) -> None:
    tail.generation = 2


@pytest.mark.parametrize("happens", [_newer, _registry, _unfollowed, _late, _other_run])
def test_what_makes_a_value_invalid(happens: Callable[[Tail], None]) -> None:
    tail = Tail()
    cache = full(tail)
    happens(tail)
    assert cache.find("key", {}) is None


@pytest.mark.parametrize(("need", "is_found"), [({ORG: 5}, True), ({ORG: 6}, False), ({REGISTRY: 3}, False)])
def test_a_client_sees_nothing_older_than_it_has_seen(need: dict[UUID, int], is_found: bool) -> None:
    assert (full(Tail()).find("key", need) is VALUE) is is_found


@pytest.mark.parametrize("happens", [_late, _other_run])
def test_all_is_dropped_when_the_tail_or_the_server_was_lost(happens: Callable[[Tail], None]) -> None:
    tail = Tail()
    cache = full(tail)
    happens(tail)
    cache.find("another", {})
    tail.age = 0.0
    assert cache.find("key", {}) is None
    assert cache.bytes == 0


def test_nothing_is_taken_while_it_is_off_or_from_before_a_restart() -> None:
    tail = Tail(age=1.0)
    cache = tail.cache()
    cache.put("key", VALUE, 10, generation=1)
    assert cache.bytes == 0
    tail.age = 0.0
    tail.generation = 2
    cache.put("key", VALUE, 10, generation=1)  # read before the server was another
    assert cache.bytes == 0


def test_bytes_are_bounded_and_the_oldest_goes_first() -> None:
    cache = Tail().cache(bytes_max=3 * (ENTRY_BYTES + 100))
    for key in ("a", "b", "c"):
        cache.put(key, VALUE, 100, generation=1)
    assert cache.find("a", {}) is VALUE  # used, and so the youngest
    cache.put("d", VALUE, 100, generation=1)
    assert [cache.find(key, {}) is VALUE for key in ("a", "b", "c", "d")] == [True, False, True, True]
    assert cache.bytes == 3 * (ENTRY_BYTES + 100)
    cache.put("too large", VALUE, 10_000, generation=1)
    assert cache.find("too large", {}) is None
    assert cache.bytes == 3 * (ENTRY_BYTES + 100)
    cache.put("a", VALUE, 50, generation=1)
    assert cache.bytes == 3 * (ENTRY_BYTES + 100) - 50


def test_a_value_lives_for_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local.TTL_SECONDS == 2.0
    monkeypatch.setattr(local, "TTL_SECONDS", 0.0)
    cache = Tail().cache()
    cache.put("key", VALUE, 10, generation=1)
    assert cache.find("key", {}) is None
    assert cache.bytes == 0


async def test_reads_in_process_need_no_redis(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TTL_SECONDS", 60.0)
    source, tail = Source(), Tail()
    tail.revs[source.organization_id] = 1
    settings = {"tail_rev": tail.revs.get, "tail_age": lambda: tail.age}
    async with running_process(valkey.url, local=settings) as process:
        assert [await source.read(process) for _ in range(4)] == ["first"] * 4
        # The first read met the server: whatever was begun before that is not kept here.
        assert counts(process) == {"miss": 1, "loaded": 1, "stored": 1, "local": 3}
        await source.change(process, "second")
        assert await source.read(process, need=2) == "second"
        tail.revs[source.organization_id] = 2
        assert await source.read(process) == "second"
        tail.age = 1.5
        assert await source.read(process) == "second"
        assert counts(process) == {"miss": 1, "old": 1, "loaded": 2, "stored": 2, "local": 4, "hit": 1}


async def test_a_restarted_server_empties_the_process(own_valkey: Valkey) -> None:
    """The tail is quiet and knows nothing newer; only the generation tells that a floor may have been lost."""
    source, tail = Source(), Tail()
    tail.revs[source.organization_id] = 1
    settings = {"tail_rev": tail.revs.get, "tail_age": lambda: tail.age}
    async with running_process(own_valkey.url, local=settings) as process:
        assert [await source.read(process) for _ in range(2)] == ["first"] * 2
        await process.server.save()
        own_valkey.restart_from(own_valkey.keep_dump())
        source.rev, source.value = 2, "second"
        while not await process.floor.raise_floors({source.organization_id: 2}):
            pass
        assert await source.read(process) == "second"
