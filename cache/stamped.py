"""The form of a cached value: `revs|version|checksum|content`. Pure.

`revs` are the revs of the family's streams, in their order, divided by commas. The content is JSON and nothing that
could be executed; what is large is compressed, which a `z` after the version says. The checksum covers the key too,
so that a value that was cut short, or got under another tenant's key, is no value.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

CONTENT_BYTES_MAX = 1_048_576
# Measured on configurations: at 8 KiB a hit pays 20 us to inflate and three quarters of wire and memory are saved;
# below, a stored value costs ten times what encoding does, to save a few hundred bytes.
COMPRESSED_FROM_BYTES = 8_192
COMPRESSION_LEVEL = 1
# A value must come back as what it was: a date would come back as text, so it is no value.
STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


class Poisoned(Exception):
    """Not a value in our form: cut short, of another key, or written by somebody else."""


class Stamped(NamedTuple):
    """A value with the rev of each stream that it hangs on; None is known not to exist.

    The value is JSON: None, bool, int, float, str, list and dict. It may be shared, so nobody changes it.
    """

    revs: Mapping[UUID, int]
    value: Any


def encode(key: str, revs: Sequence[int], version: int, value: object) -> bytes | None:
    """The stored bytes; None when the value is too large to be kept. Raises TypeError when it is not JSON."""
    content = orjson.dumps(value, option=STRICT)
    if len(content) > CONTENT_BYTES_MAX:
        return None
    mark = ""
    if len(content) >= COMPRESSED_FROM_BYTES:
        content, mark = zlib.compress(content, COMPRESSION_LEVEL), "z"
    stamp = f"{','.join(map(str, revs))}|{version}{mark}"
    return b"%b|%08x|%b" % (stamp.encode(), _checksum(key, stamp, content), content)


def decode(key: str, raw: bytes, *, streams: int, version: int) -> tuple[tuple[int, ...], Any] | None:
    """Revs and value; None when it has another version of the form. Raises Poisoned."""
    try:
        revs_text, version_text, checksum, content = raw.split(b"|", 3)
        stamp = f"{revs_text.decode('ascii')}|{version_text.decode('ascii')}"
        revs = tuple(map(int, revs_text.split(b",")))
        is_compressed = version_text.endswith(b"z")
        found = int(version_text.removesuffix(b"z"))
        if int(checksum, 16) != _checksum(key, stamp, content) or len(revs) != streams:
            raise Poisoned("checksum or number of revs")
        if found != version:
            return None
        return revs, orjson.loads(_inflate(content) if is_compressed else content)
    except (ValueError, zlib.error) as error:
        raise Poisoned(type(error).__name__) from error


def _inflate(content: bytes) -> bytes:
    """Bounded: a few bytes can be made to become gigabytes."""
    inflating = zlib.decompressobj()
    inflated = inflating.decompress(content, CONTENT_BYTES_MAX + 1)
    if not inflating.eof:
        raise Poisoned("larger than anything we keep, or cut short")
    return inflated


def _checksum(key: str, stamp: str, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(f"{key}|{stamp}".encode()))
