"""What several inputs have.

A null is as good as leaving it out: the contract's fields are nullable, with a default.
"""

from enum import Enum
from uuid import UUID

import strawberry

from graph.types.ids import require_id


@strawberry.enum(description="What follows for the others: AUTO takes them along, REFUSE refuses.")
class Cascade(Enum):
    AUTO = "AUTO"
    REFUSE = "REFUSE"


@strawberry.enum(description="REPLACE the layer, or change it by RFC 7396 or RFC 6902.")
class ConfigWrite(Enum):
    REPLACE = "REPLACE"
    MERGE_PATCH = "MERGE_PATCH"
    JSON_PATCH = "JSON_PATCH"


def name_of(value: Enum | None) -> str | None:
    return None if value is None else str(value.value)


def organization_of(given: strawberry.ID) -> UUID:
    """The organization an input names. Raises Refusal with the words that an unknown one gets."""
    return require_id(given, thing="organization", field="organizationId")
