"""What a consumer could not apply, or the relay not send. The record itself is read by the event roles alone."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base

PARKED, REPLAY_REQUESTED, REPLAYED = "parked", "replay_requested", "replayed"


class DeadEventRow(Base):
    """`event_id` is the event's; of a record that is no event it is made from where it lies."""

    __tablename__ = "dead_event"

    consumer: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID | None]
    rev: Mapped[int | None]
    topic: Mapped[str | None]
    partition: Mapped[int | None]
    offset: Mapped[int | None]
    error_class: Mapped[str | None]
    error_text: Mapped[str | None]
    attempts: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    status: Mapped[str]
