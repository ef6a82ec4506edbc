"""The decorator: keys from parameters, and the same promises as all that is read through."""

from uuid import UUID, uuid4

import pytest

from cache.cached import cache_result
from cache.stamped import Stamped
from models.base import PLATFORM_ID
from tests.cache.conftest import Process, running_process

CALLS: list[tuple[object, ...]] = []
REVS = {"rev": 1}


@cache_result(ttl=300, key_pattern="org:{org_id}:greeting:{name}")
async def greet(org_id: UUID, name: str | None = "world") -> Stamped:
    """Says hello."""
    CALLS.append((org_id, name))
    return Stamped({org_id: REVS["rev"], PLATFORM_ID: 1}, f"hello {name}, {REVS['rev']}")


@cache_result(ttl=600, key_pattern="modules:{tier}:count")
async def count_modules(tier: str) -> Stamped:
    CALLS.append((tier,))
    return Stamped({PLATFORM_ID: 1}, 13 if tier != "none" else None)


@pytest.fixture(autouse=True)
def fresh() -> None:
    CALLS.clear()
    REVS["rev"] = 1


async def test_it_runs_once_for_the_same_arguments_however_they_are_given(process: Process) -> None:
    org = uuid4()
    answers = [
        await greet(process.cache, org),
        await greet(process.cache, org_id=org, name="world"),
        await greet(process.cache, org, "you"),
    ]
    assert answers == ["hello world, 1", "hello world, 1", "hello you, 1"]
    assert [(org, "world"), (org, "you")] == CALLS
    assert 250 <= await process.server.ttl(f"org:{org}:greeting:world") <= 345


async def test_a_commit_and_a_token_make_it_run_again(process: Process) -> None:
    org = uuid4()
    await greet(process.cache, org)
    REVS["rev"] = 2
    await process.floor.raise_floors({org: 2})
    assert await greet(process.cache, org) == "hello world, 2"
    REVS["rev"] = 3
    assert await greet(process.cache, org) == "hello world, 2"
    assert await greet(process.cache, org, need={org: 3}) == "hello world, 3"


async def test_none_is_kept_for_a_short_while(process: Process) -> None:
    assert [await count_modules(process.cache, tier) for tier in ("core", "none", "none")] == [13, None, None]
    assert CALLS == [("core",), ("none",)]
    assert await process.server.ttl("modules:none:count") <= 35


async def test_arguments_are_never_mixed_up(process: Process) -> None:
    org = uuid4()
    names = [None, "", "None", "%", "a:b", "a%3Ab", "a"]
    answers = [await greet(process.cache, org, name) for name in names]
    assert answers == [f"hello {name}, 1" for name in names]
    assert len(CALLS) == len(names)


async def test_without_redis_it_runs_every_time() -> None:
    org = uuid4()
    async with running_process("redis://127.0.0.1:1/0") as process:
        assert [await greet(process.cache, org) for _ in range(3)] == ["hello world, 1"] * 3
    assert len(CALLS) == 3


def test_a_pattern_that_leaves_out_a_parameter_is_refused() -> None:
    async def story(org_id: UUID, code: str) -> Stamped:
        raise AssertionError("a refused story is never told")

    for pattern in ("org:{org_id}:x", "org:{org_id}:{code}:{other}", "x"):
        with pytest.raises(TypeError, match="must name the parameters of story"):
            cache_result(ttl=1, key_pattern=pattern)(story)


def test_it_keeps_the_functions_name() -> None:
    assert (greet.__name__, greet.__doc__) == ("greet", "Says hello.")
