"""Writes to one layer: the three ways, what they refuse, and whose every leaf is afterwards."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.config_merge import LeafSource, leaves_of
from rules.config_write import ConfigWrite, apply_write, changed_sources, merge_patched
from rules.errors import InvalidInput, Refusal

KEYS = st.sampled_from(["a", "b", "c", "a/b", "~"])
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "/a", "/b/0", "-"])
VALUES = st.recursive(
    SCALARS, lambda child: st.lists(child, max_size=3) | st.dictionaries(KEYS, child, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
PLACES = st.sampled_from(["", "/a", "/b", "/a/b", "/a~1b", "/a/-", "/a/0", "/c/~0", "a", "/~", "/zz/y"])
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "no"])},
    optional={"path": PLACES | VALUES, "from": PLACES | VALUES, "value": VALUES},
)


def refused(current: dict[str, Any], write: ConfigWrite, value: Any) -> list[tuple[tuple[str, ...], str | None, str]]:
    before = copy.deepcopy(current)
    with pytest.raises(Refusal) as refusal:
        apply_write(current, write, value)
    assert current == before
    assert all(type(problem) is InvalidInput for problem in refusal.value.problems)
    return [(problem.path, problem.pointer, problem.message) for problem in refusal.value.problems]


def test_replace() -> None:
    value: dict[str, Any] = {"b": [1]}
    after = apply_write({"a": 1}, "REPLACE", value)

    assert after == {"b": [1]}
    assert after["b"] is not value["b"]


# the table of RFC 7396, appendix A
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patched(target, patch) == result
    if isinstance(target, dict) and isinstance(result, dict):
        assert apply_write(target, "MERGE_PATCH", patch) == result


def test_json_patch() -> None:
    current: dict[str, Any] = {"a": {"b": 1}, "l": [1, 2]}
    patch: list[Any] = [
        {"op": "test", "path": "/a/b", "value": 1},
        {"op": "add", "path": "/l/-", "value": 3},
        {"op": "move", "from": "/a/b", "path": "/c"},
        {"op": "copy", "from": "/l", "path": "/m"},
        {"op": "remove", "path": "/l/0"},
        {"op": "replace", "path": "/a", "value": None},
    ]

    after = apply_write(current, "JSON_PATCH", patch)

    assert after == {"a": None, "l": [2, 3], "c": 1, "m": [1, 2, 3]}
    assert current == {"a": {"b": 1}, "l": [1, 2]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/zz", "value": 1},
        {"op": "remove", "path": "/zz"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "/l/9", "value": 1},
        {"op": "add", "path": "/l/x", "value": 1},
        {"op": "add", "path": 3, "value": 1},
        {"op": "add", "path": "/q"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "test", "path": "/a", "value": True},
        {"op": "copy", "path": "/q"},
        {"op": "move", "from": "/d", "path": "/d/e"},
        {"op": "spell", "path": "/a"},
        {"op": ["add"], "path": "/a", "value": 1},
        {},
        "add",
        None,
    ],
)
def test_the_operation_that_fails_is_pointed_at(operation: Any) -> None:
    current = {"a": 1, "l": [1], "d": {"e": {}}}
    harmless = {"op": "add", "path": "/new", "value": 1}

    [(path, pointer, message)] = refused(current, "JSON_PATCH", [harmless, operation])

    assert (path, pointer) == (("input", "value"), "/1")
    assert message.startswith("Operation 1 of the JSON Patch cannot be done: ")


@pytest.mark.parametrize(
    ("write", "value", "pointer", "said"),
    [
        ("REPLACE", [1], "", "REPLACE would leave an array"),
        ("REPLACE", None, "", "REPLACE would leave null"),
        ("REPLACE", {"a": "\0"}, "/a", "U+0000"),
        ("MERGE_PATCH", "x", "", "MERGE_PATCH would leave a string"),
        ("JSON_PATCH", [{"op": "replace", "path": "", "value": 3}], "", "JSON_PATCH would leave a number"),
        ("JSON_PATCH", {"op": "add"}, "", "array of operations"),
        ("JSON_PATCH", "[]", "", "array of operations"),
        ("JSON_PATCH", [{"op": "test", "path": "", "value": {}}] * 101, "", "may have 100 operations"),
    ],
)
def test_what_leaves_no_configuration_is_refused(write: ConfigWrite, value: Any, pointer: str, said: str) -> None:
    [(path, at, message)] = refused({}, write, value)

    assert (path, at) == (("input", "value"), pointer)
    assert said in message


def test_the_result_of_a_merge_is_bounded_too() -> None:
    full = {f"k{number}": 0 for number in range(2_000)}

    [(_, pointer, message)] = refused(full, "MERGE_PATCH", {"one-more": 1})

    assert (pointer, message) == ("", "The configuration after the write has more than 2000 keys in all.")


@pytest.mark.parametrize(
    ("operations", "fails_at"),
    [
        # each copy doubles the list
        ([{"op": "copy", "from": "", "path": f"/{n}"} for n in range(60)], range(8, 32)),
        # each copy deepens the object
        ([{"op": "copy", "from": "/a", "path": "/a/" + "a/" * n + "a"} for n in range(60)], range(2, 32)),
    ],
)
def test_copies_of_copies_are_stopped(operations: list[Any], fails_at: range) -> None:
    [(_, pointer, message)] = refused({"a": {"x": 1}}, "JSON_PATCH", operations)

    assert pointer is not None
    assert int(pointer[1:]) in fails_at
    assert "the configuration" in message


@given(OBJECTS, st.lists(OPERATIONS, max_size=4))
def test_any_patch_is_applied_or_refused(current: dict[str, Any], patch: list[Any]) -> None:
    before = copy.deepcopy(current)
    try:
        after = apply_write(current, "JSON_PATCH", patch)
    except Refusal:
        pass
    else:
        assert isinstance(after, dict)
    assert current == before


OLD = {pointer: LeafSource(revision=1, set_by=pointer) for pointer in ("/a", "/b/c", "/l")}
NEW = LeafSource(revision=2, set_by="now")


def test_only_what_changed_has_a_new_source() -> None:
    before: dict[str, Any] = {"a": 1, "b": {"c": 1}, "l": [1], "unsourced": 1}
    after: dict[str, Any] = {"a": 1.0, "b": {"d": 1}, "l": [1, 2], "unsourced": 1, "new": {}}

    sources = changed_sources(before, after, OLD, NEW)

    assert sources == {"/a": OLD["/a"], "/b/d": NEW, "/l": NEW, "/new": NEW}


def test_true_is_another_value_than_1() -> None:
    assert changed_sources({"a": 1}, {"a": True}, OLD, NEW) == {"/a": NEW}


@given(OBJECTS, OBJECTS)
def test_sources_follow_the_leaves(before: dict[str, Any], after: dict[str, Any]) -> None:
    old = {pointer: LeafSource(revision=1) for pointer in leaves_of(before)}

    sources = changed_sources(before, after, old, NEW)

    assert sources.keys() == leaves_of(after).keys()
    assert changed_sources(before, before, old, NEW) == old
    for pointer in sources:
        if pointer not in old:
            assert sources[pointer] == NEW
