"""Codes of modules and industries."""

import re

SLUG = re.compile(r"[a-z][a-z0-9-]{1,62}", re.ASCII)


def is_slug(text: str) -> bool:
    return SLUG.fullmatch(text) is not None
