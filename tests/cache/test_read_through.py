"""Reading through the cache: what is a hit, what is loaded, what is kept, and who waits for whom."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from cache.keys import EFFECTIVE_CONFIG, ORGANIZATION_INFO, EffectiveConfigId
from cache.stamped import CONTENT_BYTES_MAX, Stamped
from models.base import PLATFORM_ID
from tests.cache.conftest import Process, running_process
from tests.cache.valkey import Valkey

INFO = ORGANIZATION_INFO


@dataclass
class Source:
    """A database of one organization, which counts what it is asked."""

    organization_id: UUID = field(default_factory=uuid4)
    rev: int = 1
    value: Any = "first"
    calls: list[list[UUID]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    error: Exception | None = None

    async def load(self, ids: Collection[UUID]) -> Mapping[UUID, Stamped]:
        self.calls.append(list(ids))
        # As a snapshot does: what is read was decided before the wait.
        found = {each: Stamped({each: self.rev}, self.value) for each in ids}
        if (gate := self.gate) is not None:
            await gate.wait()
        if self.error is not None:
            raise self.error
        return found

    async def change(self, process: Process, value: Any) -> None:
        self.rev, self.value = self.rev + 1, value
        assert await process.floor.raise_floors({self.organization_id: self.rev}) is True

    async def read(self, process: Process, need: int = 0) -> Any:
        organization_id = self.organization_id
        found = await process.cache.get_many(INFO, [organization_id], self.load, need={organization_id: need})
        stamped = found[organization_id]
        return None if stamped is None else stamped.value

    @property
    def key(self) -> str:
        return INFO.key(self.organization_id)


def counts(process: Process) -> dict[str, int]:
    """Those that are not nought."""
    found = process.cache.statistics.snapshot().get(INFO.pattern, {})
    return {name: number for name, number in found.items() if number}


async def test_a_miss_is_loaded_and_kept(process: Process, other: Process) -> None:
    source = Source()
    assert [await source.read(process) for _ in range(3)] == ["first"] * 3
    assert await source.read(other) == "first"
    assert len(source.calls) == 1
    assert counts(process) == {"miss": 1, "loaded": 1, "stored": 1, "hit": 2}
    assert counts(other) == {"hit": 1}
    assert process.cache.statistics.hit_rate(INFO.pattern) == pytest.approx(2 / 3)


async def test_a_commit_makes_it_old(process: Process, other: Process) -> None:
    source = Source()
    await source.read(process)
    await source.change(other, "second")
    assert [await source.read(each) for each in (process, other, process)] == ["second"] * 3
    assert len(source.calls) == 2
    assert counts(process) == {"miss": 1, "old": 1, "loaded": 2, "stored": 2, "hit": 1}


async def test_one_call_loads_all_that_is_missing(process: Process) -> None:
    source, ids = Source(), [uuid4() for _ in range(250)]
    await process.cache.get_many(INFO, ids[:50], source.load)
    found = await process.cache.get_many(INFO, ids, source.load)
    assert set(found) == set(ids)
    assert [len(call) for call in source.calls] == [50, 200]
    assert counts(process) == {"miss": 250, "loaded": 250, "stored": 250, "hit": 50}


async def test_requests_of_one_tick_share_one_mget(process: Process) -> None:
    sources = [Source() for _ in range(50)]
    await asyncio.gather(*(source.read(process) for source in sources))
    before = (await process.server.info("commandstats"))["cmdstat_mget"]["calls"]
    await asyncio.gather(*(source.read(process) for source in sources))
    assert (await process.server.info("commandstats"))["cmdstat_mget"]["calls"] == before + 1
    assert counts(process)["hit"] == 50


async def test_what_does_not_exist_is_kept_for_a_short_while(process: Process) -> None:
    source = Source(value=None)
    assert [await source.read(process) for _ in range(2)] == [None, None]
    assert counts(process) == {"miss": 1, "loaded": 1, "stored": 1, "negative": 1}
    assert 25 <= await process.server.ttl(source.key) <= 35
    await source.change(process, "there now")
    assert await source.read(process) == "there now"


async def test_what_load_leaves_out_is_none_and_not_kept(process: Process) -> None:
    organization_id, calls = uuid4(), []

    async def nothing(ids: Collection[UUID]) -> Mapping[UUID, Stamped]:
        calls.append(ids)
        await asyncio.sleep(0)
        return {}

    asked = [process.cache.get_many(INFO, [organization_id], nothing) for _ in range(20)]
    assert await asyncio.gather(*asked) == [{organization_id: None}] * 20
    assert len(calls) == 1
    assert await process.server.exists(INFO.key(organization_id)) == 0


async def test_lifetimes_are_spread_by_fifteen_percent(process: Process) -> None:
    source, ids = Source(), [uuid4() for _ in range(200)]
    await process.cache.get_many(INFO, ids, source.load)
    lives = [await process.server.ttl(INFO.key(each)) for each in ids]
    assert all(255 - 3 <= life <= 345 for life in lives)
    assert max(lives) - min(lives) > 45


@pytest.mark.parametrize("poison", [b"", b"1|1|00000000|1", b"\x80\x04K\x01.", b"9" * 50])
async def test_a_poisoned_entry_is_counted_and_overwritten(process: Process, poison: bytes) -> None:
    source = Source()
    await source.read(process)
    await process.server.set(source.key, poison)
    assert [await source.read(process) for _ in range(2)] == ["first"] * 2
    assert counts(process) == {"miss": 1, "poisoned": 1, "loaded": 2, "stored": 2, "hit": 1}


async def test_an_entry_of_another_type_is_overwritten(process: Process) -> None:
    source = Source()
    await source.read(process)
    await process.server.delete(source.key)
    await process.server.hset(source.key, "field", "value")
    assert [await source.read(process) for _ in range(2)] == ["first"] * 2
    assert len(source.calls) == 2


async def test_another_tenants_value_under_this_key_is_none(process: Process) -> None:
    mine, foreign = Source(), Source(value="foreign")
    await asyncio.gather(mine.read(process), foreign.read(process))
    await process.server.copy(foreign.key, mine.key, replace=True)
    assert await mine.read(process) == "first"
    assert counts(process)["poisoned"] == 1


async def test_a_value_older_than_what_the_client_has_seen_is_loaded(process: Process) -> None:
    source = Source(rev=6)
    await source.read(process)
    source.rev, source.value = 7, "second"  # a commit whose floor was never raised
    assert await source.read(process, need=6) == "first"
    assert await source.read(process, need=7) == "second"
    assert await source.read(process) == "second"  # and its rev is the floor from now on
    assert counts(process) == {"miss": 1, "old": 1, "loaded": 2, "stored": 2, "hit": 2}


async def test_a_need_that_no_commit_has_reached_is_answered_at_once(process: Process) -> None:
    source = Source()
    async with asyncio.timeout(20):
        assert await asyncio.gather(*(source.read(process, need=999) for _ in range(10))) == ["first"] * 10


async def test_a_value_hangs_on_all_of_its_streams(process: Process) -> None:
    organization_id, revs, calls = uuid4(), {"organization": 5, "registry": 3}, []

    async def load(ids: Collection[EffectiveConfigId]) -> Mapping[EffectiveConfigId, Stamped]:
        calls.append(dict(revs))
        stamp = {organization_id: revs["organization"], PLATFORM_ID: revs["registry"]}
        return {each: Stamped(stamp, [each.code, *stamp.values()]) for each in ids}

    asked = EffectiveConfigId(organization_id, "billing")

    async def read(need: Mapping[UUID, int] | None = None) -> Any:
        stamped = (await process.cache.get_many(EFFECTIVE_CONFIG, [asked], load, need=need or {}))[asked]
        return stamped.value if stamped else None

    assert [await read(), await read()] == [["billing", 5, 3]] * 2
    revs["registry"] = 4
    await process.floor.raise_floors({PLATFORM_ID: 4})
    assert [await read(), await read()] == [["billing", 5, 4]] * 2
    revs["organization"] = 6
    await process.floor.raise_floors({organization_id: 6})
    assert [await read(), await read()] == [["billing", 6, 4]] * 2
    revs["registry"] = 5
    assert await read({PLATFORM_ID: 5}) == ["billing", 6, 5]
    assert len(calls) == 4


async def test_a_value_that_a_commit_overtook_is_not_kept(process: Process) -> None:
    """The reader has the lease when the commit comes, and the value it read is from before."""
    source = Source(gate=asyncio.Event())
    reading = asyncio.create_task(source.read(process))
    while not source.calls:
        await asyncio.sleep(0.001)
    await source.change(process, "second")
    assert source.gate is not None
    source.gate.set()
    assert await reading == "first"  # it asked before the commit
    assert await process.server.exists(source.key) == 0
    assert await source.read(process) == "second"
    assert counts(process)["refused"] == 1


async def test_a_late_reader_does_not_replace_a_newer_value(process: Process, other: Process) -> None:
    source = Source()
    await source.read(process)  # the floor is a rev, so that nothing but the rev decides
    await process.server.delete(source.key)
    source.gate = asyncio.Event()
    late = asyncio.create_task(source.read(process))
    while len(source.calls) < 2:
        await asyncio.sleep(0.001)
    await source.change(other, "second")
    gate, source.gate = source.gate, None
    assert await source.read(other) == "second"
    gate.set()
    assert await late == "first"
    assert await source.read(other) == "second"
    assert counts(other) == {"miss": 1, "loaded": 1, "stored": 1, "hit": 1}
    assert counts(process)["refused"] == 1


async def test_who_asks_after_a_commit_does_not_join_a_load_from_before_it(process: Process) -> None:
    source = Source(gate=asyncio.Event())
    early = asyncio.create_task(source.read(process))
    while not source.calls:
        await asyncio.sleep(0.001)
    await source.change(process, "second")
    late = [asyncio.create_task(source.read(process)) for _ in range(20)]
    await asyncio.sleep(0.05)
    assert source.gate is not None
    source.gate.set()
    assert (await early, await asyncio.gather(*late)) == ("first", ["second"] * 20)
    assert len(source.calls) == 2


async def test_a_load_that_fails_fails_for_all_who_wait(process: Process) -> None:
    source = Source(error=RuntimeError("no database"))
    asked = await asyncio.gather(*(source.read(process) for _ in range(10)), return_exceptions=True)
    assert [str(each) for each in asked] == ["no database"] * 10
    assert len(source.calls) == 1
    source.error = None
    assert await source.read(process) == "first"


async def test_who_loads_may_be_cancelled_without_those_who_wait(process: Process) -> None:
    source = Source(gate=asyncio.Event())
    first = asyncio.create_task(source.read(process))
    others = [asyncio.create_task(source.read(process)) for _ in range(5)]
    while not source.calls:
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0.01)
    assert source.gate is not None
    source.gate.set()
    assert await asyncio.gather(*others) == ["first"] * 5
    assert first.cancelled()


async def test_a_value_that_is_too_large_is_answered_and_not_kept(process: Process) -> None:
    source = Source(value="x" * (CONTENT_BYTES_MAX + 1))
    assert len(await source.read(process)) == CONTENT_BYTES_MAX + 1
    assert counts(process) == {"miss": 1, "loaded": 1, "refused": 1}


async def test_a_new_form_does_not_read_the_old_one(process: Process) -> None:
    source = Source()
    await source.read(process)
    newer = replace(ORGANIZATION_INFO, version=2)
    source.value = "in a new form"
    found = await process.cache.get_many(newer, [source.organization_id], source.load)
    assert found[source.organization_id] == Stamped({source.organization_id: 1}, "in a new form")


async def test_loads_are_bounded(valkey: Valkey) -> None:
    running = most = 0

    async def load(ids: Collection[UUID]) -> Mapping[UUID, Stamped]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return {each: Stamped({each: 1}, 1) for each in ids}

    async with running_process(valkey.url, loads_max=3) as process:
        await asyncio.gather(*(process.cache.get_many(INFO, [uuid4()], load) for _ in range(30)))
    assert most == 3
