"""API keys of modules' services. What a key is made of is not kept, only what it can be recognised by."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class ModuleApiKeyRow(Base):
    __tablename__ = "module_api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    module_id: Mapped[str]
    name: Mapped[str]
    secret_hash: Mapped[bytes]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]
