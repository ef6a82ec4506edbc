"""Pages by keyset: a cursor names the last item seen, so a page does not drift when items come and go."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rules.errors import InvalidInput, Refusal

T = TypeVar("T")
PAGE_MAX = 200
PAGE_DEFAULT = 50


@dataclass(frozen=True)
class PageRequest:
    """`after` is the decoded key of the last item seen."""

    first: int
    after: str | None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Up to `first` items, each with its key, and whether there are more."""

    items: Sequence[T]
    keys: Sequence[str]
    has_next: bool


def page_request(first: int | None, after: str | None) -> PageRequest:
    """Checked arguments of a connection field. Raises Refusal."""
    size = PAGE_DEFAULT if first is None else first
    if not 1 <= size <= PAGE_MAX:
        raise Refusal(InvalidInput(message=f"first is {size}; it must be 1 to {PAGE_MAX}", path=("first",)))
    return PageRequest(first=size, after=None if after is None else decode_cursor(after))


def page_of(rows: Sequence[T], request: PageRequest, key: Callable[[T], object]) -> Page[T]:
    """A page of rows that were read with `limit first + 1`."""
    items = rows[: request.first]
    return Page(items=items, keys=[str(key(item)) for item in items], has_next=len(rows) > request.first)


def encode_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(f"k1:{key}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError, UnicodeError):
        text = ""
    if not text.startswith("k1:") or len(text) > 300 or "\0" in text:
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",)))
    return text[3:]
