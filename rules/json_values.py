"""JSON values from outside: what may be kept at all, one canonical form, and JSON Pointers (RFC 6901).

Never holds: what a value means to a module.
"""

import hashlib
import math
import re
from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

import orjson

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"

DEPTH_MAX = 32
KEYS_MAX = 2_000
ITEMS_MAX = 10_000
TEXT_MAX = 1_000_000
FINDINGS_MAX = 100  # enough to mend a document by; more would only make the answer as long as the question
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
BROKEN_ESCAPE = re.compile(r"~(?![01])")

Path: TypeAlias = "tuple[Path, str] | None"  # linked to the parent, so that only the paths of findings are ever spelled


class InvalidPointerError(ValueError):
    """Not a JSON Pointer."""


class PointerNotFoundError(LookupError):
    """A JSON Pointer that leads nowhere in this value."""


def check_json(value: object, *, max_depth: int = DEPTH_MAX, max_keys: int = KEYS_MAX) -> list[tuple[str, str]]:
    """(pointer, message) of everything in the value that PostgreSQL's jsonb and orjson would not both keep as it is.

    Walks without recursion: a hostile depth is a finding, not a fault. The sums of keys, items and text are bounded.
    """
    findings: list[tuple[str, str]] = []
    keys = items = text = 0
    waiting: deque[tuple[object, Path, int]] = deque([(value, None, 1)])
    while waiting and len(findings) < FINDINGS_MAX:
        found, path, depth = waiting.popleft()
        if isinstance(found, str):
            text += len(found)
        if isinstance(found, (dict, list)):
            if depth > max_depth:
                findings.append((_spelled(path), f"is nested deeper than {max_depth} levels"))
                continue
            keys, items = (keys + len(found), items) if isinstance(found, dict) else (keys, items + len(found))
            text += sum(len(key) for key in found if isinstance(key, str)) if isinstance(found, dict) else 0
            if oversize := _oversize(keys, items, text, max_keys):
                return [*findings, ("", oversize)]
            waiting.extend((child, (path, token), depth + 1) for token, child in _children(found))
            names = list(found) if isinstance(found, dict) else []
        else:
            names = []
            if message := _fault(found):
                findings.append((_spelled(path), message))
        findings.extend((_spelled((path, str(name))), f"key {fault}") for name in names if (fault := _key_fault(name)))
    if oversize := _oversize(keys, items, text, max_keys):
        findings.append(("", oversize))
    return findings[:FINDINGS_MAX]


def _oversize(keys: int, items: int, text: int, max_keys: int) -> str | None:
    if keys > max_keys:
        return f"has more than {max_keys} keys in all"
    if items > ITEMS_MAX:
        return f"has more than {ITEMS_MAX} array items in all"
    return f"has more than {TEXT_MAX} characters in all" if text > TEXT_MAX else None


def _children(value: dict[object, object] | list[object]) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        return ((str(key), child) for key, child in value.items())
    return ((str(index), child) for index, child in enumerate(value))


def _key_fault(name: object) -> str | None:
    return _fault(name) if isinstance(name, str) else "is not a string"


def _fault(value: object) -> str | None:
    """What is wrong with a value that is no container."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if "\0" in value:
            return "holds the character U+0000, which PostgreSQL cannot keep"
        return None if _is_unicode(value) else "holds half of a surrogate pair, which is not Unicode text"
    if isinstance(value, int):
        return None if INTEGER_MIN <= value <= INTEGER_MAX else "is an integer beyond 64 bits; send it as a string"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number, which JSON does not know"
    return f"is not a JSON value but a {type(value).__name__}"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelled(path: Path) -> str:
    """The pointer, in characters that every answer and every log can carry."""
    tokens: list[str] = []
    while path is not None:
        path, token = path
        tokens.append(token.encode(errors="backslashreplace").decode().replace("\0", "\\u0000"))
    return pointer_of(*reversed(tokens))


def canonical_json(value: JsonValue) -> bytes:
    """One spelling for equal values (as check_json takes them): sorted keys, no spaces, whole numbers as integers.

    1 and 1.0 are equal on purpose: JSON Schema counts both as integers, and jsonb gives 1e16 back as 10000000000000000,
    so a value that was stored and read again would otherwise differ from itself. true and 1 differ.
    """
    return orjson.dumps(_with_whole_numbers(value), option=orjson.OPT_SORT_KEYS)


def _with_whole_numbers(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _with_whole_numbers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(child) for child in value]
    # the range of integers that orjson writes and reads as integers
    if isinstance(value, float) and value.is_integer() and INTEGER_MIN <= value < 2**64:
        return int(value)
    return value


def content_hash(value: JsonValue) -> bytes:
    """SHA-256 of the canonical form."""
    return hashlib.sha256(canonical_json(value)).digest()


def escape_pointer_token(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")


def pointer_of(*tokens: str | int) -> str:
    return "".join("/" + escape_pointer_token(str(token)) for token in tokens)


def pointer_tokens(pointer: str) -> list[str]:
    """The tokens of a pointer; raises InvalidPointerError."""
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise InvalidPointerError(f"A JSON Pointer is empty or begins with '/'; this one is {pointer[:100]!r}.")
    if BROKEN_ESCAPE.search(pointer):
        raise InvalidPointerError(f"In a JSON Pointer '~' is written ~0 and '/' ~1; this one is {pointer[:100]!r}.")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def resolve_pointer(value: JsonValue, pointer: str) -> JsonValue:
    """The value at the pointer; raises InvalidPointerError or PointerNotFoundError."""
    for token in pointer_tokens(pointer):
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and ARRAY_INDEX.fullmatch(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            raise PointerNotFoundError(f"There is nothing at {pointer[:200]!r}.")
    return value
