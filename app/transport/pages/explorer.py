"""The page a browser gets at /graphql: GraphiQL, or an editor of our own where its CDN cannot be reached.

Never holds: markup (explorer.html), data.
"""

import base64
import hashlib
import re
from pathlib import Path

CDN = "https://unpkg.com"

PAGE = (Path(__file__).parent / "explorer.html").read_bytes()


def _content_policy(page: bytes) -> str:
    """Only the page's own script, known by its digest, and the CDN's, pinned by the digests in the page, may run."""
    script = re.search(rb"<script>(.*?)</script>", page, re.DOTALL)
    if script is None:
        raise ValueError("explorer.html has no inline script")
    digest = base64.b64encode(hashlib.sha256(script[1]).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{digest}' {CDN}",
            f"style-src 'unsafe-inline' {CDN}",
            "connect-src 'self'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


HEADERS = {"content-security-policy": _content_policy(PAGE), "referrer-policy": "no-referrer"}
