"""Tenants and the companies inside them. Every key starts with organization_id."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class OrganizationRow(Base):
    __tablename__ = "organizations"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    industry_code: Mapped[str | None]
    industry_name: Mapped[str | None]
    plan: Mapped[str]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class CompanyRow(Base):
    __tablename__ = "companies"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    revision: Mapped[int]
    created_at: Mapped[datetime]
