"""Walks over who needs whom, against plain definitions on random graphs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.dependency_graph import find_cycle, needed_first, transitive_dependencies, transitive_dependents

NODES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES), max_size=3))
CHAIN = {f"m{n:05}": [f"m{n + 1:05}"] for n in range(10_000)}


def reachable(edges: dict[str, list[str]], start: str) -> set[str]:
    found: set[str] = set()
    while True:
        more = {needed for module in {start, *found} for needed in edges.get(module, [])} - found
        if not more:
            return found
        found |= more


def distances(edges: dict[str, list[str]], start: str) -> dict[str, int]:
    level, known, steps = {start}, {start: 0}, 0
    while level:
        steps += 1
        level = {needed for module in level for needed in edges.get(module, [])} - known.keys()
        known |= dict.fromkeys(level, steps)
    return known


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({}, None),
        ({"a": ["b"], "b": ["c"]}, None),
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
        ({"a": ["b", "d"], "b": ["c"], "c": ["a"], "d": ["a"]}, ("a", "d", "a")),
        ({"a": ["c", "b"], "b": ["a"], "c": ["a"]}, ("a", "b", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, None),  # a circle elsewhere is not this one's
    ],
)
def test_cycles(edges: dict[str, list[str]], cycle: tuple[str, ...] | None) -> None:
    assert find_cycle(edges, "a") == cycle


@given(GRAPHS)
def test_a_cycle_is_a_shortest_way_back(edges: dict[str, list[str]]) -> None:
    cycle = find_cycle(edges, "a")

    assert (cycle is not None) == ("a" in reachable(edges, "a"))
    if cycle is not None:
        assert cycle[0] == cycle[-1] == "a"
        assert all(needed in edges[module] for module, needed in pairwise(cycle))
        ways = [steps for node, steps in distances(edges, "a").items() if "a" in edges.get(node, [])]
        assert len(cycle) == min(ways) + 2


@given(GRAPHS)
def test_everything_that_is_needed_nearest_first(edges: dict[str, list[str]]) -> None:
    found = transitive_dependencies(edges, "a")
    near = distances(edges, "a")

    assert set(found) == reachable(edges, "a") - {"a"}
    assert list(found) == sorted(found, key=lambda module: (near[module], module))
    assert {m for m in NODES if m != "a" and "a" in reachable(edges, m)} == set(transitive_dependents(edges, "a"))


@given(GRAPHS, st.sets(st.sampled_from(NODES)))
def test_what_is_needed_comes_first(edges: dict[str, list[str]], modules: set[str]) -> None:
    ordered = needed_first(edges, modules)
    inside = {module: [needed for needed in edges.get(module, []) if needed in modules] for module in modules}
    on_cycle = {module for module in modules if module in reachable(inside, module)}

    assert set(ordered) == {m for m in modules if m not in on_cycle and not on_cycle & reachable(inside, m)}
    for position, module in enumerate(ordered):
        assert set(inside[module]) <= set(ordered[:position])


def test_a_chain_of_ten_thousand_is_no_trouble() -> None:
    ring = {**CHAIN, "m10000": ["m00000"]}

    assert transitive_dependencies(CHAIN, "m00000") == tuple(f"m{n:05}" for n in range(1, 10_001))
    assert transitive_dependents(CHAIN, "m10000") == tuple(f"m{n:05}" for n in range(9_999, -1, -1))
    assert needed_first(CHAIN, CHAIN) == tuple(f"m{n:05}" for n in range(9_999, -1, -1))
    assert len(find_cycle(ring, "m00000") or ()) == 10_002
    assert find_cycle(CHAIN, "m00000") is None
