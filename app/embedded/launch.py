"""Become a server that cannot outlive the process that wanted it: `launch.py PARENT SIGNAL LOCK PROGRAM ARGUMENT...`.

Runs as a program of its own, so that the supervisor needs no code between fork and exec (unsafe with threads).
Linux sends SIGNAL to the server when PARENT ends (PR_SET_PDEATHSIG). Elsewhere, LOCK names a file that PARENT keeps
locked, and a watcher forked here sends SIGNAL as soon as that lock is free. On Linux LOCK is empty.
Never holds: an import from this project, or anything a bare interpreter (`python -I -S`) does not have.
"""

import ctypes
import fcntl
import os
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, death_signal: int) -> None:
    """Ask the kernel for the signal, then look whether the parent has ended before it was asked."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the parent has ended")


def watch_lock(path: str, death_signal: int) -> None:
    """Return in the process that becomes the server; its watcher stays here until the lock is free."""
    server = os.getpid()
    if os.fork() != 0:
        return
    lock = os.open(path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    if os.getppid() == server:  # else the server is gone, and its number may be another's by now
        os.kill(server, death_signal)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[3]:
        watch_lock(sys.argv[3], int(sys.argv[2]))
    else:
        die_with_parent(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606  a shell is what must not come between
