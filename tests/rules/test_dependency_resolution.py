"""What an assignment brings along and what an unassignment takes out: tables, and random registries."""

import random
import time
from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.dependency_resolution import (
    Catalog,
    CatalogModule,
    Planned,
    Release,
    plan_assignment,
    plan_unassignment,
    required_edges,
)
from rules.errors import DependencyProblem, Refusal
from rules.manifest import Requirement
from rules.version_range import newest_first, satisfies


def catalog(releases: Mapping[str, Mapping[str, Mapping[str, str]]], *, inactive: str = "") -> Catalog:
    """{module: {number: {needed: range}}}; a needed module that ends in ? is optional."""
    return {
        code: CatalogModule(
            code=code,
            tier="OPTIONAL",
            is_active=code not in inactive.split(),
            releases=tuple(
                Release(
                    module=code,
                    number=number,
                    requirements=tuple(
                        Requirement(needed.rstrip("?"), allowed, is_optional=needed.endswith("?"))
                        for needed, allowed in numbers[number].items()
                    ),
                )
                for number in newest_first(numbers)
            ),
        )
        for code, numbers in releases.items()
    }


SHOP = catalog(
    {
        "pay": {"1.0.0": {}, "1.2.0": {}, "2.0.0": {}, "3.0.0-rc.1": {}},
        "bill": {"1.0.0": {"pay": "^1.0.0", "mail?": "^1.0.0"}},
        "order": {"1.0.0": {"pay": "^1.0.0"}, "2.0.0": {"pay": "^2.0.0", "stock": "*"}},
        "stock": {"1.0.0": {}, "1.1.0": {}},
        "market": {"1.0.0": {"stock": "~1.0", "order": "*"}},
        "mail": {"1.0.0": {}},
        "beta": {"1.0.0-alpha": {}, "1.0.0-beta": {}},
        "early": {"1.0.0": {"beta": "^1.0.0-alpha"}},
        "off": {"1.0.0": {}},
        "needs-off": {"1.0.0": {"off": "*"}},
        "lost": {"1.0.0": {"nowhere": "^1.0.0"}},
        "deep": {"1.0.0": {"lost": "*"}},
        "far": {"1.0.0": {"pay": ">=9"}},
        "old-only": {"1.0.0": {"pay": "^1.0.0"}, "1.1.0": {"pay": ">=9"}},
        "ring-a": {"1.0.0": {"ring-b": "*"}},
        "ring-b": {"1.0.0": {"ring-c": "*"}},
        "ring-c": {"1.0.0": {"ring-a": "*"}},
        "into-ring": {"1.0.0": {"ring-b": "*"}},
    },
    inactive="off",
)


@pytest.mark.parametrize(
    ("assigned", "wanted", "plan"),
    [
        ({}, {"pay": None}, "pay 2.0.0"),
        ({}, {"pay": "1.0.0"}, "pay 1.0.0"),
        ({}, {"pay": "3.0.0-rc.1"}, "pay 3.0.0-rc.1"),
        ({}, {"bill": None}, "pay 1.2.0 < bill, bill 1.0.0"),
        # order goes back to its older version so that both can have pay
        ({}, {"order": None, "bill": None}, "pay 1.2.0 < bill order, bill 1.0.0, order 1.0.0"),
        ({}, {"order": None}, "pay 2.0.0 < order, stock 1.1.0 < order, order 2.0.0"),
        # stock, needed twice, goes back too
        ({}, {"market": None}, "pay 2.0.0 < order, stock 1.0.0 < market order, order 2.0.0 < market, market 1.0.0"),
        ({"pay": "1.0.0"}, {"bill": None}, "bill 1.0.0"),
        ({"pay": "1.0.0"}, {"order": None}, "order 1.0.0"),
        ({"pay": "2.0.0"}, {"order": None, "stock": None}, "stock 1.1.0, order 2.0.0"),
        ({"market": "1.0.0"}, {"stock": None}, "stock 1.0.0"),  # what is assigned narrows what is planned
        ({"pay": "2.0.0"}, {"pay": None}, ""),
        ({"pay": "2.0.0"}, {"pay": "2.0.0"}, ""),
        ({"gone": "1.0.0"}, {"mail": None}, "mail 1.0.0"),
        ({"bill": "1.0.0", "pay": "1.0.0"}, {"mail": None}, "mail 1.0.0"),
        ({}, {"early": None}, "beta 1.0.0-beta < early, early 1.0.0"),
        ({}, {"old-only": None}, "pay 1.2.0 < old-only, old-only 1.0.0"),
        ({}, {}, ""),
    ],
)
def test_plans(assigned: dict[str, str], wanted: dict[str, str | None], plan: str) -> None:
    planned = plan_assignment(SHOP, assigned, wanted)

    written = (f"{p.module} {p.version} < {' '.join(p.dependency_of)}".removesuffix(" < ") for p in planned)
    assert ", ".join(written) == plan
    assert {p.module for p in planned if p.cause == "REQUESTED"} == wanted.keys() - assigned.keys()
    assert all((p.cause == "DEPENDENCY_OF") == bool(p.dependency_of) for p in planned)


def refusal(known: Catalog, assigned: dict[str, str], wanted: dict[str, str | None]) -> list[DependencyProblem]:
    with pytest.raises(Refusal) as refused:
        plan_assignment(known, assigned, wanted)
    problems = [problem for problem in refused.value.problems if isinstance(problem, DependencyProblem)]
    assert len(problems) == len(refused.value.problems)
    return problems


@pytest.mark.parametrize(
    ("assigned", "wanted", "chain", "message"),
    [
        ({}, {"nobody": None}, "nobody", "There is no module nobody."),
        ({}, {"off": None}, "off", "off is deactivated."),
        ({}, {"stock": "9.9.9"}, "stock", "stock has no version 9.9.9; there are 1.1.0, 1.0.0."),
        (
            {"pay": "1.0.0"},
            {"pay": "2.0.0"},
            "pay",
            "pay is assigned at 1.0.0; going to 2.0.0 is an update, not an assignment.",
        ),
        (
            {},
            {"beta": None},
            "beta",
            "the request wants beta (any version); there are 1.0.0-beta, 1.0.0-alpha.",
        ),
        ({}, {"needs-off": None}, "needs-off off", "needs-off 1.0.0 wants off *, but it is deactivated."),
        (
            {"off": "1.0.0"},
            {"needs-off": None},
            "needs-off off",
            "needs-off 1.0.0 wants off *, but off is deactivated; there are 1.0.0.",
        ),
        (
            {},
            {"deep": None},
            "deep lost nowhere",
            "deep 1.0.0 → lost 1.0.0 wants nowhere ^1.0.0, but there is no such module.",
        ),
        (
            {},
            {"far": None},
            "far pay",
            "far 1.0.0 wants pay >=9; there are 3.0.0-rc.1, 2.0.0, 1.2.0, 1.0.0.",
        ),
        (
            {"pay": "2.0.0"},
            {"bill": None},
            "bill pay",
            "bill 1.0.0 wants pay ^1.0.0, but pay 2.0.0 is assigned; there are 3.0.0-rc.1, 2.0.0, 1.2.0, 1.0.0.",
        ),
        (
            {},
            {"bill": None, "pay": "2.0.0"},
            "bill pay",
            "the request wants pay 2.0.0; bill 1.0.0 wants pay ^1.0.0; there are 3.0.0-rc.1, 2.0.0, 1.2.0, 1.0.0.",
        ),
        (
            {"bill": "1.0.0"},
            {"pay": "2.0.0"},
            "bill pay",
            "the request wants pay 2.0.0; bill 1.0.0 (assigned) wants pay ^1.0.0;"
            " there are 3.0.0-rc.1, 2.0.0, 1.2.0, 1.0.0.",
        ),
        (
            {},
            {"into-ring": None},
            "ring-a ring-b ring-c ring-a",
            "These need each other in a circle: ring-a → ring-b → ring-c → ring-a.",
        ),
    ],
)
def test_refusals_say_who_wants_what(
    assigned: dict[str, str], wanted: dict[str, str | None], chain: str, message: str
) -> None:
    [problem] = refusal(SHOP, assigned, wanted)

    assert problem.message == message
    assert problem.chain == tuple(chain.split())


def test_all_wanted_modules_that_cannot_be_are_said_at_once() -> None:
    assert [problem.chain for problem in refusal(SHOP, {}, {"x": None, "off": None, "pay": "7.0.0"})] == [
        ("off",),
        ("pay",),
        ("x",),
    ]


def test_an_unrelated_module_does_not_multiply_the_tries() -> None:
    """a and z cannot agree on their newest versions; the forty between them have eight versions each."""
    between: dict[str, dict[str, dict[str, str]]] = {f"m{n}": {f"1.{v}.0": {} for v in range(8)} for n in range(40)}
    known = catalog(
        {
            "a": {"1.0.0": {"shared": "^1.0.0"}, "2.0.0": {"shared": "^2.0.0"}},
            "z": {"1.0.0": {"shared": "^1.0.0"}},
            "shared": {"1.0.0": {}, "2.0.0": {}},
            **between,
        }
    )

    planned = plan_assignment(known, {}, dict.fromkeys(["a", "z", *between]))

    assert {p.module: p.version for p in planned} == {
        "a": "1.0.0", "z": "1.0.0", "shared": "1.0.0", **dict.fromkeys(between, "1.7.0")
    }  # fmt: skip


def test_a_search_without_end_is_refused() -> None:
    """Nine pigeons for eight holes: a pigeon's version is its hole, and the hole's version its pigeon."""
    hole: dict[str, dict[str, str]] = {f"{p}.0.0": {} for p in range(1, 10)}
    holes = {f"hole{h}": hole for h in range(1, 9)}
    pigeons = {f"pigeon{p}": {f"{h}.0.0": {f"hole{h}": f"{p}.0.0"} for h in range(1, 9)} for p in range(1, 10)}
    started = time.process_time()

    [problem] = refusal(catalog({**holes, **pigeons}), {}, dict.fromkeys(pigeons))

    assert problem.message == "No set of versions was found in 20000 tries; ask for explicit versions."
    assert time.process_time() - started < 20


def test_a_thousand_modules() -> None:
    codes = [f"m{n:04}" for n in range(1000)]
    known = catalog(
        {
            code: {f"1.{v}.0": {codes[n // 2]: "^1.0.0", codes[n - 1]: f">=1.{v}.0"} if n else {} for v in range(5)}
            for n, code in enumerate(codes)
        }
    )
    started = time.process_time()

    planned = plan_assignment(known, {}, {codes[-1]: None})

    assert [p.module for p in planned] == codes  # a chain of a thousand
    assert {p.version for p in planned} == {"1.4.0"}
    assert plan_unassignment(known, dict.fromkeys(codes, "1.0.0"), codes[0]) == tuple(reversed(codes))
    assert time.process_time() - started < 5


# ---- random registries: a module may need those before it, so there is no circle

NUMBERS = ["1.0.0", "1.1.0", "2.0.0"]
RANGES = st.sampled_from(["*", "^1.0.0", ">=1.1.0", "2.x", "1.0.0", ">=3"])


@st.composite
def registries(draw: st.DrawFn) -> Catalog:
    codes = "abcdef"
    return catalog(
        {
            code: {
                number: draw(st.dictionaries(st.sampled_from(codes[:position]), RANGES, max_size=2)) if position else {}
                for number in draw(st.sets(st.sampled_from(NUMBERS), min_size=1))
            }
            for position, code in enumerate(codes)
        }
    )


def release_of(known: Catalog, code: str, number: str) -> Release:
    return next(release for release in known[code].releases if release.number == number)


def is_in_order(known: Catalog, versions: Mapping[str, str]) -> bool:
    return all(
        needed.module in versions and satisfies(versions[needed.module], needed.range)
        for code, number in versions.items()
        for needed in release_of(known, code, number).required
    )


@given(registries(), st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3), st.randoms())
def test_a_plan_is_whole_ordered_minimal_and_always_the_same(
    known: Catalog, wanted: set[str], shuffle: random.Random
) -> None:
    try:
        planned = plan_assignment(known, {}, dict.fromkeys(sorted(wanted)))
    except Refusal:
        every_set = product(*([*(r.number for r in module.releases), None] for module in known.values()))
        sets = [{c: n for c, n in zip(known, numbers, strict=True) if n is not None} for numbers in every_set]
        assert not any(wanted <= versions.keys() and is_in_order(known, versions) for versions in sets)
        return
    versions = {p.module: p.version for p in planned}
    needs = {p.module: {r.module for r in release_of(known, p.module, p.version).required} for p in planned}

    assert is_in_order(known, versions)
    for position, p in enumerate(planned):
        assert needs[p.module] <= {earlier.module for earlier in planned[:position]}
        if p.module not in wanted:
            assert p.dependency_of == tuple(sorted(other for other in needs if p.module in needs[other])) != ()
            assert p.cause == "DEPENDENCY_OF"
        else:
            assert p == Planned(p.module, p.version, "REQUESTED")
    mixed = list(known.items())
    shuffle.shuffle(mixed)
    again = list(wanted)
    shuffle.shuffle(again)
    assert plan_assignment(dict(mixed), {}, dict.fromkeys(again)) == planned
    # and once it is assigned, there is nothing left to do
    assert plan_assignment(known, versions, dict.fromkeys(wanted)) == ()


@given(registries(), st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3), st.sampled_from("abcdef"))
def test_an_assignment_on_top_of_another_breaks_nothing(known: Catalog, first: set[str], second: str) -> None:
    try:
        assigned = {p.module: p.version for p in plan_assignment(known, {}, dict.fromkeys(first))}
        added = {p.module: p.version for p in plan_assignment(known, assigned, {second: None})}
    except Refusal:
        return

    assert not added.keys() & assigned.keys()
    assert is_in_order(known, {**assigned, **added})


@given(registries(), st.sets(st.sampled_from("abcdef"), min_size=1), st.sampled_from("abcdef"))
def test_an_unassignment_leaves_nothing_without_its_needs(known: Catalog, wanted: set[str], module: str) -> None:
    try:
        assigned = {p.module: p.version for p in plan_assignment(known, {}, dict.fromkeys(wanted))}
    except Refusal:
        return
    taken = plan_unassignment(known, assigned, module)
    if module not in assigned:
        assert taken == ()
        return

    assert taken[-1] == module
    for step in range(len(taken) + 1):
        left = {code: number for code, number in assigned.items() if code not in taken[:step]}
        assert is_in_order(known, left)  # after every single step
    for code in taken[:-1]:  # nobody goes without a reason
        assert any(r.module in taken for r in release_of(known, code, assigned[code]).required)


def test_an_unassignment_follows_the_versions_that_are_assigned() -> None:
    assigned = {"pay": "1.0.0", "bill": "1.0.0", "order": "1.0.0", "stock": "1.0.0", "mail": "1.0.0", "gone": "1.0.0"}

    assert plan_unassignment(SHOP, assigned, "pay") == ("order", "bill", "pay")
    assert plan_unassignment(SHOP, assigned, "stock") == ("stock",)  # order 1.0.0 did not need it yet
    assert plan_unassignment(SHOP, assigned, "mail") == ("mail",)  # bill only likes it
    assert plan_unassignment(SHOP, assigned, "gone") == ("gone",)
    assert plan_unassignment(SHOP, dict.fromkeys(["ring-a", "ring-b", "ring-c"], "1.0.0"), "ring-b") == (
        "ring-a",
        "ring-c",
        "ring-b",
    )


def test_the_edges_of_the_registry_are_those_of_the_newest_releases() -> None:
    edges = required_edges(SHOP)

    assert edges["order"] == ("pay", "stock")
    assert edges["bill"] == ("pay",)
    assert edges["pay"] == ()
