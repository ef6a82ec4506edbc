"""The form of stored values, and everything that is not one."""

import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from cache.stamped import COMPRESSED_FROM_BYTES, CONTENT_BYTES_MAX, Poisoned, decode, encode

KEY = "org:1:info"
LARGE = {"text": "ab" * COMPRESSED_FROM_BYTES}


def stored(value: Any, revs: tuple[int, ...] = (7, 12)) -> bytes:
    raw = encode(KEY, revs, 1, value)
    assert raw is not None
    return raw


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, {"a": [1, 2.5, None, "ü|\n"]}, "7|1|x", LARGE])
@pytest.mark.parametrize("revs", [(0,), (7,), (7, 12), (2**53, 1, 2)])
def test_what_goes_in_comes_out(value: Any, revs: tuple[int, ...]) -> None:
    assert decode(KEY, stored(value, revs), streams=len(revs), version=1) == (revs, value)


def test_the_form() -> None:
    assert stored({"a": 1}).split(b"|")[:2] == [b"7,12", b"1"]
    assert stored({"a": 1}).endswith(b'|{"a":1}')
    assert stored(None).endswith(b"|null")


def test_only_large_values_are_compressed() -> None:
    small, large = stored("x" * (COMPRESSED_FROM_BYTES - 3)), stored("x" * COMPRESSED_FROM_BYTES)
    assert small.split(b"|")[1] == b"1"
    assert large.split(b"|")[1] == b"1z"
    assert len(large) < 200


def test_a_value_of_another_version_is_none_at_all() -> None:
    assert decode(KEY, stored({"a": 1}), streams=2, version=2) is None


@pytest.mark.parametrize("value", [123456, "text", {"a": [1, 2]}, LARGE])
def test_a_value_cut_short_anywhere_is_poisoned(value: Any) -> None:
    raw = stored(value)
    for length in range(len(raw)):
        with pytest.raises(Poisoned):
            decode(KEY, raw[:length], streams=2, version=1)


def test_a_value_with_any_byte_changed_is_poisoned() -> None:
    raw = stored({"a": 123})
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(Poisoned):
            decode(KEY, bytes(changed), streams=2, version=1)


def test_a_value_under_another_key_is_poisoned() -> None:
    with pytest.raises(Poisoned):
        decode("org:2:info", stored({"a": 1}), streams=2, version=1)


@pytest.mark.parametrize(
    "raw", [b"", b"|||", b"7,12|1|0|{}", b"\x80\x04pickle", b"7|1|zz|1", b"a,b|1|00000000|1", b"7" * 9_999]
)
def test_what_others_wrote_is_poisoned(raw: bytes) -> None:
    with pytest.raises(Poisoned):
        decode(KEY, raw, streams=2, version=1)


def test_a_small_value_that_would_become_gigabytes_is_poisoned() -> None:
    bomb = zlib.compress(b'"' + b"x" * (4 * CONTENT_BYTES_MAX) + b'"', 9)
    stamp = "7,12|1z"
    checksum = zlib.crc32(bomb, zlib.crc32(f"{KEY}|{stamp}".encode()))
    with pytest.raises(Poisoned, match="larger"):
        decode(KEY, b"%b|%08x|%b" % (stamp.encode(), checksum, bomb), streams=2, version=1)


def test_what_is_too_large_is_not_kept() -> None:
    assert encode(KEY, (1,), 1, "x" * CONTENT_BYTES_MAX) is None
    largest = "x" * (CONTENT_BYTES_MAX - 2)
    assert decode(KEY, stored(largest), streams=2, version=1) == ((7, 12), largest)


@pytest.mark.parametrize("value", [object(), {1: 2}, {1, 2}, datetime(2026, 1, 1, tzinfo=UTC), b"bytes"])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(KEY, (1,), 1, value)
