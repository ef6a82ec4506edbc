"""What may be kept, the canonical form, and JSON Pointers."""

import math
from datetime import date

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.json_values import (
    InvalidPointerError,
    JsonValue,
    PointerNotFoundError,
    canonical_json,
    check_json,
    content_hash,
    escape_pointer_token,
    pointer_of,
    pointer_tokens,
    resolve_pointer,
)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda child: st.lists(child, max_size=4) | st.dictionaries(TEXT, child, max_size=4), max_leaves=20
)


def nested(depth: int) -> JsonValue:
    value: JsonValue = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "pointer", "said"),
    [
        ({"a": ["x\0"]}, "/a/0", "U+0000"),
        ({"a\0": 1}, "/a\\u0000", "key holds the character U+0000"),
        ({"a/b": "\ud800"}, "/a~1b", "surrogate"),
        ({"\ud800": 1}, "/\\ud800", "key holds half of a surrogate"),
        ({"a": math.nan}, "/a", "not a finite number"),
        ([1, -math.inf], "/1", "not a finite number"),
        ({"a": 2**63}, "/a", "beyond 64 bits"),
        ({"a": -(2**63) - 1}, "/a", "beyond 64 bits"),
        ({"a": date(2024, 1, 1)}, "/a", "not a JSON value but a date"),
        ({"a": (1, 2)}, "/a", "not a JSON value but a tuple"),
        ({1: 2}, "/1", "key is not a string"),
        (nested(33), "/0" * 32, "deeper than 32"),
        ({str(i): 0 for i in range(2001)}, "", "more than 2000 keys"),
        ([0] * 10_001, "", "more than 10000 array items"),
        (["x" * 500_001] * 2, "", "more than 1000000 characters"),
        ({"x" * 1_000_001: 1}, "", "more than 1000000 characters"),
    ],
)
def test_what_cannot_be_kept_is_found_with_its_pointer(value: object, pointer: str, said: str) -> None:
    findings = check_json(value)

    assert [found for found, _ in findings] == [pointer]
    assert said in findings[0][1]
    orjson.dumps(findings)  # an answer can carry it


@pytest.mark.parametrize(
    "value", [nested(32), {str(i): 0 for i in range(2000)}, 2**63 - 1, -(2**63), "\U0001f600", None]
)
def test_the_limits_themselves_are_kept(value: JsonValue) -> None:
    assert check_json(value) == []


def test_every_fault_is_found_and_their_number_is_bounded() -> None:
    assert [pointer for pointer, _ in check_json({"a": "\0", "b": [math.inf], "c": 1})] == ["/a", "/b/0"]
    assert len(check_json(["\0"] * 500)) == 100


def test_a_hostile_depth_is_a_finding_and_not_a_fault() -> None:
    assert check_json(nested(200_000))[0][1] == "is nested deeper than 32 levels"
    assert check_json(nested(3), max_depth=2) == [("/0/0", "is nested deeper than 2 levels")]
    assert check_json({"a": {"b": 1}}, max_keys=1) == [("", "has more than 1 keys in all")]


@given(VALUES)
def test_what_is_kept_comes_back_the_same(value: JsonValue) -> None:
    assert check_json(value) == []
    assert canonical_json(orjson.loads(orjson.dumps(value))) == canonical_json(value)
    assert canonical_json(orjson.loads(canonical_json(value))) == canonical_json(value)


@given(st.dictionaries(TEXT, VALUES, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, JsonValue], random: object) -> None:
    shuffled = dict(sorted(value.items(), key=lambda _: random.random()))  # type: ignore[attr-defined]

    assert content_hash(shuffled) == content_hash(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"b": 1, "a": [True, None, "é"]}, '{"a":[true,null,"é"],"b":1}'.encode()),
        (1.0, b"1"),
        (-0.0, b"0"),
        (1e16, b"10000000000000000"),  # as jsonb gives it back
        (1e300, b"1e+300"),
        (0.1, b"0.1"),
    ],
)
def test_the_canonical_form(value: JsonValue, written: bytes) -> None:
    assert canonical_json(value) == written


def test_the_hash_is_sha_256_of_the_canonical_form() -> None:
    assert content_hash({}).hex() == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert content_hash(1) == content_hash(1.0)
    assert content_hash(1) != content_hash(True)


# the examples of RFC 6901, section 5
RFC_6901: dict[str, JsonValue] = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_pointers_of_the_rfc(pointer: str, value: JsonValue) -> None:
    assert resolve_pointer(RFC_6901, pointer) == value


@pytest.mark.parametrize("pointer", ["foo", "#/foo", "/a~", "/a~2b", " /foo"])
def test_what_is_no_pointer(pointer: str) -> None:
    with pytest.raises(InvalidPointerError, match="JSON Pointer"):
        resolve_pointer(RFC_6901, pointer)


@pytest.mark.parametrize(
    "pointer", ["/x", "/foo/2", "/foo/-", "/foo/-1", "/foo/01", "/foo/१", "/foo/0/1", "/foo/" + "9" * 5000]
)
def test_pointers_that_lead_nowhere(pointer: str) -> None:
    with pytest.raises(PointerNotFoundError):
        resolve_pointer(RFC_6901, pointer)


@given(st.lists(TEXT, max_size=4))
def test_tokens_survive_the_pointer(tokens: list[str]) -> None:
    assert pointer_tokens(pointer_of(*tokens)) == tokens
    assert pointer_of(*tokens) == "".join("/" + escape_pointer_token(token) for token in tokens)
