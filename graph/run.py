"""Running a command for a mutation field: refusals become the payload's errors."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from commands.request import Change, Outcome, Request
from commands.transaction import Writer
from graph.context import Info
from graph.types.errors import UserError, user_error
from queries.module import load_internal_codes
from rules.errors import DependencyProblem, NotFound, Problem, Refusal

R = TypeVar("R", bound=Request)
WORD = re.compile(r"[a-z][a-z0-9-]+")
INTERNAL_MODULE = "(an internal module)"


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
    info.context.note_read(None)  # what a mutation answers is said once, even if it is refused before it writes
    writer = info.context.writer()
    try:
        built = request_of()
        request = await built if isinstance(built, Awaitable) else built
        outcome = await command(writer, request)
    except Refusal as refusal:
        problems = await _as_told(info, refusal.problems)
        return Ran(outcome=None, errors=[user_error(problem) for problem in problems])
    finally:
        info.context.refresh()
        if writer.registry_revision is not None:
            info.context.know((writer.registry_revision,))
    return Ran(outcome=outcome, errors=[])


async def hidden_codes(info: Info, codes: set[str]) -> set[str]:
    """Those of the codes, of modules that a command has found, which the caller must not learn."""
    if not codes or info.context.actor.is_platform_admin:
        return set()
    registry = await info.context.registry()
    if registry is not None and codes <= registry.modules.keys():
        return {code for code in codes if registry.modules[code].tier == "INTERNAL"}
    async with info.context.reader() as reader:
        return await load_internal_codes(reader, codes)


async def _as_told(info: Info, problems: Sequence[Problem]) -> Sequence[Problem]:
    """A tenant may run into an INTERNAL module, and must not learn its name."""
    if info.context.actor.is_platform_admin:
        return problems
    async with info.context.reader() as reader:
        hidden = await load_internal_codes(reader, {word for problem in problems for word in _words_of(problem)})
    return [_without(problem, hidden) for problem in problems] if hidden else problems


def _words_of(problem: Problem) -> set[str]:
    if isinstance(problem, NotFound):
        return set()  # it repeats what the caller said, and must do so for every code alike
    chain = problem.chain if isinstance(problem, DependencyProblem) else ()
    return {*chain, *WORD.findall(problem.message)}


def _without(problem: Problem, hidden: set[str]) -> Problem:
    if isinstance(problem, NotFound):
        return problem
    message = WORD.sub(lambda found: INTERNAL_MODULE if found[0] in hidden else found[0], problem.message)
    if isinstance(problem, DependencyProblem):
        return replace(problem, message=message, chain=tuple(code for code in problem.chain if code not in hidden))
    return replace(problem, message=message)
