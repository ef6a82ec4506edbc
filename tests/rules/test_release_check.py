"""What the registry refuses of a release because of the others it has."""

import pytest

from rules.dependency_resolution import Catalog, CatalogModule, Release
from rules.errors import DependencyProblem
from rules.manifest import Requirement
from rules.release_check import check_release


def release(module: str, number: str, *needs: str, optional: bool = False) -> Release:
    return Release(
        module,
        number,
        tuple(
            Requirement(code, allowed or "*", optional, pointer=f"/dependencies/required_modules/{position}")
            for position, (code, _, allowed) in enumerate(need.partition("@") for need in needs)
        ),
    )


def module(tier: str, *releases: Release) -> CatalogModule:
    return CatalogModule(code=releases[0].module, tier=tier, is_active=True, releases=releases)


CATALOG: Catalog = {
    "base": module("CORE", release("base", "1.0.0")),
    "tenants": module("CORE", release("tenants", "1.0.0", "base")),
    "a": module("OPTIONAL", release("a", "2.0.0", "b"), release("a", "1.0.0")),
    "b": module("OPTIONAL", release("b", "2.0.0"), release("b", "1.0.0", "c")),
    "c": module("OPTIONAL", release("c", "1.0.0-rc.1"), release("c", "0.9.0")),
}


@pytest.mark.parametrize(
    ("candidate", "tier"),
    [
        (release("new", "1.0.0", "a@^2.0.0", "base"), "OPTIONAL"),
        (release("new", "1.0.0", "a"), "INTERNAL"),
        (release("new", "1.0.0", "base"), "CORE"),
        (release("base", "1.1.0"), "CORE"),
        (release("new", "1.0.0", "nobody", optional=True), "CORE"),
        # b needed c once, and does so no more: c may need it now
        (release("c", "1.0.0", "b"), "OPTIONAL"),
        # its own newest release, which this one replaces in the picture, needs nobody's permission
        (release("a", "3.0.0"), "OPTIONAL"),
    ],
)
def test_releases_that_are_taken(candidate: Release, tier: str) -> None:
    assert check_release(CATALOG, candidate, tier) == []


@pytest.mark.parametrize(
    ("candidate", "tier", "pointer", "chain", "message"),
    [
        (
            release("new", "1.0.0", "a", "nobody"),
            "OPTIONAL",
            "/dependencies/required_modules/1",
            "new nobody",
            "new needs nobody, which is not registered.",
        ),
        (
            release("new", "1.0.0", "a@^3.0.0"),
            "OPTIONAL",
            "/dependencies/required_modules/0",
            "new a",
            "new needs a ^3.0.0; there are 2.0.0, 1.0.0.",
        ),
        (
            release("new", "1.0.0", "c@^1.0.0"),  # a pre-release is not in the range
            "OPTIONAL",
            "/dependencies/required_modules/0",
            "new c",
            "new needs c ^1.0.0; there are 1.0.0-rc.1, 0.9.0.",
        ),
        (
            release("new", "1.0.0", "a"),
            "CORE",
            "/dependencies/required_modules/0",
            "new a",
            "new is CORE and may need CORE modules only; a is OPTIONAL.",
        ),
        (
            release("base", "1.1.0"),
            "OPTIONAL",
            "/name",
            "tenants base",
            "tenants is CORE and needs base, which therefore cannot be OPTIONAL.",
        ),
        (
            release("b", "3.0.0", "c", "a"),
            "OPTIONAL",
            "/dependencies/required_modules/1",
            "b a b",
            "Modules must not need each other in a circle: b → a → b.",
        ),
        (
            release("new", "1.0.0", "new"),
            "OPTIONAL",
            "/dependencies/required_modules/0",
            "new new",
            "Modules must not need each other in a circle: new → new.",
        ),
    ],
)
def test_releases_that_are_refused(candidate: Release, tier: str, pointer: str, chain: str, message: str) -> None:
    assert check_release(CATALOG, candidate, tier) == [
        DependencyProblem(message=message, path=("input", "manifest"), pointer=pointer, chain=tuple(chain.split()))
    ]


def test_everything_is_said_at_once() -> None:
    problems = check_release(CATALOG, release("b", "3.0.0", "a@>=9", "nobody"), "CORE")

    assert [(problem.pointer or "")[-1] for problem in problems] == ["0", "0", "1", "0"]
