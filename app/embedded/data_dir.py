"""The directory that embedded servers live in: who may use it, its passwords, the ports used last time.

Two locks guard it. `instance.lock` is held by the supervisor alone: it refuses a second one. `servers.lock` is
inherited by every server and all their children, so whoever gets it knows that none of them is left: that is how a
start after `kill -9` waits for exactly as long as it must.
Never holds: how a server is started.
"""

import fcntl
import json
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import EmbeddedServerError

LEFTOVERS_SECONDS_MAX = 15.0
DYING_SECONDS_MAX = 1.0  # a process that was killed a moment ago still holds its locks
POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class DataDir:
    """A claimed data directory; the two open files are the locks."""

    path: Path
    instance_lock: int
    servers_lock: int

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"


def claim(path: Path) -> DataDir:
    """Take the directory for this process, or say who has it."""
    path = path.absolute()
    try:
        _make_private(path)
        instance_lock = _open_lock(path / "instance.lock")
    except OSError as error:
        raise EmbeddedServerError(f"The data directory {path} cannot be used: {error}") from error
    servers_lock = -1
    try:
        _lock_instance(instance_lock, path)
        servers_lock = _open_lock(path / "servers.lock")
        _wait_for_leftovers(servers_lock, path)
        (path / "logs").mkdir(mode=0o700, exist_ok=True)
    except BaseException:
        os.close(instance_lock)
        if servers_lock >= 0:
            os.close(servers_lock)
        raise
    return DataDir(path=path, instance_lock=instance_lock, servers_lock=servers_lock)


def release(directory: DataDir) -> None:
    os.close(directory.servers_lock)
    os.close(directory.instance_lock)


def load_password(directory: DataDir, name: str) -> str:
    """The password of a server, made up once."""
    file = password_file(directory, name)
    if not file.exists():
        _write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def password_file(directory: DataDir, name: str) -> Path:
    return directory.path / f"{name}.password"


def load_ports(directory: DataDir) -> dict[str, int]:
    """The ports used last time: a wish, so anything unreadable is no wish."""
    try:
        stored = json.loads((directory.path / "ports.json").read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {name: port for name, port in stored.items() if isinstance(port, int) and 0 < port < 65536}


def save_ports(directory: DataDir, ports: dict[str, int]) -> None:
    _write_private(directory.path / "ports.json", json.dumps(ports))


def write_config(file: Path, text: str) -> None:
    """A configuration file that may carry a password."""
    _write_private(file, text)


def _make_private(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"The data directory {path} belongs to another user (uid {found.st_uid}): run as that user, "
            "or choose another data directory."
        )
    if found.st_mode & stat.S_ISVTX:
        raise EmbeddedServerError(f"The data directory {path} is a shared directory: choose one inside it.")
    path.chmod(0o700)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock_instance(lock: int, path: Path) -> None:
    if not _lock_within(lock, DYING_SECONDS_MAX):
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise EmbeddedServerError(
            f"Another Modplane (process {holder}) is using the data directory {path}: stop it, "
            "or choose another data directory."
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)


def _wait_for_leftovers(lock: int, path: Path) -> None:
    if not _lock_within(lock, LEFTOVERS_SECONDS_MAX):
        raise EmbeddedServerError(
            f"Servers of an earlier run still use the data directory {path} and do not end: end them, "
            "or choose another data directory."
        )


def _lock_within(lock: int, seconds_max: float) -> bool:
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def _write_private(file: Path, text: str) -> None:
    """Written whole or not at all, also when the power goes; readable by the owner only."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
