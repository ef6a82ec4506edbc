"""Who has which module, folded from the events: a read model, never the truth."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class ModuleAdoptionRow(Base):
    """Not assigned any more, a row stays: it remembers up to which rev it has been told."""

    __tablename__ = "module_adoption"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str] = mapped_column(primary_key=True)
    applied_rev: Mapped[int]
    is_assigned: Mapped[bool]
    version: Mapped[str]
    state: Mapped[str]
