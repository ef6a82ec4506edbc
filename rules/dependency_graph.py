"""Walks over who needs whom: paths, cycles, orders. None recurses, so a chain may be as long as the registry.

Never holds: versions (dependency_resolution.py).
"""

import heapq
from collections.abc import Collection, Mapping

Edges = Mapping[str, Collection[str]]  # from a module to those it needs


def find_cycle(edges: Edges, start: str) -> tuple[str, ...] | None:
    """The shortest way from a module back to itself, both ends named; of equally short ones the first by name."""
    came_from: dict[str, str] = {}
    level = [start]
    while level:
        following: list[str] = []
        for module in level:
            for needed in sorted(edges.get(module, ())):
                if needed == start:
                    return (*_way(came_from, start, module), start)
                if needed not in came_from:
                    came_from[needed] = module
                    following.append(needed)
        level = following
    return None


def _way(came_from: Mapping[str, str], start: str, end: str) -> tuple[str, ...]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return tuple(reversed(way))


def transitive_dependencies(edges: Edges, start: str) -> tuple[str, ...]:
    """Everything the module needs, directly or not; the nearest first, then by name. Never the module itself."""
    seen = {start}
    found: list[str] = []
    level: Collection[str] = [start]
    while level:
        level = sorted({needed for module in level for needed in edges.get(module, ())} - seen)
        seen.update(level)
        found.extend(level)
    return tuple(found)


def transitive_dependents(edges: Edges, start: str) -> tuple[str, ...]:
    """Everything that needs the module, directly or not; the nearest first, then by name. Never the module itself."""
    return transitive_dependencies(reverse(edges), start)


def reverse(edges: Edges) -> dict[str, list[str]]:
    reversed_edges: dict[str, list[str]] = {}
    for module, needs in edges.items():
        for needed in needs:
            reversed_edges.setdefault(needed, []).append(module)
    return reversed_edges


def needed_first(edges: Edges, modules: Collection[str]) -> tuple[str, ...]:
    """The modules, each after those of them that it needs; by name where the needs leave it open.

    Modules on a cycle, and those that need them, cannot be ordered and are left out: callers compare the lengths.
    """
    inside = set(modules)
    open_needs = {module: len(inside.intersection(edges.get(module, ()))) for module in inside}
    needed_by = reverse({module: inside.intersection(edges.get(module, ())) for module in inside})
    ready = [module for module, count in open_needs.items() if count == 0]
    heapq.heapify(ready)
    ordered: list[str] = []
    while ready:
        module = heapq.heappop(ready)
        ordered.append(module)
        for dependent in needed_by.get(module, ()):
            open_needs[dependent] -= 1
            if open_needs[dependent] == 0:
                heapq.heappush(ready, dependent)
    return tuple(ordered)
