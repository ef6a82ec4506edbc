"""The composer, with the real Node process: it answers whatever is done to it, and nobody else notices."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from graphql import build_schema

from federation.composer import Composer, ComposerAway
from federation.finding import Finding, Severity
from federation.sdl import parse_sdl
from federation.stamping import stamp
from federation.subgraph import Composed, Subgraph
from tests.federation.subgraphs import FINANCIAL_SDL, HEAD, PLATFORM, URL
from tests.support.stopwatch import Stopwatch

pytestmark = pytest.mark.usefixtures("installed")

FINANCIAL = Subgraph("financial", URL, stamp(parse_sdl(FINANCIAL_SDL), "financial"))  # type: ignore[arg-type]
TIMEOUT = Finding(Severity.ERROR, "COMPOSER_TIMEOUT", "The composer has not come to an end within 1 s.")


@asynccontextmanager
async def starting(*, seconds_max: float = 10.0, memory_mb_max: int = 512) -> AsyncIterator[Composer]:
    composer = Composer(seconds_max=seconds_max, memory_mb_max=memory_mb_max)
    try:
        await composer.version()
        yield composer
    finally:
        await composer.aclose()
    assert composer.pid is None


def module(name: str, body: str) -> Subgraph:
    return Subgraph(name, f"https://{name}.test/graphql", HEAD + body)


def endless() -> list[Subgraph]:
    """Thirteen subgraphs with keys of each other, and one that none of them leads to: each order of them is tried."""
    names = range(12)
    fields = " ".join(f"k{name}: ID! @shareable" for name in names)
    subgraphs = [module("platform", 'type Query { e: E }\ntype E @key(fields: "id") { id: ID! }')]
    for name in names:
        keys = " ".join(f'@key(fields: "id k{other}")' for other in names if other != name)
        subgraphs.append(module(f"m{name}", f'type E @key(fields: "id") {keys} {{ id: ID! {fields} f{name}: Int }}'))
    return [*subgraphs, module("last", 'type E @key(fields: "x") { x: ID! y: Int }')]


async def test_composition(composer: Composer) -> None:
    composed = await composer.compose([FINANCIAL, PLATFORM])
    assert isinstance(composed, Composed)
    assert composed.composer == await composer.version() == "@theguild/federation-composition 0.27.0"
    public = build_schema(composed.public_sdl)
    assert sorted(public.query_type.fields) == ["invoices", "organization", "page"]  # type: ignore[union-attr]
    assert '@join__graph(name: "financial", url: "https://financial.test/graphql")' in composed.supergraph_sdl
    assert "@policy" not in composed.public_sdl


async def test_the_order_of_subgraphs_makes_no_difference(composer: Composer) -> None:
    others = [PLATFORM, FINANCIAL, module("warehouse", "type Query { items: Int }")]
    assert await composer.compose(others) == await composer.compose(others[::-1])


async def test_errors_are_told_by_code_and_coordinate(composer: Composer) -> None:
    bad = module("warehouse", 'type Query { a: Int }\ntype Organization @key(fields: "nope") {\n  id: ID!\n}')
    (found,) = await composer.compose([PLATFORM, bad])  # type: ignore[misc]
    assert (found.code, found.coordinate, found.line) == ("KEY_INVALID_FIELDS", "Organization", None)
    assert found.message.startswith('[warehouse] On type "Organization", for @key(fields: "nope"):')


async def test_many_errors_in_a_large_subgraph_are_told_in_time(composer: Composer) -> None:
    """The SDL was read again for every error: as long as a check may take, for an SDL of this size."""
    fields = "\n".join(f"a{i}: Int" for i in range(20_000))
    wrong = "\n".join(f'type B{i} @key(fields: "nope") {{ id: ID! }}' for i in range(60))
    large = module("large", f"type Query {{\n{fields}\n}}\n{wrong}")
    began = time.process_time()
    found = await composer.compose([PLATFORM, large])
    assert isinstance(found, tuple)
    assert [finding.coordinate for finding in found] == [f"B{i}" for i in range(50)]
    took = time.process_time() - began
    began = time.process_time()
    parse_sdl(large.sdl)
    assert took < 10 * (time.process_time() - began)


async def test_two_modules_that_clash_are_both_named(composer: Composer) -> None:
    found = await composer.compose([PLATFORM, FINANCIAL, module("warehouse", "type Query { invoices: Int }")])
    assert isinstance(found, tuple)
    assert [finding.code for finding in found] == ["FIELD_TYPE_MISMATCH", "INVALID_FIELD_SHARING"]
    assert all('"financial"' in finding.message and '"warehouse"' in finding.message for finding in found)


@pytest.mark.parametrize(
    "body",
    [
        "type Query {",
        "",
        "extend type Query @listSize(sizedFields: null) { a: [Int] @listSize(sizedFields: null, assumedSize: null) }",
        'type Query { a: Int @key(fields: "' + "{a" * 20_000 + '") }',
        f"type Query {{ a: {'[' * 20_000}Int{']' * 20_000} }}",
        "type Query { __proto__: Int constructor: toString } type toString { hasOwnProperty: Int __proto__: Int }",
        "extend schema @link(url: 5, import: {a: null})\ntype Query { a: Int }",
        "\ud800",
    ],
    ids=["open", "empty", "null lists", "deep string", "deep type", "JavaScript's names", "odd link", "surrogate"],
)
async def test_odd_sdl_is_answered(composer: Composer, body: str) -> None:
    before = composer.pid
    answer = await composer.compose([PLATFORM, module("odd", body)])
    assert isinstance(answer, Composed) or all(finding.severity is Severity.ERROR for finding in answer)
    assert isinstance(await composer.compose([PLATFORM]), Composed)
    assert composer.pid == before


async def test_5_mb_are_answered(composer: Composer) -> None:
    answer = await composer.compose([PLATFORM, module("large", "#" * 5_000_000 + "\ntype Query { a: Int }")])
    assert isinstance(answer, Composed)


async def test_a_composition_without_an_end_is_ended() -> None:
    async with starting(seconds_max=1) as composer:
        before, watch = composer.pid, Stopwatch()
        assert await composer.compose(endless()) == (TIMEOUT,)
        watch.stop()
        assert watch.seconds < 5
        assert composer.pid is None
        with pytest.raises(ProcessLookupError):
            os.kill(before or 0, 0)


async def test_a_process_that_stands_still_is_ended_and_replaced() -> None:
    async with starting(seconds_max=1) as composer:
        os.kill(composer.pid or 0, signal.SIGSTOP)
        assert await composer.compose([PLATFORM]) == (TIMEOUT,)
        async with asyncio.timeout(20):
            while not isinstance(await composer.compose([PLATFORM]), Composed):
                pass


async def test_a_process_that_was_killed_is_replaced_unnoticed() -> None:
    async with starting() as composer:
        killed = composer.pid
        os.kill(killed or 0, signal.SIGKILL)
        assert isinstance(await composer.compose([PLATFORM]), Composed)
        assert composer.pid != killed


async def test_what_a_process_was_killed_over_is_tried_once_more() -> None:
    async with starting(seconds_max=1) as composer:
        killed = composer.pid
        asking = asyncio.create_task(composer.compose(endless()))
        await asyncio.sleep(0.3)
        os.kill(killed or 0, signal.SIGKILL)
        async with asyncio.timeout(10):
            while composer.pid in {None, killed}:
                await asyncio.sleep(0.01)
        assert await asking == (TIMEOUT,)


async def test_a_composition_that_needs_too_much_memory() -> None:
    many = " ".join(f"f{number}: Int" for number in range(150_000))
    async with starting(memory_mb_max=40) as composer:
        (found,) = await composer.compose([PLATFORM, module("large", f"type Query {{ {many} }}")])  # type: ignore[misc]
        assert found.code == "COMPOSER_CRASHED"
        assert found.message == "The composer has crashed over it, 2 times; it may use 40 MB."


async def test_callers_take_turns() -> None:
    async with starting() as composer:
        bad = module("warehouse", "type Query { a: Foo }")
        answers = await asyncio.gather(*(composer.compose([PLATFORM, bad] if i % 2 else [PLATFORM]) for i in range(8)))
        assert [isinstance(answer, Composed) for answer in answers] == [True, False] * 4


async def test_a_caller_that_goes_away_takes_nobody_along() -> None:
    async with starting() as composer:
        leaving = asyncio.create_task(composer.compose(endless()))
        waiting = asyncio.create_task(composer.compose([PLATFORM]))
        waiting_too = asyncio.create_task(composer.compose([PLATFORM]))
        await asyncio.sleep(0.2)
        waiting.cancel()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with asyncio.timeout(8):
            assert isinstance(await waiting_too, Composed)


async def test_a_composer_that_does_not_start() -> None:
    with pytest.raises(ComposerAway, match="does not start; run `make composer`, with Node 20 or newer"):
        await Composer(node="false").compose([PLATFORM])


async def test_it_hears_nothing_of_our_terminal() -> None:
    async with starting() as composer:
        assert os.getsid(composer.pid or 0) != os.getsid(0)


async def test_without_node() -> None:
    with pytest.raises(ComposerAway, match="needs Node 20 or newer; then run `make composer`"):
        await Composer(node="no-such-node").compose([PLATFORM])


async def test_it_ends_with_its_parent_also_in_the_middle_of_a_composition() -> None:
    parent = """
import asyncio, os
from federation.composer import Composer
from tests.federation.test_composer import endless
async def main():
    composer = Composer()
    await composer.version()
    asking = asyncio.create_task(composer.compose(endless()))
    await asyncio.sleep(0.5)
    print(composer.pid, flush=True)
    os._exit(0)
asyncio.run(main())
"""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", parent], capture_output=True, text=True, check=True, timeout=30
    )
    pid = int(ended.stdout)
    async with asyncio.timeout(5):
        while _is_running(pid):
            await asyncio.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # one that has ended, and that nobody has asked for, is no longer running either
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return not status.stdout.startswith("Z") and status.stdout != ""
