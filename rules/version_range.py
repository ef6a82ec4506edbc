"""Version numbers (SemVer 2.0.0) and ranges of them (npm's syntax).

Never holds: which versions there are.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from semantic_version import NpmSpec, Version

LENGTH_MAX = 256
COMPARATOR_GAP = re.compile(r"(>=|<=|>|<|=|\^|~)[ ]+")
PRERELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)-[0-9A-Za-z]", re.ASCII)


class InvalidVersionError(ValueError):
    """Not a SemVer 2.0.0 version."""


class InvalidRangeError(ValueError):
    """Not a range in npm's syntax."""


@lru_cache(maxsize=4096)
def parse_version(text: str) -> Version:
    """Strict SemVer 2.0.0; raises InvalidVersionError."""
    # the library's own pattern takes other scripts' digits and a line feed at the end
    if len(text) <= LENGTH_MAX and text.isascii() and text.isprintable():
        try:
            return Version(text)
        except ValueError:
            pass
    raise InvalidVersionError(f"{text[:LENGTH_MAX]!r} is not a version like 1.2.3 or 1.2.3-rc.1 (SemVer 2.0.0).")


def is_version(text: str) -> bool:
    try:
        parse_version(text)
    except InvalidVersionError:
        return False
    return True


def is_prerelease(number: str) -> bool:
    return bool(parse_version(number).prerelease)


@lru_cache(maxsize=4096)
def _parse_range(text: str) -> tuple[tuple[NpmSpec, frozenset[tuple[int, int, int]]], ...]:
    """The alternatives of a range: each a specification, and the releases whose pre-releases it names."""
    if text.strip(" ") and len(text) <= LENGTH_MAX and text.isascii() and text.isprintable():
        # npm takes ">= 1.0.0  <2", the library only ">=1.0.0 <2"
        closed_up = COMPARATOR_GAP.sub(r"\1", " ".join(text.split()))
        try:
            return tuple((NpmSpec(part), _prereleases_named(part)) for part in closed_up.split("||"))
        except ValueError:
            pass
    raise InvalidRangeError(
        f"{text[:LENGTH_MAX]!r} is not a range like >=2.0.0, ^1.2.0 or ~1.2 (npm syntax; * for any)."
    )


def _prereleases_named(part: str) -> frozenset[tuple[int, int, int]]:
    return frozenset((int(major), int(minor), int(patch)) for major, minor, patch in PRERELEASE.findall(part))


def is_range(text: str) -> bool:
    try:
        _parse_range(text)
    except InvalidRangeError:
        return False
    return True


def satisfies(number: str, allowed: str) -> bool:
    """Whether the version is in the range; raises InvalidVersionError or InvalidRangeError.

    A pre-release is in a range only if the range names a pre-release of the same release, as npm has it
    (the library would count 2.0.0-rc.1 to <2.0.0).
    """
    version = parse_version(number)
    release = (version.major, version.minor, version.patch)
    return any(
        specification.match(version) and (not version.prerelease or release in named)
        for specification, named in _parse_range(allowed)
    )


def newest_first(numbers: Iterable[str]) -> list[str]:
    """By SemVer precedence, descending; build metadata has none, so such versions follow each other by their text."""
    return sorted(numbers, key=lambda number: (parse_version(number).precedence_key[:4], number), reverse=True)


def latest_of(numbers: Iterable[str]) -> str:
    """The newest that is no pre-release; of nothing but pre-releases the newest."""
    return min(newest_first(numbers), key=is_prerelease)
