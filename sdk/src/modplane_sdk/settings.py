"""What a module's process is told by its environment. Every name begins with MODPLANE_."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class MissingSetting(Exception):
    """The text says which, and how to get it."""


class ModuleSettings(BaseSettings):
    """`url`: the platform's. `service_url`: where this process is reached, which listens at `bind` and its port.

    `routing_url`: where the gateway finds the module, without a path, when that is not one process: a load balancer's
    address. It is the same for all that serve one version; `service_url` is each one's own.
    """

    model_config = SettingsConfigDict(env_prefix="MODPLANE_")

    url: str = "http://127.0.0.1:8000"
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    service_url: str = "http://127.0.0.1:8001"
    routing_url: str | None = None
    bind: str = "127.0.0.1"
    kafka: str | None = None
    kafka_replication: int = 1

    def read_api_key(self) -> str:
        """Raises MissingSetting, or OSError for a file that is there and cannot be read."""
        if self.api_key is not None:
            key = self.api_key.get_secret_value()
        else:
            file = self.api_key_file
            key = "" if file is None or not file.exists() else file.read_text()
        if key := key.strip():  # a secret often ends with the line feed of the file that it was made from
            return key
        raise MissingSetting(
            "set MODPLANE_API_KEY, or MODPLANE_API_KEY_FILE to a file that has one: an administrator makes it with"
            ' `modplane-sdk key`, or createModuleApiKey(input: {module: "…", name: "…"})'
        )
