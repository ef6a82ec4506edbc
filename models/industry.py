"""Industry templates: which modules an industry starts with. Global, so it has no tenant column."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class IndustryRow(Base):
    __tablename__ = "industry_templates"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    industry_code: Mapped[str]
    industry_name: Mapped[str]
    description: Mapped[str]
    is_active: Mapped[bool]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class IndustryModuleRow(Base):
    __tablename__ = "industry_module_templates"

    template_id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str] = mapped_column(primary_key=True)
    is_required: Mapped[bool]
    default_config: Mapped[JsonObject]
    display_order: Mapped[int]
