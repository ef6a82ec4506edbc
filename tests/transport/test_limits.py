"""Each limit of a document at its boundary, and the work of the pass itself."""

from collections.abc import Callable

import pytest
from graphql import get_introspection_query, parse

from graph.limits import Limits, check_document, fragment_order, measure

LIMITS = Limits()


def violations(text: str, limits: Limits = LIMITS) -> list[tuple[str, int, int]]:
    found = []
    for error in check_document(parse(text), limits):
        extensions = error.extensions or {}
        assert extensions["code"] == "LIMIT_EXCEEDED"
        found.append((extensions["rule"], extensions["limit"], extensions["actual"]))
    return found


def nested(depth: int, name: str = "thing") -> str:
    return "{" + (name + "{") * (depth - 1) + "name" + "}" * depth


def doubling(fragments: int) -> str:
    chain = [f"fragment F{i} on Thing {{ ...F{i + 1} ...F{i + 1} }}" for i in range(fragments)]
    return " ".join(["{ thing { ...F0 } }", *chain, f"fragment F{fragments} on Thing {{ name }}"])


BOUNDARIES: dict[str, tuple[Callable[[int], str], int]] = {
    "depth": (nested, 12),
    "introspection_depth": (lambda n: "{__schema{" + "ofType{" * (n - 2) + "name" + "}" * n, 15),
    "root_fields": (lambda n: "{" + "hello " * n + "}", 20),
    "aliases": (lambda n: "{thing{" + " ".join(f"a{i}:name" for i in range(n)) + "}}", 30),
    "fragments": (lambda n: "{hello}" + "".join(f" fragment F{i} on Thing {{name}}" for i in range(n)), 50),
    "directives": (
        lambda n: "{thing{" + " ".join("name @include(if:true)" for _ in range(n)) + "}}",
        50,
    ),
    "directives_per_node": (lambda n: "{hello " + "@a " * n + "}", 5),
    "list_items": (lambda n: "{total(numbers:[" + "1 " * n + "])}", 500),
    "representations": (lambda n: "{_entities(representations:[" + "1 " * n + "])}", 1000),
}


@pytest.mark.parametrize("rule", BOUNDARIES)
def test_the_limit_itself_passes_and_one_more_is_refused(rule: str) -> None:
    build, limit = BOUNDARIES[rule]
    assert violations(build(limit)) == []
    assert violations(build(limit + 1)) == [(rule, limit, limit + 1)]


def test_fields_are_counted_as_often_as_fragments_spread_them() -> None:
    text = "{thing{" + "...F " * 100 + "}} fragment F on Thing {" + "".join(f"f{i} " for i in range(20)) + "}"
    assert violations(text) == [("fields", 2000, 2001)]
    assert violations(text.replace("...F ", "", 1)) == []


def test_aliases_of_a_fragment_count_at_every_spread() -> None:
    text = "{a{...F} b{...F}} fragment F on Thing {x:name y:name}"
    assert measure(parse(text)).aliases == 4


def test_root_fields_and_depth_cannot_hide_in_fragments() -> None:
    roots = "{...F} fragment F on Query {...G} fragment G on Query {" + "hello " * 21 + "}"
    assert violations(roots) == [("root_fields", 20, 21)]
    deep = "{" + "thing{" * 6 + "...F" + "}" * 7 + " fragment F on Thing " + nested(7)
    assert violations(deep) == [("depth", 12, 13)]


def test_introspection_through_a_fragment_counts_as_introspection() -> None:
    text = "{__schema{types{...T}}} fragment T on __Type " + nested(14, "ofType")
    assert violations(text) == [("introspection_depth", 15, 16)]


def test_the_standard_introspection_query_passes() -> None:
    assert violations(get_introspection_query(input_value_deprecation=True)) == []


def test_modules_and_their_dependencies_may_be_followed() -> None:
    text = "{organization{modules{module{dependencies{module{dependencies{module{dependencies{module{code}}}}}}}}}}"
    assert violations(text) == []


def test_pairs_of_one_name_are_bounded() -> None:
    text = "{thing{" + "name " * 201 + "}}"  # 201 * 200 / 2 = 20,100 pairs
    assert violations(text) == [("same_name_pairs", 20_000, 20_100)]
    assert violations(text.replace("name ", "", 1)) == []  # 19,900 pairs


def test_doubling_fragments_are_visited_once_each() -> None:
    # visited: one field, its spread, two spreads a fragment, the last field.
    assert measure(parse(doubling(20))).visited == 2 + 2 * 20 + 1
    assert measure(parse(doubling(40))).visited == 2 + 2 * 40 + 1
    assert violations(doubling(20)) == [("fields", 2000, 2**20 + 1)]


def test_figures_stay_within_what_json_readers_take() -> None:
    roomy = Limits(fragments=1_000)
    assert violations(doubling(400), roomy) == [("fields", 2000, 2**31 - 1)]


def test_cycles_end() -> None:
    text = (
        "{thing{...A}} fragment A on Thing {thing{...B}} fragment B on Thing {thing{...A}} fragment C on Thing {...C}"
    )
    assert measure(parse(text)).visited == 7


def test_a_long_chain_needs_no_stack() -> None:
    chain = {f"F{i}": [f"F{i + 1}"] for i in range(5_000)}
    assert fragment_order(chain)[:2] == ["F4999", "F4998"]


def test_null_characters_are_refused_wherever_a_string_stands() -> None:
    for text in (
        r'{echo(value:"\u0000")}',
        r'{echo(value:[{a:"\u{0}"}])}',
        r'query($v:String="\u0000"){echo(value:$v)}',
    ):
        errors = check_document(parse(text), LIMITS)
        assert [(error.extensions or {})["code"] for error in errors] == ["BAD_USER_INPUT"]
