"""Who has how many requests under way: a module that hangs, or a tenant that sends slowly, takes no other's place."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from app.federation import unavailable

# Of one process, which has rest.CONNECTIONS_MAX connections.
OF_MODULE_MAX = 100
OF_ORGANIZATION_MAX = 50


class Places:
    """One for a process. What nobody holds is not kept."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def taken(self, module: str, organization_id: UUID | None) -> Iterator[None]:
        """Hold a place of the module and one of the organization (None: the platform). Raises Refused without one."""
        wanted = {("module", module): OF_MODULE_MAX, ("organization", str(organization_id)): OF_ORGANIZATION_MAX}
        for (what, name), most in wanted.items():
            if self._taken[what, name] >= most:
                raise unavailable(f"{most} requests of this {what} are under way; try again.")
        self._taken.update(wanted.keys())
        try:
            yield
        finally:
            self._taken.subtract(wanted.keys())
            self._taken = +self._taken

    def __len__(self) -> int:
        return len(self._taken)
