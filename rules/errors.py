"""Why a request is refused. Expected failures only; a fault is any other exception and is masked at the edge.

    Refusal                      one or more problems; nothing was changed
      Problem                    one reason, with the field (path, pointer) and the way out
        NotFound                 unknown, or another tenant's: the two answer alike
        AlreadyExists
        InvalidInput
          InvalidManifest
          ConfigInvalid          a value the module's schema does not take, with its layer
        DependencyProblem        cycle, unsatisfiable range, something depends on it
        RevisionConflict         the thing changed after the revision the caller has seen
        IdempotencyConflict      the key was used with another input
        EntitlementMissing       the plan does not include it
        IllegalTransition        not from this state
        CoreModuleProtected
        Locked                   somebody else is changing it; try again
        QuotaExceeded

Never holds: HTTP statuses, GraphQL types.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One reason for a refusal. `path` leads to the argument, `pointer` (RFC 6901) into its JSON value."""

    code: ClassVar[str] = "INVALID_INPUT"
    message: str
    path: tuple[str, ...] = ()
    pointer: str | None = None

    def at(self, *path: str) -> Self:
        """The same problem, said of another argument."""
        return replace(self, path=path)


@dataclass(frozen=True, kw_only=True)
class NotFound(Problem):
    code: ClassVar[str] = "NOT_FOUND"


@dataclass(frozen=True, kw_only=True)
class AlreadyExists(Problem):
    code: ClassVar[str] = "ALREADY_EXISTS"


@dataclass(frozen=True, kw_only=True)
class InvalidInput(Problem):
    code: ClassVar[str] = "INVALID_INPUT"


@dataclass(frozen=True, kw_only=True)
class InvalidManifest(InvalidInput):
    code: ClassVar[str] = "INVALID_MANIFEST"


@dataclass(frozen=True, kw_only=True)
class ConfigInvalid(InvalidInput):
    code: ClassVar[str] = "CONFIG_INVALID"
    layer: str | None = None  # MODULE, INDUSTRY, ORGANIZATION or COMPANY; None: the merged result
    company_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class DependencyProblem(Problem):
    code: ClassVar[str] = "DEPENDENCY"
    chain: tuple[str, ...] = ()  # the cycle, or the modules that lead to the conflict


@dataclass(frozen=True, kw_only=True)
class RevisionConflict(Problem):
    code: ClassVar[str] = "REVISION_CONFLICT"
    current_revision: int = 0


@dataclass(frozen=True, kw_only=True)
class IdempotencyConflict(Problem):
    code: ClassVar[str] = "IDEMPOTENCY_KEY_REUSED"


@dataclass(frozen=True, kw_only=True)
class EntitlementMissing(Problem):
    code: ClassVar[str] = "ENTITLEMENT"
    required_plan: str | None = None


@dataclass(frozen=True, kw_only=True)
class IllegalTransition(Problem):
    code: ClassVar[str] = "STATE_TRANSITION"
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CoreModuleProtected(Problem):
    code: ClassVar[str] = "CORE_MODULE"


@dataclass(frozen=True, kw_only=True)
class Locked(Problem):
    code: ClassVar[str] = "LOCKED"


@dataclass(frozen=True, kw_only=True)
class QuotaExceeded(Problem):
    code: ClassVar[str] = "QUOTA"


class Refusal(Exception):
    """Raised to refuse a request as a whole; carries every problem found, so that one round trip shows them all."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems: Sequence[Problem] = problems


def refuse_if_any(problems: Iterable[Problem]) -> None:
    """Raise a Refusal with all the problems, if there are any."""
    found = tuple(problems)
    if found:
        raise Refusal(*found)
