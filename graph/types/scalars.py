"""Scalars as Python sees them: a JSON value is any of Python's own."""

from typing import TYPE_CHECKING, Any

from strawberry.scalars import JSON as STRAWBERRY_JSON

if TYPE_CHECKING:
    JSON = Any
else:
    JSON = STRAWBERRY_JSON
