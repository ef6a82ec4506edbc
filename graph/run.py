"""Running a command for a mutation field: refusals become the payload's errors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from commands.request import Change, Outcome, Request
from commands.transaction import Writer
from graph.context import Info
from graph.types.errors import UserError, user_error
from rules.errors import Refusal

R = TypeVar("R", bound=Request)


@dataclass(frozen=True)
class Ran:
    """What came of a command: its outcome, or the errors."""

    outcome: Outcome | None
    errors: list[UserError]

    @property
    def revision(self) -> int | None:
        return None if self.outcome is None else self.outcome.revision

    @property
    def changes(self) -> tuple[Change, ...]:
        return () if self.outcome is None else self.outcome.affected


async def run_command(
    info: Info,
    command: Callable[[Writer, R], Awaitable[Outcome]],
    request_of: Callable[[], R] | Callable[[], Awaitable[R]],
) -> Ran:
    """Build the request and run the command; afterwards this operation reads what it wrote."""
    try:
        built = request_of()
        request = await built if isinstance(built, Awaitable) else built
        outcome = await command(info.context.writer(), request)
    except Refusal as refusal:
        return Ran(outcome=None, errors=[user_error(problem) for problem in refusal.problems])
    finally:
        info.context.refresh()
    return Ran(outcome=outcome, errors=[])
