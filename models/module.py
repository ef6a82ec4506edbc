"""The registry: which modules there are, and their immutable versions. Global, so it has no tenant column."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class ModuleRow(Base):
    __tablename__ = "module_registry"

    module_id: Mapped[str] = mapped_column(primary_key=True)
    module_name: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    tags: Mapped[list[str]]
    tier: Mapped[str]
    visibility: Mapped[str]
    is_active: Mapped[bool]
    service_name: Mapped[str | None]
    api_endpoint: Mapped[str | None]
    version: Mapped[str]
    # "metadata" is taken by SQLAlchemy's declarative base
    module_metadata: Mapped[JsonObject] = mapped_column("metadata")
    revision: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class ModuleVersionRow(Base):
    __tablename__ = "module_versions"

    module_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    manifest: Mapped[JsonObject]
    content_hash: Mapped[bytes]
    config_schema: Mapped[JsonObject | None]
    default_config: Mapped[JsonObject]
    requirements: Mapped[list[JsonObject]]
    permissions: Mapped[list[str]]
    features: Mapped[list[str]]
    required_plan: Mapped[str | None]
    revision: Mapped[int]
    published_at: Mapped[datetime]
    # position among the module's versions by SemVer precedence is computed in rules/, not stored:
    # a later publication of an older number must not rewrite rows
