"""Ids as they come in. What is no id is not found, like an id that nobody has."""

from uuid import UUID

import strawberry

from rules.errors import NotFound, Refusal


def parse_id(text: strawberry.ID | None) -> UUID | None:
    try:
        return None if text is None else UUID(str(text))
    except ValueError:
        return None


def require_id(text: strawberry.ID, *, thing: str, field: str) -> UUID:
    """The id of a mutation's input. Raises Refusal with the words that an unknown id gets."""
    parsed = parse_id(text)
    if parsed is None:
        raise Refusal(NotFound(message=f"no {thing} {str(text)[:100]}", path=("input", field)))
    return parsed
