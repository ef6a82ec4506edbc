"""Which module an address is of, and what of it is for the module's service: nothing that could lead elsewhere.

The path goes on as it came, byte for byte, so it must mean the same to everybody who may decode it on its way.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from app.federation import no_module
from app.transport.refusal import bad_request

PREFIX = b"/api/v1/"
MODULE = re.compile(rb"[a-z][a-z0-9-]{1,62}")
PATH = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")  # RFC 3986, 3.3
QUERY = re.compile(rb"[!\"$-~]*")  # all that is printed, but no space and no '#'
LENGTH_MAX = 8192
DECODINGS_MAX = 4
DOTS = frozenset({b".", b".."})


@dataclass(frozen=True)
class Target:
    """`path` begins with a slash, and is percent-encoded as it came; `query` is without its question mark."""

    module: str
    path: bytes
    query: bytes

    def under(self, base: bytes) -> bytes:
        """What is asked of an instance whose address has this path."""
        path = base.rstrip(b"/") + self.path
        return path + b"?" + self.query if self.query else path


def read_target(raw_path: bytes, query: bytes) -> Target:
    """Raises Refused: 404 when it names no module, 400 when it could be read in two ways."""
    module, _, rest = raw_path.removeprefix(PREFIX).partition(b"/")
    if not MODULE.fullmatch(module):
        raise no_module()
    path = b"/" + rest
    if len(path) + len(query) > LENGTH_MAX or not PATH.fullmatch(path) or not QUERY.fullmatch(query):
        raise bad_request("The address is too long, or holds characters that have to be percent-encoded.")
    *segments, last = path.split(b"/")[1:]
    if any(not segment or _is_misleading(segment) for segment in segments) or _is_misleading(last):
        raise bad_request("The path holds '.', '..', an empty segment, or an encoded slash or control character.")
    return Target(module=module.decode(), path=path, query=query)


def _is_misleading(segment: bytes) -> bool:
    """Whether it becomes something else when it is decoded, once or several times over."""
    for _ in range(DECODINGS_MAX):
        # some servers take what follows a semicolon for parameters, and what precedes it for the segment
        if segment.partition(b";")[0] in DOTS or any(byte < 32 or byte in b"/\\\x7f" for byte in segment):
            return True
        decoded = unquote_to_bytes(segment)
        if decoded == segment:
            return False
        segment = decoded
    return True
