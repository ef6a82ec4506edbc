"""W3C trace context: which trace a change belongs to, so that its events can be found with the request that made it."""

import os
import re

SHAPE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(header: str | None) -> str | None:
    """The caller's, when it is one of version 00; anything else is treated as if it had not been sent."""
    return header if header is not None and SHAPE.fullmatch(header) else None


def new_traceparent() -> str:
    """A trace that begins here. Not sampled: whether anybody records it is not ours to say."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
