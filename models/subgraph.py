"""What versions of modules bring into the graph. Global like the registry, so there is no tenant column."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class SubgraphVersionRow(Base):
    """The subgraph of one version of a module. Its SDL is large, and loaded only by whoever asks for it.

    `lease_until`: until when a worker has it, or before when it is not to be tried again. `attempts` counts the leases
    that came to nothing. `asked_by`: who asked for its last change of state.
    """

    __tablename__ = "subgraph_versions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str]
    version: Mapped[str]
    sdl: Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)
    sdl_sha256: Mapped[bytes]
    stamped_sdl: Mapped[str | None] = mapped_column(deferred=True, deferred_raiseload=True)
    routing_url: Mapped[str]
    state: Mapped[str]
    findings: Mapped[list[JsonObject]]
    changes: Mapped[list[JsonObject]]
    requested_by: Mapped[str]
    approved_by: Mapped[str | None]
    approval_reason: Mapped[str | None]
    asked_by: Mapped[str]
    activated_at: Mapped[datetime | None]  # for the first time
    revision: Mapped[int]
    lease_id: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
