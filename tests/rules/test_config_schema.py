"""Schemas of configurations: which are taken, what one layer must satisfy, what the merged one must."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from rules.config_schema import check_layer, check_merged, check_schema, partial_schema
from rules.errors import ConfigInvalid


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


DEFINITIONS = {
    "address": of({"city": {"type": "string"}}, required=["city"], additionalProperties=False),
    "via~/%": {"type": "integer"},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/s", "type": "object"},
        of({"a": {"$ref": "#/$defs/address"}, "b": {"$ref": "#/properties/a"}}, **{"$defs": DEFINITIONS}),
        of({"a": {"$ref": "#/$defs/via~0~1%25"}}, **{"$defs": DEFINITIONS}),
        of({"$ref": {"type": "string"}, "pattern": {"type": "integer"}, "$anchor": True}),
        of({"a": {"const": {"$ref": "https://example.com/not-a-reference", "pattern": "("}}}),
        of({"a": {"pattern": r"^[\w.-]{1,62}$", "format": "email"}}),
        of({str(n): {"pattern": "x"} for n in range(64)}),
        of({str(n): {} for n in range(255)}),
    ],
)
def test_schemas_that_are_taken(schema: dict[str, Any]) -> None:
    assert check_schema(schema) == []


@pytest.mark.parametrize(
    ("schema", "pointer", "said"),
    [
        ([], "", "must be a JSON Schema object"),
        (True, "", "must be a JSON Schema object"),
        ({}, "/type", 'must be "object"'),
        ({"type": ["object", "null"]}, "/type", 'must be "object"'),
        (of({"a": 5}), "/properties/a", "5 is not of types"),
        (of({"a": {"minimum": "x"}}), "/properties/a/minimum", "is not of type"),
        (of({"a": {"type": "strng"}}), "/properties/a/type", "array"),
        (of({"a": {"default": "\0"}}), "/properties/a/default", "U+0000"),
        (of({"a": {"$ref": "https://example.com/s"}}), "/properties/a/$ref", "a place in this schema"),
        (of({"a": {"$ref": "other.json#/x"}}), "/properties/a/$ref", "a place in this schema"),
        (of({"a": {"$ref": "#/$defs/none"}}), "/properties/a/$ref", "leads to no schema"),
        (of({"a": {"$ref": "#name"}}), "/properties/a/$ref", "leads to no schema"),
        (of({"a": {"$ref": "#/required"}}, required=["a"]), "/properties/a/$ref", "leads to no schema"),
        (of({"a": {"$dynamicRef": "#x"}}), "/properties/a/$dynamicRef", "not supported"),
        (of({"a": {"$id": "https://example.com/s"}}), "/properties/a/$id", "at the top"),
        ({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "2020-12"),
        (of({"a": {"pattern": "(?=x)"}}), "/properties/a/pattern", "linear time"),
        (of({"a": {"pattern": r"(x)\1"}}), "/properties/a/pattern", "linear time"),
        (of({"a": {"pattern": "((x{99}){99}){99}"}}), "/properties/a/pattern", "linear time"),
        (of({}, patternProperties={"(?!/)": {}}), "/patternProperties/(?!~1)", "linear time"),
        (of({str(n): {} for n in range(256)}), "", "257 subschemas; 256 are allowed"),
        (of({str(n): {"pattern": "x"} for n in range(65)}), "", "65 regular expressions; 64 are allowed"),
        (of({"a": {"$ref": "#"}}), "/properties/a/$ref", "leads back to itself"),
        (of({}, **{"$ref": "#"}), "/$ref", "leads back to itself"),
        (
            of({"a": {"$ref": "#/$defs/b"}}, **{"$defs": {"b": {"items": {"$ref": "#/properties/a"}}}}),
            "/$defs/b/items/$ref",
            "leads back to itself",
        ),
    ],
)
def test_schemas_that_are_refused(schema: object, pointer: str, said: str) -> None:
    problems = check_schema(schema)

    assert pointer in [found for found, _ in problems]
    assert said in " ".join(message for found, message in problems if found == pointer)


def test_all_faults_of_a_schema_are_said_at_once() -> None:
    schema = of({"a": {"type": "strng"}, "b": {"pattern": "(?=x)"}, "c": {"$ref": "#/no"}}, required=3)

    assert [pointer for pointer, _ in check_schema(schema)] == [
        "/properties/a/type",
        "/properties/b/pattern",
        "/properties/c/$ref",
        "/required",
    ]


def doubling(depth: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(depth)
    }
    return of({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": {**definitions, f"d{depth}": {"type": "integer"}}})


def test_references_cannot_multiply_without_bound() -> None:
    assert check_schema(doubling(7)) == []
    started = time.process_time()
    [(_, message)] = check_schema(doubling(60))
    assert "too large when its references are written out" in message
    assert time.process_time() - started < 2
    chain = {f"d{n}": of({"a": {"$ref": f"#/$defs/d{n + 1}"}}) for n in range(80)}
    [(_, message)] = check_schema(of({"a": {"$ref": "#/$defs/d0"}}, **{"$defs": {**chain, "d80": {}}}))
    assert "64 deep" in message


def test_the_largest_schema_that_is_taken_is_checked_fast() -> None:
    schema = doubling(8)
    assert check_schema(schema) == []
    started = time.process_time()
    assert [problem.pointer for problem in check_merged(schema, {"a": "x"})] == ["/a"]
    assert time.process_time() - started < 2


SETTINGS = of(
    {
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "rate": {"type": "number", "minimum": 0, "maximum": 1},
        "mode": {"enum": ["fast", "safe"]},
        "required": of({"x": {"type": "integer"}}, required=["x"]),  # a property of this name, not the keyword
        "limits": of({"low": {"type": "integer"}, "high": {"type": "integer"}}, minProperties=2),
        "places": {"type": "array", "items": {"$ref": "#/$defs/address"}},
        "home": {"$ref": "#/$defs/address"},
        "to": {"anyOf": [{"type": "null"}, of({"mail": {"type": "string"}}, required=["mail"])]},
    },
    required=["currency", "a/b"],
    dependentRequired={"rate": ["currency"]},
    additionalProperties=False,
    **{"$defs": DEFINITIONS},
)


def test_the_partial_schema_of_a_small_one() -> None:
    schema = of(
        {
            "required": of({"x": {"type": "integer"}}, required=["x"]),
            "list": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            "one": {"oneOf": [{"const": 1}, {"const": {"k": 1}}], "not": {"const": 2}},
            "ref": {"$ref": "#/$defs/item"},
        },
        required=["required"],
        minProperties=1,
        **{"if": {"required": ["list"]}, "then": {"required": ["ref"]}},
        **{"$defs": {"item": of({"n": {"type": "integer"}}, required=["n"])}},
    )

    assert partial_schema(schema) == of(
        {
            "required": of({"x": {"type": "integer"}}),
            "list": {"type": "array", "items": {"allOf": [of({"n": {"type": "integer"}}, required=["n"])]}},
            "one": {"allOf": [{"anyOf": [{"const": 1}, {}]}]},
            "ref": {"allOf": [of({"n": {"type": "integer"}})]},
        }
    )


def said(problems: list[ConfigInvalid]) -> dict[str | None, str]:
    return {problem.pointer: problem.message for problem in problems}


def test_a_layer_may_leave_out_what_another_adds() -> None:
    layer: dict[str, Any] = {"rate": 0.5, "required": {}, "limits": {"low": 1}, "home": {}, "to": {}}

    assert check_layer(SETTINGS, layer, "COMPANY") == []
    assert check_layer(SETTINGS, {}, "MODULE") == []


def test_what_no_other_layer_could_mend_is_refused_in_the_layer() -> None:
    layer: dict[str, Any] = {
        "currency": "euro",
        "rate": 2,
        "mode": "slow",
        "required": {"x": "1"},
        "places": [{}],
        "home": {"town": 1},
        "q": 1,
    }

    problems = check_layer(SETTINGS, layer, "ORGANIZATION")

    assert {problem.layer for problem in problems} == {"ORGANIZATION"}
    assert said(problems) == {
        "/currency": '/currency is not valid: "euro" does not match "^[A-Z]{3}$".',
        "/home/town": "/home/town is not a property the schema knows (it knows city).",
        "/mode": '/mode is not one of "fast", "safe".',
        "/places/0/city": "/places/0/city is required.",
        "/q": "/q is not a property the schema knows"
        " (it knows currency, home, limits, mode, places, rate, required, to).",
        "/rate": "/rate is not valid: 2 is greater than the maximum of 1.",
        "/required/x": '/required/x is not valid: "1" is not of type "integer".',
    }


def test_the_merged_configuration_must_be_whole() -> None:
    problems = check_merged(SETTINGS, {"rate": 0.5, "required": {}, "limits": {"low": 1}, "home": {}, "to": {}})

    assert {problem.layer for problem in problems} == {None}
    assert said(problems) == {
        "/a~1b": "/a~1b is required.",
        "/currency": "/currency is required.",
        "/home/city": "/home/city is required.",
        "/limits": '/limits is not valid: {"low":1} has less than 2 properties.',
        "/required/x": "/required/x is required.",
        "/to": '/to is none of what is expected: {} is not of type "null"; or "mail" is a required property.',
    }


def test_a_fault_inside_the_only_alternative_that_fits_is_pointed_at() -> None:
    schema = of({"to": {"anyOf": [{"type": "null"}, of({"mail": {"type": "string"}})]}})

    assert said(check_merged(schema, {"to": {"mail": 1}})) == {
        "/to/mail": '/to/mail is not valid: 1 is not of type "string".'
    }


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"additionalProperties": False}, "/a/~1 is not a property the schema knows."),
        ({"unevaluatedProperties": False}, "/a/~1 is not a property the schema knows."),
        ({"properties": {"/": False}}, "/a/~1 must not be given."),
        ({"propertyNames": {"maxLength": 0}}, '/a/~1 is not a valid name: "/" is longer than 0 characters.'),
    ],
)
def test_a_member_that_may_not_be_there_is_pointed_at(rule: dict[str, Any], message: str) -> None:
    assert said(check_merged(of({"a": rule}), {"a": {"/": 1}})) == {"/a/~1": message}


def test_two_alternatives_at_once_are_not_called_none() -> None:
    schema = of({"a": {"oneOf": [{"minimum": 1}, {"minimum": 2}]}})

    [problem] = check_merged(schema, {"a": 3})

    assert problem.pointer == "/a"
    assert "more than one of the schemas" in problem.message


def test_formats_are_checked_and_messages_are_short() -> None:
    schema = of({"mail": {"type": "string", "format": "email", "maxLength": 10}})

    assert [p.pointer for p in check_merged(schema, {"mail": "nobody"})] == ["/mail"]
    assert all(len(p.message) < 600 for p in check_merged(schema, {"mail": "x" * 100_000}))
    many = check_merged(of({}, additionalProperties={"type": "string"}), {str(n): n for n in range(1000)})
    assert len(many) == 100


def test_a_changed_schema_is_another_schema() -> None:
    schema = of({"a": {"type": "string"}})
    assert len(check_merged(schema, {"a": 1})) == 1
    schema["properties"]["a"]["type"] = "integer"
    assert check_merged(schema, {"a": 1}) == []
    assert len(check_layer(schema, {"a": "x"}, "MODULE")) == 1


@pytest.mark.parametrize(
    ("rule", "whole", "part"),
    [
        # only `then` looks at x, and it is dropped with `if`; so what nobody looked at must not be counted
        (
            {
                "properties": {"k": True},
                "if": {"required": ["k"]},
                "then": of({"x": True}),
                "unevaluatedProperties": False,
            },
            {"k": 1, "x": 2},
            {"x": 2},
        ),
        (
            of({"l": {"if": True, "then": {"prefixItems": [True]}, "unevaluatedItems": False}}),
            {"l": [1], "m": 1},
            {"l": [1]},
        ),
        # the part fits both alternatives
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, {}),
        ({"not": {"maxProperties": 1}}, {"a": 1, "b": 2}, {"a": 1}),
    ],
)
def test_dropping_one_rule_may_drop_what_hangs_on_it(rule: Any, whole: dict[str, Any], part: dict[str, Any]) -> None:
    schema = {"type": "object", **rule}

    assert check_schema(schema) == []
    assert check_merged(schema, whole) == []
    assert check_layer(schema, part, "COMPANY") == []


def test_what_cannot_be_an_object_is_checked_in_full_in_every_layer() -> None:
    schema = of(
        {"port": {"type": ["integer", "null"], "not": {"const": 80}, "if": {"minimum": 9}, "then": {"maximum": 9}}}
    )

    assert [problem.pointer for problem in check_layer(schema, {"port": 80}, "COMPANY")] == ["/port", "/port"]
    assert check_layer(schema, {"port": 8}, "COMPANY") == []


# ---- every part of a valid configuration satisfies the partial schema

LEAF_SCHEMAS: st.SearchStrategy[Any] = st.sampled_from(
    [
        True,
        {"type": "string"},
        {"type": "integer"},
        {"const": 1},
        {"enum": ["x", {"a": 1, "b": 2}]},
        {"const": {"a": 1}},
        {"$ref": "#/$defs/d"},
        {"type": "array", "items": {"$ref": "#/$defs/d"}},
        {"required": ["a"]},
        {"minProperties": 2},
        {"maxProperties": 1},
        {"propertyNames": {"enum": ["a", "b"]}},
        {"type": ["object", "null"], "required": ["b"]},
    ]
)
NAMES = st.sampled_from(["a", "b", "c"])


def compound(child: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, child, max_size=3)
    return st.one_of(
        st.fixed_dictionaries(
            {"properties": properties},
            optional={
                "type": st.just("object"),
                "required": st.lists(NAMES, unique=True, max_size=2),
                "additionalProperties": st.booleans() | child,
                "unevaluatedProperties": st.booleans(),
                "dependentRequired": st.just({"a": ["b"]}),
                "dependentSchemas": st.fixed_dictionaries({"a": child}),
                "patternProperties": st.fixed_dictionaries({"^[ab]": child}),
            },
        ),
        st.lists(child, min_size=1, max_size=3).flatmap(
            lambda children: st.sampled_from([{"allOf": children}, {"anyOf": children}, {"oneOf": children}])
        ),
        st.fixed_dictionaries({"not": child}),
        st.fixed_dictionaries({"if": child, "then": child, "else": child, "unevaluatedProperties": st.booleans()}),
        st.fixed_dictionaries(
            {"prefixItems": st.lists(child, min_size=1, max_size=2), "unevaluatedItems": st.booleans()}
        ),
        st.fixed_dictionaries({"contains": child, "items": child}),
    )


SCHEMAS = st.recursive(LEAF_SCHEMAS, compound, max_leaves=6)
VALUES = st.recursive(
    st.sampled_from([1, "x", None, True]),
    lambda child: st.dictionaries(NAMES, child, max_size=3) | st.lists(child, max_size=2),
    max_leaves=6,
)


def part_of(value: Any, draw: st.DataObject) -> Any:
    """The value without some members of some objects; lists stay whole."""
    if not isinstance(value, dict):
        return value
    kept = draw.draw(st.sets(st.sampled_from(sorted(value)))) if value else set()
    return {key: part_of(child, draw) for key, child in value.items() if key in kept}


@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=3), SCHEMAS, st.data())
def test_every_part_of_a_valid_configuration_is_a_valid_layer(
    rule: Any, values: dict[str, Any], definition: Any, data: st.DataObject
) -> None:
    # a definition that refers to itself is refused as recursive, so it does not come up here
    definition = definition if "$ref" not in repr(definition) else {"required": ["b"]}
    schema: dict[str, Any] = {"type": "object", "allOf": [rule], "$defs": {"d": definition}}
    assert check_schema(schema) == []
    is_valid = Draft202012Validator(schema).is_valid(values)

    assert (check_merged(schema, values) == []) == is_valid
    if is_valid:
        assert check_layer(schema, part_of(values, data), "COMPANY") == []
    # and what the partial schema is asked beyond that is nothing the whole one does not ask
    if check_layer(schema, values, "COMPANY"):
        assert not is_valid
