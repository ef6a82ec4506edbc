"""The merge against the documents' reference, and where every value came from."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.config_merge import (
    Layer,
    LayerName,
    Leaf,
    LeafSource,
    Shadowed,
    explain_config,
    leaves_of,
    merge_config,
    overlaid,
)
from rules.json_values import InvalidPointerError, pointer_tokens, resolve_pointer

# few keys, so that layers meet; among them those that a pointer must escape
KEYS = st.sampled_from(["a", "b", "c", "a/b", "~", ""])
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", ""])
VALUES = st.recursive(
    SCALARS, lambda child: st.lists(child, max_size=2) | st.dictionaries(KEYS, child, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
NAMES: tuple[LayerName, ...] = ("MODULE", "INDUSTRY", "ORGANIZATION", "COMPANY")


def deep_merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """The reference: dicts recurse, everything else replaces."""
    result = copy.deepcopy(base)
    for key, value in override.items():
        if isinstance(value, dict):
            below = result.get(key)
            result[key] = deep_merge(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


@given(st.lists(OBJECTS, max_size=4))
def test_the_merge_is_the_reference_merge(layers: list[dict[str, Any]]) -> None:
    expected: dict[str, Any] = {}
    for layer in layers:
        expected = deep_merge(expected, layer)

    assert merge_config(*layers) == expected


@given(st.lists(OBJECTS, max_size=4))
def test_layer_over_layer_is_the_merge_of_all_and_changes_none(layers: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(layers)
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = overlaid(merged, layer)

    assert json.dumps(merged) == json.dumps(merge_config(*layers))  # the order of the keys included
    assert layers == before


@given(st.lists(OBJECTS, min_size=1, max_size=3))
def test_the_result_shares_nothing_with_the_layers(layers: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(layers)
    merged = merge_config(*layers)

    def spoil(value: Any) -> None:
        for child in (
            list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
        ):
            spoil(child)
        if isinstance(value, dict):
            value["spoilt"] = True
        elif isinstance(value, list):
            value.append("spoilt")

    spoil(merged)

    assert layers == before


@given(OBJECTS)
def test_nothing_over_a_layer_and_a_layer_over_itself_change_nothing(layer: dict[str, Any]) -> None:
    assert (
        merge_config(layer) == merge_config(layer, {}) == merge_config({}, layer) == merge_config(layer, layer) == layer
    )


DEFAULTS: dict[str, Any] = {"currency": "USD", "tax_rate": 0, "invoice_prefix": "INV", "payment_terms": 30}
ORGANIZATION: dict[str, Any] = {"currency": "EUR", "tax_rate": 0.20, "invoice_prefix": "ACME"}
COMPANY: dict[str, Any] = {"tax_rate": 0.19, "invoice_prefix": "ACME-DE"}


def test_the_example_of_the_documents() -> None:
    assert merge_config(DEFAULTS, ORGANIZATION, COMPANY) == {
        "currency": "EUR",
        "tax_rate": 0.19,
        "invoice_prefix": "ACME-DE",
        "payment_terms": 30,
    }


def test_lists_and_null_replace() -> None:
    assert merge_config({"a": [1, 2], "b": {"c": 1}, "d": 1}, {"a": [3], "b": None, "d": {"e": {}}}) == {
        "a": [3],
        "b": None,
        "d": {"e": {}},
    }


def test_the_example_is_explained() -> None:
    by_admin = LeafSource(revision=7, set_by="admin", set_at="2024-05-01T10:00:00Z", reason="VAT")
    published = LeafSource(set_at="2024-01-01T00:00:00Z")
    signed_up = LeafSource(revision=3, set_by="founder")
    layers = [
        Layer(name="MODULE", values=DEFAULTS, default_source=published),
        Layer(name="ORGANIZATION", values=ORGANIZATION, sources={"/tax_rate": by_admin}, default_source=signed_up),
        Layer(name="COMPANY", values=COMPANY, sources={"/tax_rate": by_admin}),
    ]

    assert explain_config(layers) == [
        Leaf(
            pointer="/currency",
            value="EUR",
            layer="ORGANIZATION",
            source=signed_up,
            shadowed=(Shadowed("MODULE", "USD"),),
        ),
        Leaf(
            pointer="/invoice_prefix",
            value="ACME-DE",
            layer="COMPANY",
            source=LeafSource(),
            shadowed=(Shadowed("ORGANIZATION", "ACME"), Shadowed("MODULE", "INV")),
        ),
        Leaf(pointer="/payment_terms", value=30, layer="MODULE", source=published),
        Leaf(
            pointer="/tax_rate",
            value=0.19,
            layer="COMPANY",
            source=by_admin,
            shadowed=(Shadowed("ORGANIZATION", 0.20), Shadowed("MODULE", 0)),
        ),
    ]


def named(*layers: dict[str, Any]) -> list[Layer]:
    return [Layer(name=name, values=values) for name, values in zip(NAMES, layers, strict=False)]


@pytest.mark.parametrize(
    ("layers", "leaves"),
    [
        # an empty object is a leaf, the empty root is not
        (({}, {}), []),
        (({"a": {}},), [("/a", {}, "MODULE", [])]),
        # an empty object over an object takes nothing away
        (({"a": {"b": 1}}, {"a": {}}), [("/a/b", 1, "MODULE", [])]),
        (({"a": 1}, {"a": {}}), [("/a", {}, "INDUSTRY", [("MODULE", 1)])]),
        (({"a": {"b": 1}}, {"a": 5}), [("/a", 5, "INDUSTRY", [("MODULE", {"b": 1})])]),
        (({"a": {"b": 1}}, {"a": 5}, {"a": {"c": 2}}), [("/a/c", 2, "ORGANIZATION", [])]),
        # null is a value that was set
        (({"a": 1}, {"a": None}), [("/a", None, "INDUSTRY", [("MODULE", 1)])]),
        (({"x/y": {"~": [1]}},), [("/x~1y/~0", [1], "MODULE", [])]),
    ],
)
def test_leaves(layers: tuple[dict[str, Any], ...], leaves: list[tuple[str, Any, str, list[tuple[str, Any]]]]) -> None:
    found = explain_config(named(*layers))

    assert [
        (leaf.pointer, leaf.value, leaf.layer, [(s.layer, s.value) for s in leaf.shadowed]) for leaf in found
    ] == leaves


@given(st.lists(OBJECTS, min_size=1, max_size=4))
def test_the_leaves_rebuild_the_merged_configuration(layers: list[dict[str, Any]]) -> None:
    leaves = explain_config(named(*layers))
    rebuilt: dict[str, Any] = {}
    for leaf in leaves:
        *parents, last = pointer_tokens(leaf.pointer)
        place = rebuilt
        for token in parents:
            place = place.setdefault(token, {})
        place[last] = leaf.value

    assert rebuilt == merge_config(*layers)
    assert [leaf.pointer for leaf in leaves] == sorted(leaves_of(merge_config(*layers)))


@given(st.lists(OBJECTS, min_size=1, max_size=4))
def test_each_leaf_is_what_its_layer_says_and_no_higher_one_speaks_of_it(layers: list[dict[str, Any]]) -> None:
    for leaf in explain_config(named(*layers)):
        said = {}
        for name, values in zip(NAMES, layers, strict=False):
            try:
                said[name] = resolve_pointer(values, leaf.pointer)
            except LookupError:
                continue
        by_layer = [(leaf.layer, leaf.value), *((shadowed.layer, shadowed.value) for shadowed in leaf.shadowed)]

        assert by_layer == list(reversed(said.items()))


def test_a_prefix_ends_at_a_token() -> None:
    layers = named({"tax": {"rate": 1, "kind": "x"}, "tax_id": 2, "list": [1]})

    assert [leaf.pointer for leaf in explain_config(layers, "/tax")] == ["/tax/kind", "/tax/rate"]
    assert [leaf.pointer for leaf in explain_config(layers, "/tax/rate")] == ["/tax/rate"]
    assert [leaf.pointer for leaf in explain_config(layers, "")] == ["/list", "/tax/kind", "/tax/rate", "/tax_id"]
    assert explain_config(layers, "/list/0") == explain_config(layers, "/nothing") == []
    with pytest.raises(InvalidPointerError):
        explain_config(layers, "tax")
