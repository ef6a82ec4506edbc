"""A schema is compiled once for its version: versions never change, and hashing a schema costs more than a check."""

import os
from typing import Any

from rules.config_schema import check_layer, check_merged

TEXT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
NUMBER: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}


def test_a_version_keeps_the_schema_that_was_compiled_for_it() -> None:
    version, another = os.urandom(32), os.urandom(32)
    assert [each.pointer for each in check_merged(TEXT, {"a": 1}, version=version)] == ["/a"]
    assert [each.pointer for each in check_merged(NUMBER, {"a": 1}, version=version)] == ["/a"]
    assert check_merged(NUMBER, {"a": 1}, version=another) == []
    assert check_merged(NUMBER, {"a": 1}) == []


def test_a_layer_and_the_whole_are_told_apart() -> None:
    version = os.urandom(32)
    assert check_layer(TEXT, {}, "ORGANIZATION", version=version) == []
    assert [each.pointer for each in check_merged(TEXT, {}, version=version)] == ["/a"]
    assert [each.layer for each in check_layer(TEXT, {"a": 1}, "INDUSTRY", version=version)] == ["INDUSTRY"]


def test_a_version_says_what_its_schema_says_without_it() -> None:
    for values in ({}, {"a": 1}, {"a": "x"}, {"b": None}):
        assert check_merged(TEXT, values, version=os.urandom(32)) == check_merged(TEXT, values)
