"""Each kind of change, with what it is about."""

import pytest

from federation.changes import compare

OLD = """
directive @a(b: Int, c: Int = 1) repeatable on QUERY | FIELD
"An interface" interface Node { id: ID }
type Query { a(b: Int = 1, c: Int!): Int  d: Int!  e: E  u: U  n: Node  s(i: I): Float }
enum E { X Y }
union U = A | B
type A implements Node { id: ID }
type B { id: ID }
input I { a: Int = 1 }
"""
CHANGES = {
    "field removed": ("  d: Int!", "", "BREAKING FIELD_REMOVED Query.d"),
    "field added": ("  d: Int!", "  d: Int! z: Int", "SAFE FIELD_ADDED Query.z"),
    "field may be null": ("d: Int!", "d: Int", "BREAKING FIELD_CHANGED_KIND Query.d"),
    "field is never null": ("e: E", "e: E!", "SAFE FIELD_CHANGED_KIND_SAFE Query.e"),
    "argument removed": ("a(b: Int = 1, ", "a(", "BREAKING ARG_REMOVED Query.a(b:)"),
    "argument required": (" a(b", " a(z: Int!, b", "BREAKING REQUIRED_ARG_ADDED Query.a(z:)"),
    "argument added": (" a(b", " a(z: Int, b", "DANGEROUS OPTIONAL_ARG_ADDED Query.a(z:)"),
    "argument of another type": ("c: Int!)", "c: ID!)", "BREAKING ARG_CHANGED_KIND Query.a(c:)"),
    "argument not required": ("c: Int!)", "c: Int)", "SAFE ARG_CHANGED_KIND_SAFE Query.a(c:)"),
    "another default": ("(b: Int = 1,", "(b: Int = 2,", "DANGEROUS ARG_DEFAULT_VALUE_CHANGE Query.a(b:)"),
    "a default": ("c: Int!)", "c: Int! = 2)", "SAFE ARG_DEFAULT_VALUE_ADDED Query.a(c:)"),
    "value removed": ("X Y", "X", "BREAKING VALUE_REMOVED_FROM_ENUM E.Y"),
    "value added": ("X Y", "X Y Z", "DANGEROUS VALUE_ADDED_TO_ENUM E.Z"),
    "type out of a union": ("A | B", "A", "BREAKING TYPE_REMOVED_FROM_UNION U"),
    "type into a union": ("= A | B", "= A | B | Query", "DANGEROUS TYPE_ADDED_TO_UNION U"),
    "interface lost": ("type A implements Node", "type A", "BREAKING IMPLEMENTED_INTERFACE_REMOVED A"),
    "interface gained": ("type B", "type B implements Node", "DANGEROUS IMPLEMENTED_INTERFACE_ADDED B"),
    "input field required": ("input I {", "input I { z: Int!", "BREAKING REQUIRED_INPUT_FIELD_ADDED I.z"),
    "input field added": ("input I {", "input I { z: Int", "DANGEROUS OPTIONAL_INPUT_FIELD_ADDED I.z"),
    "another input default": ("a: Int = 1 }", "a: Int = 2 }", "DANGEROUS INPUT_FIELD_DEFAULT_VALUE_CHANGE I.a"),
    "type added": ("union", "type Field { a: Int } union", "SAFE TYPE_ADDED Field"),
    "another kind": ("enum E { X Y }", "scalar E", "BREAKING TYPE_CHANGED_KIND E"),
    "standard scalar gone": ("Float", "Int", "BREAKING TYPE_REMOVED Float"),
    "directive removed": (OLD.splitlines()[1], "", "BREAKING DIRECTIVE_REMOVED @a"),
    "directive's argument removed": ("(b: Int, c: Int = 1)", "(c: Int = 1)", "BREAKING DIRECTIVE_ARG_REMOVED @a(b:)"),
    "directive not repeatable": (" repeatable", "", "BREAKING DIRECTIVE_REPEATABLE_REMOVED @a"),
    "directive's place removed": (" | FIELD", "", "BREAKING DIRECTIVE_LOCATION_REMOVED @a"),
    "description": ('"An interface"', '"The.\\nbest"', "SAFE DESCRIPTION_CHANGED Node"),
    "description of a field": ("input I { a", 'input I { "says" a', "SAFE DESCRIPTION_CHANGED I.a"),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_each_change_is_found_where_it_is(old: str, new: str, expected: str) -> None:
    assert old in OLD
    found = compare(OLD, OLD.replace(old, new, 1))
    seen = [f"{change.criticality} {change.code} {change.path}" for change in found]
    # what was removed or changed may take the standard scalar with it
    assert seen[:1] == [expected] or expected in seen
    assert all(change.message for change in found)


def test_nothing_has_changed() -> None:
    assert compare(OLD, "\n".join(reversed(OLD.strip().splitlines()))) == ()


def test_the_worst_comes_first() -> None:
    new = OLD.replace("d: Int!", "z: Int").replace("X Y", "X Y Z")
    assert [str(change.criticality) for change in compare(OLD, new)] == ["BREAKING", "DANGEROUS", "SAFE"]
