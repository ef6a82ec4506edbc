"""The server's own settings, from the environment. Only app/ reads them; everybody else is handed plain values."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MODPLANE_", extra="ignore", populate_by_name=True)

    # Each of these, if set, replaces an embedded server.
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    kafka_bootstrap_servers: str | None = Field(default=None, validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    # Logins of the three roles; derived from DATABASE_URL when unset (docs/decisions/0004-database-roles.md).
    database_app_url: str | None = Field(default=None, validation_alias="DATABASE_APP_URL")
    database_admin_url: str | None = Field(default=None, validation_alias="DATABASE_ADMIN_URL")
    database_relay_url: str | None = Field(default=None, validation_alias="DATABASE_RELAY_URL")

    # Where this process is to die, for the chaos suite: events/failpoints.py has the names.
    failpoint: str | None = Field(default=None, validation_alias="FAILPOINT")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    data_dir: Path = Path(".modplane")
    seed_pack: str = "erp"
    database_pool_size: int = Field(default=10, ge=1, le=200)

    @property
    def keys_dir(self) -> Path:
        return self.data_dir / "keys"
