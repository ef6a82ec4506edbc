"""The part of Modplane's tables that the ORM peer maps; the tables themselves are made by Modplane's migrations."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ARRAY, DateTime, ForeignKey, ForeignKeyConstraint, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

JsonObject = dict[str, Any]


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text(),
        JsonObject: JSONB(),
        list[str]: ARRAY(Text()),
    }


Id = Uuid(as_uuid=False)


class Module(Base):
    __tablename__ = "module_registry"
    module_id: Mapped[str] = mapped_column(primary_key=True)
    module_name: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    tier: Mapped[str]
    visibility: Mapped[str]
    version: Mapped[str]
    is_active: Mapped[bool]
    deleted_at: Mapped[datetime | None]


class ModuleVersion(Base):
    __tablename__ = "module_versions"
    module_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    default_config: Mapped[JsonObject]


class Industry(Base):
    __tablename__ = "industry_templates"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    industry_code: Mapped[str]
    industry_name: Mapped[str]
    is_active: Mapped[bool]
    deleted_at: Mapped[datetime | None]


class Organization(Base):
    __tablename__ = "organizations"
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    plan: Mapped[str]
    industry_code: Mapped[str | None]


class OrgRevision(Base):
    __tablename__ = "org_revision"
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)
    rev: Mapped[int]


class Company(Base):
    __tablename__ = "companies"
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]


class TenantModule(Base):
    __tablename__ = "tenant_modules"
    __table_args__ = (
        ForeignKeyConstraint(["module_id", "version"], ["module_versions.module_id", "module_versions.number"]),
    )
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)
    module_id: Mapped[str] = mapped_column(ForeignKey("module_registry.module_id"), primary_key=True)
    version: Mapped[str]
    state: Mapped[str]
    is_required: Mapped[bool]
    is_requested: Mapped[bool]
    industry_config: Mapped[JsonObject]
    industry_source: Mapped[JsonObject]
    configuration: Mapped[JsonObject]
    config_sources: Mapped[JsonObject]
    config_revision: Mapped[int]
    enabled_features: Mapped[list[str]]
    disabled_features: Mapped[list[str]]
    revision: Mapped[int]
    assigned_at: Mapped[datetime]
    assigned_by: Mapped[str]
    updated_at: Mapped[datetime]
    module: Mapped[Module] = relationship(viewonly=True)
    defaults: Mapped[ModuleVersion] = relationship(viewonly=True)


class CompanyModule(Base):
    __tablename__ = "company_modules"
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)
    company_id: Mapped[str] = mapped_column(Id, primary_key=True)
    module_id: Mapped[str] = mapped_column(primary_key=True)
    configuration: Mapped[JsonObject]


class EventLog(Base):
    __tablename__ = "event_log"
    organization_id: Mapped[str] = mapped_column(Id, primary_key=True)
    rev: Mapped[int] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(Id)
    aggregatetype: Mapped[str]
    aggregateid: Mapped[str]
    type: Mapped[str]
    subject: Mapped[str]
    subject_rev: Mapped[int]
    modules: Mapped[list[str]]
    payload: Mapped[JsonObject]
    source: Mapped[str]
    time: Mapped[str]
    dataschema: Mapped[str]
    traceparent: Mapped[str]
    actor: Mapped[str]


class Outbox(Base):
    __tablename__ = "outbox"
    seq: Mapped[int] = mapped_column(primary_key=True)
    shard: Mapped[int]
    organization_id: Mapped[str] = mapped_column(Id)
    rev: Mapped[int]
    occurred_at: Mapped[datetime]
