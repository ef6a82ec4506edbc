"""Facts on their way out: the log, the queue in front of Kafka, and what consumers have seen."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class OrgRevisionRow(Base):
    """One counter per organization; its row lock, held to COMMIT, makes revs gapless and in commit order."""

    __tablename__ = "org_revision"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    rev: Mapped[int]


class EventLogRow(Base):
    """INSERT-only: source of replay, audit and change data capture."""

    __tablename__ = "event_log"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    rev: Mapped[int] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    aggregatetype: Mapped[str]
    aggregateid: Mapped[str]
    type: Mapped[str]
    subject: Mapped[str]
    subject_rev: Mapped[int]
    modules: Mapped[list[str]]
    company_id: Mapped[UUID | None]
    payload: Mapped[JsonObject]
    specversion: Mapped[str]
    source: Mapped[str | None]
    time: Mapped[str | None]
    dataschema: Mapped[str | None]
    traceparent: Mapped[str | None]
    actor: Mapped[str | None]
