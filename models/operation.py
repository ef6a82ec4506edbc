"""Long work with progress, and the pieces that workers share it by."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class OperationRow(Base):
    """Work that goes in steps has its `position`, the last organization handled, and a lease of its own.

    Work that is cut into chunks has them in operation_chunks, each with its own lease; this one then never runs out.
    """

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


class OperationChunkRow(Base):
    """Some of an operation's organizations, done in one transaction.

    `members` by id, fixed when the operation was cut: what joins or leaves a filter later changes neither the work nor
    its total. `lease_id` is new with every lease, so that a worker that lost its lease can't pass for its successor.
    """

    __tablename__ = "operation_chunks"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    members: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))
    status: Mapped[str]
    lease_id: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]  # of a PENDING one: not to be tried again before
    attempts: Mapped[int]  # leases taken; one that was given back unharmed is not counted
    failed: Mapped[int]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
