"""What the supervisor needs to know of a server, whichever it is.

Never holds: a running process.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Server:
    name: str
    command: Callable[[int], Sequence[str | Path]]  # takes the port
    is_ready: Callable[[int, int], bool]  # takes process and port; asked again until it is
    ready_seconds_max: float
    cwd: Path
    death_signal: signal.Signals  # what it gets when the supervisor dies
    stop_ladder: Sequence[tuple[signal.Signals, float]]  # what it gets on stop, with the time given to each
