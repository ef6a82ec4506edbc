"""Which organization has which module, and the two stored layers of its configuration."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class TenantModuleRow(Base):
    """Tier 2. `industry_config` is the base sublayer, written only when a template is applied."""

    __tablename__ = "tenant_modules"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    state: Mapped[str]
    is_required: Mapped[bool]
    is_requested: Mapped[bool]  # False: only because another module needs it
    industry_code: Mapped[str | None]
    industry_config: Mapped[JsonObject]
    industry_source: Mapped[JsonObject]  # which revision applied the template, who and when; empty without one
    configuration: Mapped[JsonObject]
    # pointer of a leaf -> which revision set it, who, when and why: provenance without reading the history
    config_sources: Mapped[JsonObject]
    config_revision: Mapped[int]
    enabled_features: Mapped[list[str]]
    disabled_features: Mapped[list[str]]
    revision: Mapped[int]
    assigned_at: Mapped[datetime]
    assigned_by: Mapped[str]
    updated_at: Mapped[datetime]


class CompanyModuleRow(Base):
    """Tier 3: what one company overrides."""

    __tablename__ = "company_modules"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    company_id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str] = mapped_column(primary_key=True)
    is_enabled: Mapped[bool]
    configuration: Mapped[JsonObject]
    config_sources: Mapped[JsonObject]
    enabled_features: Mapped[list[str]]
    disabled_features: Mapped[list[str]]
    revision: Mapped[int]
    customized_at: Mapped[datetime]
    customized_by: Mapped[str]


class ConfigRevisionRow(Base):
    """History of both tiers, append-only. `company_id` is the nil UUID for tier 2: a key column can't be null."""

    __tablename__ = "config_revisions"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str] = mapped_column(primary_key=True)
    company_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    configuration: Mapped[JsonObject]
    reason: Mapped[str | None]
    set_by: Mapped[str]
    set_at: Mapped[datetime]
