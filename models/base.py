"""What every row shares. Never holds queries or decisions."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

PLATFORM_ID = UUID(int=0)
"""The reserved stream of registry-wide facts: modules and industries belong to no organization."""

JsonObject = dict[str, Any]


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
        JsonObject: JSONB(),
        list[str]: ARRAY(Text()),
        list[JsonObject]: JSONB(),
    }
