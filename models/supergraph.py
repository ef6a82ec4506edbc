"""The graphs composed so far, and which of them is served."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, JsonObject


class SupergraphRow(Base):
    """An artifact. The database lets nobody change one, and deletes only old ones that are not served.

    `contracts`: by plan, the public schema without what the plan does not include; a plan that includes all has none.
    `platform_sdl`: the platform's own subgraph in it, which the next composition begins with.
    """

    __tablename__ = "supergraph_artifacts"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sdl: Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)
    public_sdl: Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)
    sha256: Mapped[bytes]
    contracts: Mapped[JsonObject] = mapped_column(deferred=True, deferred_raiseload=True)
    composer: Mapped[str]
    inputs: Mapped[list[JsonObject]]  # name, subgraph_id, version, url, sha256
    platform_sdl: Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)
    revision: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class SupergraphHeadRow(Base):
    """The only row: the artifact that gateways get."""

    __tablename__ = "supergraph_head"

    is_only: Mapped[bool] = mapped_column(primary_key=True)
    version: Mapped[int]
    revision: Mapped[int]
    moved_by: Mapped[str]
    moved_at: Mapped[datetime]
