"""Long work with progress."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class OperationRow(Base):
    """`position` is the last organization handled: work goes on after it when a worker dies."""

    __tablename__ = "operations"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    request: Mapped[JsonObject]
    requested_by: Mapped[str]
    done: Mapped[int]
    failed: Mapped[int]  # of those done; `errors` is bounded and can't be counted
    total: Mapped[int]
    position: Mapped[UUID | None]
    errors: Mapped[list[JsonObject]]
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
