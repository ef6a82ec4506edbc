"""Whether the registry may take a release: what it needs must exist, and needs must not run in a circle.

Never holds: the release's own manifest (manifest.py).
"""

from collections.abc import Iterator

from rules.dependency_graph import find_cycle
from rules.dependency_resolution import Catalog, Release, required_edges, versions_there_are
from rules.errors import DependencyProblem, Problem
from rules.version_range import satisfies

MANIFEST = ("input", "manifest")


def check_release(catalog: Catalog, release: Release, tier: str) -> list[Problem]:
    """Everything that speaks against registering the release, its module being of this tier.

    Circles are looked for among the newest release of every other module and this one. All releases together would be
    too much: a module that once needed another could never again be needed by it. A circle through an older release is
    found when somebody wants exactly that one (plan_assignment).
    """
    return [
        *_requirement_problems(catalog, release, tier),
        *_core_problems(catalog, release, tier),
        *_cycle(catalog, release),
    ]


def _requirement_problems(catalog: Catalog, release: Release, tier: str) -> Iterator[DependencyProblem]:
    for requirement in release.required:
        needed = catalog.get(requirement.module)
        chain = (release.module, requirement.module)
        message: str | None = None
        if requirement.module == release.module:
            continue  # the shortest circle, said below
        if needed is None:
            message = f"{release.module} needs {requirement.module}, which is not registered."
        elif not any(satisfies(known.number, requirement.range) for known in needed.releases):
            message = f"{release.module} needs {requirement.module} {requirement.range}; {versions_there_are(needed)}."
        if message is not None:
            yield DependencyProblem(message=message, path=MANIFEST, pointer=requirement.pointer, chain=chain)
        if needed is not None and tier == "CORE" and needed.tier != "CORE":
            message = f"{release.module} is CORE and may need CORE modules only; {requirement.module} is {needed.tier}."
            yield DependencyProblem(message=message, path=MANIFEST, pointer=requirement.pointer, chain=chain)


def _core_problems(catalog: Catalog, release: Release, tier: str) -> Iterator[DependencyProblem]:
    """The same rule from the other side: a module that CORE ones need stays CORE."""
    if tier == "CORE":
        return
    for code, needs in sorted(required_edges(catalog).items()):
        if catalog[code].tier == "CORE" and release.module in needs and code != release.module:
            message = f"{code} is CORE and needs {release.module}, which therefore cannot be {tier}."
            yield DependencyProblem(message=message, path=MANIFEST, pointer="/name", chain=(code, release.module))


def _cycle(catalog: Catalog, release: Release) -> Iterator[DependencyProblem]:
    edges = {**required_edges(catalog), release.module: tuple(r.module for r in release.required)}
    cycle = find_cycle(edges, release.module)
    if cycle is not None:
        pointer = next(r.pointer for r in release.required if r.module == cycle[1])
        message = f"Modules must not need each other in a circle: {' → '.join(cycle)}."
        yield DependencyProblem(message=message, path=MANIFEST, pointer=pointer, chain=cycle)
