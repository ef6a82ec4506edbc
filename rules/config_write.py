"""What one layer of a configuration says after a write, and since when each of its leaves says so.

Never holds: the check against the module's schema (config_schema.py), storage.
"""

from collections.abc import Mapping
from typing import Literal

import jsonpatch
from jsonpointer import JsonPointerException

from rules.config_merge import LeafSource, copied, leaves_of, merge_config
from rules.errors import InvalidInput, Refusal, refuse_if_any
from rules.json_values import JsonValue, canonical_json, check_json, pointer_of

ConfigWrite = Literal["REPLACE", "MERGE_PATCH", "JSON_PATCH"]

VALUE = ("input", "value")
OPERATIONS_MAX = 100
REASON_LENGTH_MAX = 300


def apply_write(current: Mapping[str, JsonValue], write: ConfigWrite, value: JsonValue) -> dict[str, JsonValue]:
    """The layer after the write; raises Refusal when it cannot be done or its result not be kept."""
    _refuse_faults(value)
    if write == "JSON_PATCH":
        after = _patched(dict(current), value)
    elif write == "MERGE_PATCH":
        after = merge_patched(dict(current), value)
    else:
        after = copied(value)
    if not isinstance(after, dict):
        message = f"A configuration is an object; {write} would leave {_kind(after)}."
        raise Refusal(InvalidInput(message=message, path=VALUE, pointer=""))
    _refuse_faults(after, said="The configuration after the write ")
    return after


def _refuse_faults(value: JsonValue, *, said: str = "The value ") -> None:
    findings = check_json(value)
    refuse_if_any(InvalidInput(message=f"{said}{why}.", path=VALUE, pointer=pointer) for pointer, why in findings)


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    kinds = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds[type(value)]


def merge_patched(current: JsonValue, patch: JsonValue) -> JsonValue:
    """RFC 7396: null removes a member, an object merges, everything else replaces."""
    if not isinstance(patch, dict):
        return copied(patch)
    target: dict[str, JsonValue] = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patched(target.get(key), value)
    return {key: copied(value) for key, value in target.items()}


def _patched(current: dict[str, JsonValue], patch: JsonValue) -> JsonValue:
    """RFC 6902, one operation after the other, so that the one which fails can be named."""
    if not isinstance(patch, list):
        message = "A JSON Patch is an array of operations (RFC 6902)."
        raise Refusal(InvalidInput(message=message, path=VALUE, pointer=""))
    if len(patch) > OPERATIONS_MAX:
        message = f"A JSON Patch may have {OPERATIONS_MAX} operations; this one has {len(patch)}."
        raise Refusal(InvalidInput(message=message, path=VALUE, pointer=""))
    document: JsonValue = copied(current)
    for index, operation in enumerate(patch):
        if not isinstance(operation, dict):
            raise _operation_refused(index, "it is not an object")
        try:
            document = jsonpatch.JsonPatch([merge_config(operation)]).apply(document, in_place=True)
        except (jsonpatch.JsonPatchException, JsonPointerException) as error:
            raise _operation_refused(index, str(error)) from error
        # A few copies of copies would fill the memory, so what grows too large is stopped where it does.
        if findings := check_json(document):
            raise _operation_refused(index, f"the configuration {findings[0][1]}")
    return document


def _operation_refused(index: int, reason: str) -> Refusal:
    message = f"Operation {index} of the JSON Patch cannot be done: {reason[:REASON_LENGTH_MAX]}."
    return Refusal(InvalidInput(message=message, path=VALUE, pointer=pointer_of(index)))


def changed_sources(
    before: Mapping[str, JsonValue],
    after: Mapping[str, JsonValue],
    sources: Mapping[str, LeafSource],
    source: LeafSource,
) -> dict[str, LeafSource]:
    """The layer's sources after a write: new and changed leaves get the new one, the others keep theirs.

    A leaf that had none (its layer's default source stands for it) and did not change still has none.
    """
    old = {pointer: canonical_json(value) for pointer, value in leaves_of(before).items()}
    updated: dict[str, LeafSource] = {}
    for pointer, value in leaves_of(after).items():
        if old.get(pointer) != canonical_json(value):
            updated[pointer] = source
        elif pointer in sources:
            updated[pointer] = sources[pointer]
    return updated
