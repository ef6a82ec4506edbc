"""Tokens that were revoked before they expired."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class TokenRevocationRow(Base):
    """Tokens of this subject issued before `not_before` are refused. The platform's own have its stream's id."""

    __tablename__ = "token_revocations"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[str]
    not_before: Mapped[datetime]
    revoked_by: Mapped[str]
    revoked_at: Mapped[datetime]
