"""Start and end one server process: privileges, lifetime, log, signals.

As root the servers run as `nobody` (PostgreSQL refuses root); they keep only the capability that opens the
directories of a private home. macOS has neither that nor a parent-death signal: there servers run as the user who
started them, and launch.py watches a lock instead.
Never holds: anything about a particular server.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.embedded.data_dir import DataDir
from app.embedded.errors import EmbeddedServerError

LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8192


def spawn(
    command: Sequence[str | Path],
    *,
    directory: DataDir,
    log_name: str,
    death_signal: signal.Signals,
    cwd: Path,
    stdin: int = subprocess.DEVNULL,
    may_be_root: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program that ends with this process. Call from the main thread: Linux minds the thread that forked."""
    lock = "" if sys.platform == "linux" else str(directory.path / "instance.lock")
    launcher = Path(__file__).with_name("launch.py")
    with directory.log(log_name).open("ab") as log:
        return subprocess.Popen(  # noqa: S603  the programs are ours or the user's own choice
            [
                *(() if may_be_root else _drop_root()),
                *(sys.executable, "-I", "-S", launcher, str(os.getpid()), str(int(death_signal)), lock),
                *command,
            ],
            stdin=stdin,
            stdout=log,
            stderr=log,
            cwd=cwd,
            env=_environment(),
            pass_fds=(directory.servers_lock,),
            start_new_session=True,  # Ctrl-C in the terminal is for the supervisor, which ends its servers in order
        )


def run(
    command: Sequence[str | Path],
    *,
    directory: DataDir,
    log_name: str,
    seconds_max: float,
    stdin: bytes = b"",
    may_be_root: bool = False,
) -> None:
    """Run a program to its end; its failure is an error that carries its log."""
    process = spawn(
        command,
        directory=directory,
        log_name=log_name,
        death_signal=signal.SIGKILL,
        cwd=directory.path,
        stdin=subprocess.PIPE,
        may_be_root=may_be_root,
    )
    try:
        process.communicate(stdin, seconds_max)
    except subprocess.TimeoutExpired:
        raise EmbeddedServerError(
            f"{Path(command[0]).name} took longer than {seconds_max:.0f} s.{log_tail(directory, log_name)}"
        ) from None
    finally:
        end(process, ((signal.SIGKILL, 5.0),))
    if process.returncode != 0:
        raise EmbeddedServerError(
            f"{Path(command[0]).name} ended with code {process.returncode}.{log_tail(directory, log_name)}"
        )


def end(process: subprocess.Popen[bytes], ladder: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, harder ones only when the one before did not end the process in its time."""
    for number, seconds in ladder:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def log_tail(directory: DataDir, log_name: str) -> str:
    """The end of a server's log, to be hung on an error message."""
    try:
        with directory.log(log_name).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return "".join(f"\n  {log_name}: {line}" for line in lines) or f"\n  {log_name}: (its log is empty)"


def _environment() -> dict[str, str]:
    # Nothing of ours reaches the servers: Tansu alone would take OTEL_*, SCHEMA_REGISTRY or STORAGE_ENGINE from it.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _drop_root() -> list[str]:
    if os.geteuid() != 0 or sys.platform != "linux":
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedServerError(
            "Embedded servers do not run as root, and the program setpriv (util-linux), which starts them as "
            "another user, is not there: run as a normal user."
        )
    nobody = pwd.getpwnam("nobody")
    # dac_override, not dac_read_search: containers give root only the first by default.
    only = "-all,+dac_override"
    return [
        *(setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
        *(f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}"),
    ]
