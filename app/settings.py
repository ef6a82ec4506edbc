"""The server's own settings, from the environment. Only app/ reads them; everybody else is handed plain values."""

from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from events.delivery import Delivery, Kept, Replication


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
    drain_grace_seconds: float = Field(default=2, ge=0, le=10)  # of serve: dev has no balancer that asks it

    # Documents that clients call by their id, a file for each client; whether nothing else is executed (docs/api.md).
    trusted_documents: Path | None = None
    trusted_documents_only: bool = False

    # How gateway and platform know each other; made beside the signing key when unset (docs/module-services.md).
    gateway_key: str | None = Field(default=None, min_length=32)
    gateway_public_key_file: Path | None = None
    gateway_port: int = Field(default=4000, ge=1, le=65535)  # of the one that `dev --gateway` starts
    # Where modules' services may be although the address is private: hosts, host:port or networks, with commas between.
    routing_allowed_hosts: str = ""

    # Where gateways reach this platform, without /graphql; unset: on this machine, at MODPLANE_PORT.
    public_url: str | None = Field(default=None, pattern="^https?://[^/?#]+(/[^?#]*)?$")

    # How events leave, and how long they are kept (docs/operations.md).
    relay: Literal["builtin", "debezium"] = "builtin"
    outbox_shards: int = Field(default=1, ge=1, le=64)
    kafka_replication_factor: int = Field(default=1, ge=1, le=32)
    kafka_min_insync_replicas: int = Field(default=1, ge=1, le=32)
    event_log_days: int = Field(default=30, ge=1, le=36_500)
    idempotency_hours: int = Field(default=72, ge=24, le=87_600)

    @field_validator("routing_allowed_hosts")
    @classmethod
    def _are_hosts(cls, given: str) -> str:
        for entry in given.split(","):
            if "/" in entry:
                ip_network(entry.strip(), strict=False)  # raises ValueError with what is wrong
        return given

    @model_validator(mode="after")
    def _replicas_suffice(self) -> Self:
        if self.kafka_min_insync_replicas > self.kafka_replication_factor:
            raise ValueError("MODPLANE_KAFKA_MIN_INSYNC_REPLICAS is more than MODPLANE_KAFKA_REPLICATION_FACTOR")
        return self

    @property
    def delivery(self) -> Delivery:
        return Delivery(
            has_relay=self.relay == "builtin",
            shards=self.outbox_shards,
            replication=Replication(factor=self.kafka_replication_factor, min_insync=self.kafka_min_insync_replicas),
            kept=Kept(event_log_days=self.event_log_days, idempotency_hours=self.idempotency_hours),
        )

    @property
    def graphql_url(self) -> str:
        """What the supergraph says of where the platform's own subgraph is."""
        return f"{(self.public_url or f'http://127.0.0.1:{self.port}').rstrip('/')}/graphql"

    @property
    def keys_dir(self) -> Path:
        return self.data_dir / "keys"
