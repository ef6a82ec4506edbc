"""The embedded broker alone, for tests that need no database.

Never holds: how it is started (app/embedded).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.supervisor import Supervisor


@contextmanager
def tansu(directory: Path) -> Iterator[str]:
    """The bootstrap address of a broker that lives as long as this context, and forgets all after it."""
    supervisor = Supervisor(directory, postgres=False, redis=False)
    try:
        yield supervisor.start().kafka
    finally:
        supervisor.stop()
