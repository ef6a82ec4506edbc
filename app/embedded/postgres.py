"""The embedded PostgreSQL: its cluster on disk, its settings, when it is ready.

Never holds: Modplane's tables and roles (migrations/).
"""

import os
import shutil
import signal
from pathlib import Path

from app.embedded.binaries import find_postgres_bindir
from app.embedded.data_dir import DataDir, load_password, password_file
from app.embedded.process import run
from app.embedded.server import Server

NAME = "postgres"
OWNER = "postgres"
DATABASE = "modplane"
INITDB_SECONDS_MAX = 120.0

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # one way in, and no path-length trap
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "io_method": "sync",  # the worker processes buy nothing while the data fits into memory
    "wal_level": "logical",  # so that Debezium can take the relay's place
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # A client that vanished must not keep its locks.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "2s",
    "idle_in_transaction_session_timeout": "10s",
}
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def prepare(directory: DataDir, *, fsync: bool) -> Server:
    """Make the cluster if there is none yet, and say how to run it."""
    bindir = find_postgres_bindir()
    cluster = directory.path / NAME
    if not cluster.exists():
        _create_cluster(directory, cluster=cluster, bindir=bindir, fsync=fsync)
    _forget_dead_postmaster(cluster)
    settings = {**SETTINGS, **({} if fsync else UNSAFE_BUT_FAST)}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return Server(
        name=NAME,
        command=lambda port: [bindir / "postgres", "-D", cluster, "-p", str(port), *flags],
        is_ready=lambda process, _port: _is_ready(cluster, process),
        ready_seconds_max=180.0,  # recovery after a crash may have much to replay
        cwd=directory.path,
        death_signal=signal.SIGINT,  # fast shutdown: clients are cut off, the next start needs no recovery
        stop_ladder=((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
    )


def url(directory: DataDir, port: int) -> str:
    """The owner's URL. The owner is a superuser: it migrates; the application logs in as a lesser role."""
    return f"postgresql://{OWNER}:{load_password(directory, NAME)}@127.0.0.1:{port}/{DATABASE}"


def _create_cluster(directory: DataDir, *, cluster: Path, bindir: Path, fsync: bool) -> None:
    # Made under another name and renamed when whole, so that a cluster that exists is never half of one.
    draft = directory.path / f"{NAME}.new"
    shutil.rmtree(draft, ignore_errors=True)
    load_password(directory, NAME)
    run(
        [
            *(bindir / "initdb", "-D", draft, "-U", OWNER, "-E", "UTF8"),
            *("-A", "scram-sha-256", "--pwfile", password_file(directory, NAME)),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if fsync else ("--no-sync",)),
        ],
        directory=directory,
        log_name=NAME,
        seconds_max=INITDB_SECONDS_MAX,
    )
    # Single-user mode: the database is there before the cluster is, without a connection.
    run(
        [bindir / "postgres", "--single", "-D", draft, "--exit_on_error=on", "postgres"],
        directory=directory,
        log_name=NAME,
        seconds_max=INITDB_SECONDS_MAX,
        stdin=f"CREATE DATABASE {DATABASE}\n".encode("ascii"),
    )
    draft.rename(cluster)
    if fsync:
        _sync_directory(directory.path)


def _sync_directory(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _forget_dead_postmaster(cluster: Path) -> None:
    """Remove the pid file of a server that is gone.

    We hold servers.lock, so no server of ours is left; but PostgreSQL would take a zombie, or another process that
    got the number since (usual in containers), for the old server, and refuse to start.
    """
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists() or not Path("/proc/self").exists():
        return
    pid = _first_line(pid_file)
    try:
        # A postmaster's working directory is its cluster. This leaves alone one that was started by hand.
        is_alive = pid.isdigit() and Path(f"/proc/{pid}/cwd").resolve(strict=True) == cluster.resolve()
    except OSError:
        is_alive = False
    if not is_alive:
        pid_file.unlink()


def _first_line(file: Path) -> str:
    return next(iter(file.read_text().splitlines()), "").strip()


def _is_ready(cluster: Path, process: int) -> bool:
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    # Line 1 is the process, line 8 its state.
    return len(lines) >= 8 and lines[0].strip() == str(process) and lines[7].strip() == "ready"
