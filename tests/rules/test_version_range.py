"""Versions as SemVer has them, ranges as npm has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.version_range import (
    InvalidRangeError,
    InvalidVersionError,
    is_prerelease,
    is_range,
    is_version,
    latest_of,
    newest_first,
    parse_version,
    satisfies,
)


@pytest.mark.parametrize(
    "text", ["0.0.0", "1.2.3", "10.20.30", "1.0.0-alpha.1", "1.0.0-0.3.7", "1.0.0+20130313", "1.0.0-a-b+c.1"]
)
def test_versions(text: str) -> None:
    assert is_version(text)
    assert str(parse_version(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0+", " 1.0.0", "1.0.0\n", "१.0.0",
     "1.0.0.0", "latest", "-1.0.0", "9" * 255 + ".0.0", "9" * 5000 + ".0.0"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(InvalidVersionError, match="is not a version like") as refusal:
        parse_version(text)
    assert len(str(refusal.value)) < 400


def test_a_version_may_be_256_characters_long() -> None:
    assert is_version("1.0.0-" + "a" * 250)
    assert not is_version("1.0.0-" + "a" * 251)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (">=2.0.0", ["2.0.0", "3.1.4"], ["1.9.9", "2.0.0-rc.1", "2.1.0-rc.1"]),
        ("^1.2.0 || ^2.0.0", ["1.2.0", "1.9.0", "2.0.0", "2.9.9"], ["1.1.9", "3.0.0"]),
        ("^1.2.0||^2.0.0", ["1.2.0", "2.0.0"], ["3.0.0"]),
        ("~1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3.0"]),
        ("~0", ["0.9.9"], ["1.0.0"]),
        ("1.x", ["1.0.0", "1.9.9"], ["2.0.0", "0.9.0"]),
        ("1.2.*", ["1.2.9"], ["1.3.0"]),
        ("1", ["1.5.0"], ["2.0.0"]),
        ("*", ["0.0.1", "99.0.0"], ["1.0.0-alpha"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("1.2.3 - 2.3.4", ["1.2.3", "2.3.4"], ["2.3.5", "1.2.2"]),
        (">=1.0.0 <2.0.0", ["1.0.0", "1.9.9"], ["2.0.0", "2.0.0-rc.1"]),
        ("<2.0.0", ["1.9.9"], ["2.0.0-rc.1", "2.0.0"]),
        (">= 1.0.0  < 2.0.0", ["1.0.0"], ["2.0.0"]),
        (">1.x", ["2.0.0"], ["1.9.9"]),
        ("<=2", ["2.9.9"], ["3.0.0"]),
        ("=1.0.0", ["1.0.0", "1.0.0+build"], ["1.0.1"]),
        ("v1.0.0", ["1.0.0"], ["1.0.1"]),
        ("^1.0.0-alpha", ["1.0.0-alpha", "1.0.0-beta", "1.0.0", "1.5.0"], ["1.5.0-beta", "2.0.0-alpha"]),
        (">=1.0.0-rc.1 <2.0.0", ["1.0.0-rc.2", "1.5.0"], ["1.5.0-rc.1", "1.0.0-beta"]),
        ("^1.0.0-rc.1 || ^2.0.0", ["1.0.0-rc.1", "2.0.0"], ["2.0.0-rc.1"]),
    ],
)
def test_ranges(allowed: str, inside: list[str], outside: list[str]) -> None:
    assert is_range(allowed)
    assert [number for number in inside if not satisfies(number, allowed)] == []
    assert [number for number in outside if satisfies(number, allowed)] == []


@pytest.mark.parametrize(
    "text",
    ["", "  ", "banana", "latest", "^", ">=", "<*", ">=1.0.0, <2", "~>1.2", "1.0.0\n", "१.0.0", "git+ssh://x",
     "1.0.0 &&", "^1.0.0 || " * 30 + "2", "9" * 5000],
)  # fmt: skip
def test_what_is_no_range(text: str) -> None:
    assert not is_range(text)
    with pytest.raises(InvalidRangeError, match="npm syntax") as refusal:
        satisfies("1.0.0", text)
    assert len(str(refusal.value)) < 400


def test_newest_first() -> None:
    # the precedence of SemVer 2.0.0, section 11
    oldest_first = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
                    "1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0", "2.0.0"]  # fmt: skip

    assert newest_first(sorted(oldest_first)) == oldest_first[::-1]
    assert newest_first(["1.0.0+a", "1.0.0", "1.0.0+b"]) == newest_first(["1.0.0+b", "1.0.0+a", "1.0.0"])
    assert [is_prerelease(number) for number in ("1.0.0-rc.1", "1.0.0", "1.0.0+b")] == [True, False, False]


NUMBERS = st.builds("{}.{}.{}".format, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))


@given(NUMBERS, NUMBERS)
def test_a_range_from_one_version_holds_the_newer_ones(number: str, other: str) -> None:
    assert satisfies(number, f">={other}") == (newest_first([number, other])[0] == number)
    assert satisfies(number, f"<{other}") == (not satisfies(number, f">={other}"))


@given(st.text(max_size=30))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    if is_range(text):
        satisfies("1.0.0", text)
    if is_version(text):
        assert satisfies(text, f"={text}")


def test_the_latest_is_stable_where_there_is_a_stable_one() -> None:
    assert latest_of(["1.0.0", "2.0.0-rc.1", "1.1.0"]) == "1.1.0"
    assert latest_of(["1.0.0-beta.2", "1.0.0-beta.10"]) == "1.0.0-beta.10"
    assert latest_of(["2.0.0-rc.1", "2.0.0", "1.9.0"]) == "2.0.0"
