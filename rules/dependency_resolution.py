"""Which modules an assignment brings along, at which versions and in which order; which ones an unassignment takes out.

Only required modules count: an optional one is never brought along, and its range binds nobody.
Never holds: reading the catalog, entitlements, the state of an assignment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rules.dependency_graph import find_cycle, needed_first, transitive_dependents
from rules.errors import DependencyProblem, Refusal, refuse_if_any
from rules.manifest import Requirement
from rules.version_range import is_prerelease, satisfies

TRIES_MAX = 20_000  # about a second; a registry that needs more is answered by a refusal, not by waiting
VERSIONS_SHOWN_MAX = 10


@dataclass(frozen=True)
class Release:
    module: str
    number: str
    requirements: tuple[Requirement, ...] = ()

    @cached_property
    def required(self) -> tuple[Requirement, ...]:
        return tuple(sorted((r for r in self.requirements if not r.is_optional), key=lambda r: r.module))


@dataclass(frozen=True)
class CatalogModule:
    code: str
    tier: str
    is_active: bool
    releases: tuple[Release, ...]  # newest first


Catalog = Mapping[str, CatalogModule]


@dataclass(frozen=True)
class Planned:
    module: str
    version: str
    cause: Literal["REQUESTED", "DEPENDENCY_OF"]
    dependency_of: tuple[str, ...] = ()  # who needs it directly; empty when it was asked for


def required_edges(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """What the newest release of each module needs."""
    return {
        code: tuple(requirement.module for requirement in module.releases[0].required) if module.releases else ()
        for code, module in catalog.items()
    }


def plan_assignment(
    catalog: Catalog, assigned: Mapping[str, str], wanted: Mapping[str, str | None]
) -> tuple[Planned, ...]:
    """What to assign so that the wanted modules (code to version, None: the newest that fits) work; needed ones first.

    Modules that are assigned keep their version and are not planned. Raises Refusal with DependencyProblems.
    """
    refuse_if_any(_wanted_problems(catalog, assigned, wanted))
    requested = {code: version for code, version in wanted.items() if code not in assigned}
    chosen = _Search(catalog, assigned, requested).run()
    edges = {code: [requirement.module for requirement in release.required] for code, release in chosen.items()}
    order = needed_first(edges, chosen)
    if len(order) < len(chosen):
        cycles = (find_cycle(edges, code) for code in sorted(chosen.keys() - set(order)))
        cycle = next(found for found in cycles if found is not None)
        raise Refusal(
            DependencyProblem(message=f"These need each other in a circle: {' → '.join(cycle)}.", chain=cycle)
        )
    needed_by = {
        code: tuple(sorted(by for by in edges if code in edges[by])) for code in order if code not in requested
    }
    return tuple(
        Planned(code, chosen[code].number, "REQUESTED")
        if code in requested
        else Planned(code, chosen[code].number, "DEPENDENCY_OF", needed_by[code])
        for code in order
    )


def plan_unassignment(catalog: Catalog, assigned: Mapping[str, str], module: str) -> tuple[str, ...]:
    """The module and every assigned one that needs it, in the order to take them out; empty if it is not assigned."""
    if module not in assigned:
        return ()
    edges = {release.module: [r.module for r in release.required] for release in assigned_releases(catalog, assigned)}
    affected = {module, *transitive_dependents(edges, module)}
    ordered = needed_first(edges, affected)
    # Modules on a circle have no right order, and must still be possible to get rid of.
    dependents_first = (*sorted(affected - set(ordered)), *reversed(ordered))
    return (*(code for code in dependents_first if code != module), module)


def assigned_releases(catalog: Catalog, assigned: Mapping[str, str]) -> Iterator[Release]:
    """Those that the catalog still knows."""
    for code in sorted(assigned):
        if code in catalog:
            yield from (release for release in catalog[code].releases if release.number == assigned[code])


def versions_there_are(module: CatalogModule) -> str:
    numbers = [release.number for release in module.releases]
    more = f" and {len(numbers) - VERSIONS_SHOWN_MAX} older" if len(numbers) > VERSIONS_SHOWN_MAX else ""
    return f"there are {', '.join(numbers[:VERSIONS_SHOWN_MAX])}{more}" if numbers else "it has no versions"


def _wanted_problems(
    catalog: Catalog, assigned: Mapping[str, str], wanted: Mapping[str, str | None]
) -> Iterator[DependencyProblem]:
    for code, version in sorted(wanted.items()):
        module = catalog.get(code)
        message: str | None = None
        path: tuple[str, ...] = ()
        if code in assigned:
            if version not in (None, assigned[code]):
                message = f"{code} is assigned at {assigned[code]}; going to {version} is an update, not an assignment."
        elif module is None:
            message = f"There is no module {code}."
        elif not module.is_active:
            message = f"{code} is deactivated."
        elif version is not None and all(release.number != version for release in module.releases):
            message = f"{code} has no version {version}; {versions_there_are(module)}."
            path = ("input", "version")
        if message is not None:
            yield DependencyProblem(message=message, path=path, chain=(code,))


@dataclass(frozen=True)
class _Demand:
    by: str
    range: str


@dataclass
class _Choice:
    """The version of one module: what is left to try, and who is to blame when nothing is."""

    module: str
    left: list[Release]  # the best last
    blame: set[str]  # modules whose own choice narrowed this one
    failure: DependencyProblem | None = None  # why the best was not to be had
    discovered: int = 0  # how many modules its release brought up

    def fail(self, problem: DependencyProblem | None) -> None:
        self.failure = self.failure or problem


class _Search:
    """Depth first over the modules in the order they come up, the newest version first.

    A dead end goes back to the latest choice that had a part in it, not to the latest of all: unrelated modules in
    between would multiply the tries (conflict-directed backjumping). The i-th choice decides the i-th module.
    """

    def __init__(self, catalog: Catalog, assigned: Mapping[str, str], requested: Mapping[str, str | None]) -> None:
        self.catalog = catalog
        self.assigned = assigned
        self.requested = requested
        self.modules = sorted(requested)
        self.demands: dict[str, list[_Demand]] = {}
        self.chosen: dict[str, Release] = {}
        self.choices: list[_Choice] = []
        self.tries = 0
        for release in assigned_releases(catalog, assigned):
            for requirement in release.required:
                self.demands.setdefault(requirement.module, []).append(_Demand(release.module, requirement.range))

    def run(self) -> dict[str, Release]:
        come_up = set(self.modules)
        while len(self.choices) < len(self.modules):
            self.choices.append(self._opened(self.modules[len(self.choices)]))
            while not self._advance(come_up):
                self._go_back(come_up)
        return self.chosen

    def _opened(self, code: str) -> _Choice:
        demands = self.demands.get(code, [])
        choice = _Choice(module=code, left=[], blame={demand.by for demand in demands if demand.by in self.chosen})
        module = self.catalog.get(code)
        if module is None or not module.is_active:
            why = "there is no such module" if module is None else "it is deactivated"
            choice.fail(self._problem(code, f"{self._who_wants(code)}, but {why}."))
            return choice
        fitting = [release for release in module.releases if self._fits(release, demands)]
        oldest_first = fitting[::-1]
        choice.left = sorted(oldest_first, key=lambda release: not is_prerelease(release.number))
        if not fitting:
            choice.fail(self._problem(code, f"{self._who_wants(code)}; {versions_there_are(module)}."))
        return choice

    def _fits(self, release: Release, demands: list[_Demand]) -> bool:
        if not all(satisfies(release.number, demand.range) for demand in demands):
            return False
        explicit = self.requested.get(release.module)
        if explicit is not None:
            return release.number == explicit
        return bool(demands) or not is_prerelease(release.number)

    def _advance(self, come_up: set[str]) -> bool:
        """Give the latest choice the next version that agrees with those before it; False when none is left."""
        choice = self.choices[-1]
        while choice.left:
            self.tries += 1
            if self.tries > TRIES_MAX:
                message = f"No set of versions was found in {TRIES_MAX} tries; ask for explicit versions."
                raise Refusal(self._problem(choice.module, message))
            release = choice.left.pop()
            if self._agrees(release, choice):
                self._take(release, choice, come_up)
                return True
        return False

    def _agrees(self, release: Release, choice: _Choice) -> bool:
        for requirement in release.required:
            code = requirement.module
            chosen = self.chosen.get(code)
            number = self.assigned.get(code) or (chosen.number if chosen else None)
            module = self.catalog.get(code)
            if number is None or (satisfies(number, requirement.range) and (module is None or module.is_active)):
                continue
            chain = self._chain(release.module)
            wants = f"{self._named(chain, release)} wants {code} {requirement.range}"
            what = "assigned" if code in self.assigned else f"needed ({self._who_wants(code)})"
            known = f"; {versions_there_are(module)}" if module is not None else ""
            state = f"{code} {number} is {what}" if module is None or module.is_active else f"{code} is deactivated"
            choice.fail(DependencyProblem(message=f"{wants}, but {state}{known}.", chain=(*chain, code)))
            choice.blame.update({code} & self.chosen.keys())
            return False
        return True

    def _take(self, release: Release, choice: _Choice, come_up: set[str]) -> None:
        self.chosen[release.module] = release
        choice.discovered = 0
        for requirement in release.required:
            if requirement.module in self.assigned:
                continue
            self.demands.setdefault(requirement.module, []).append(_Demand(release.module, requirement.range))
            if requirement.module not in come_up:
                come_up.add(requirement.module)
                self.modules.append(requirement.module)
                choice.discovered += 1

    def _go_back(self, come_up: set[str]) -> None:
        failed = self.choices.pop()
        if not any(choice.module in failed.blame for choice in self.choices):
            raise Refusal(failed.failure or self._problem(failed.module, f"No version of {failed.module} fits."))
        while self.choices[-1].module not in failed.blame:
            self._untake(self.choices.pop(), come_up)
        culprit = self.choices[-1]
        self._untake(culprit, come_up)
        culprit.blame |= failed.blame - {culprit.module}
        culprit.fail(failed.failure)

    def _untake(self, choice: _Choice, come_up: set[str]) -> None:
        for requirement in self.chosen.pop(choice.module).required:
            if requirement.module not in self.assigned:
                self.demands[requirement.module].pop()
        come_up.difference_update(self.modules[len(self.modules) - choice.discovered :])
        del self.modules[len(self.modules) - choice.discovered :]

    def _problem(self, code: str, message: str) -> DependencyProblem:
        """The chain leads to the module over whoever needs it, even when it was asked for as well."""
        demands = self.demands.get(code)
        chain = (*self._chain(self._first_by(demands)), code) if demands else (code,)
        return DependencyProblem(message=message, chain=chain)

    def _chain(self, code: str) -> tuple[str, ...]:
        """From what was asked for, or is assigned, down to the module."""
        chain = [code]
        while chain[-1] not in self.requested and self.demands.get(chain[-1]):
            by = self._first_by(self.demands[chain[-1]])
            if by in chain:
                break
            chain.append(by)
        return tuple(reversed(chain))

    def _first_by(self, demands: list[_Demand]) -> str:
        """Preferably of the plan: what an assigned module demands only narrows the choice."""
        return next((demand.by for demand in demands if demand.by in self.chosen), demands[0].by)

    def _who_wants(self, code: str) -> str:
        explicit = self.requested.get(code)
        asked = [f"the request wants {code} {explicit or '(any version)'}"] if code in self.requested else []
        for demand in self.demands.get(code, []):
            asked.append(f"{self._named(self._chain(demand.by))} wants {code} {demand.range}")
        return "; ".join(asked)

    def _named(self, chain: tuple[str, ...], release: Release | None = None) -> str:
        """The chain with the versions so far."""
        numbers = {code: chosen.number for code, chosen in self.chosen.items()}
        numbers |= {code: f"{number} (assigned)" for code, number in self.assigned.items()}
        numbers |= {release.module: release.number} if release is not None else {}
        return " → ".join(f"{code} {numbers.get(code, '')}".rstrip() for code in chain)
