"""Refusals next to the field that caused them: one interface, one type per reason."""

from typing import Any

import strawberry

from graph.types.effective_config import ConfigLayer
from rules import errors


@strawberry.interface(
    description="Why a mutation was refused: the argument (path), the place in it (pointer), the way out."
)
class UserError:
    message: str
    code: str
    path: list[str] = strawberry.field(description="The way to the argument.")
    pointer: str | None = strawberry.field(description="RFC 6901, into the argument's JSON value.")


@strawberry.type
class NotFoundError(UserError):
    pass


@strawberry.type
class AlreadyExistsError(UserError):
    pass


@strawberry.type
class InvalidInputError(UserError):
    pass


@strawberry.type
class InvalidManifestError(UserError):
    pass


@strawberry.type
class ConfigValidationError(UserError):
    layer: ConfigLayer | None = strawberry.field(description="The layer at fault; null: the merged whole.")
    company_id: strawberry.ID | None


@strawberry.type
class DependencyError(UserError):
    chain: list[str] = strawberry.field(description="The cycle, or the modules that lead to the conflict.")


@strawberry.type
class RevisionConflictError(UserError):
    current_revision: int


@strawberry.type
class IdempotencyConflictError(UserError):
    pass


@strawberry.type
class EntitlementError(UserError):
    required_plan: str | None


@strawberry.type
class StateTransitionError(UserError):
    allowed: list[str]


@strawberry.type
class CoreModuleError(UserError):
    pass


@strawberry.type
class LockedError(UserError):
    pass


@strawberry.type
class QuotaError(UserError):
    pass


# Most specific first: InvalidManifest and ConfigInvalid are InvalidInput too.
TYPES: tuple[tuple[type[errors.Problem], type[UserError]], ...] = (
    (errors.InvalidManifest, InvalidManifestError),
    (errors.ConfigInvalid, ConfigValidationError),
    (errors.InvalidInput, InvalidInputError),
    (errors.NotFound, NotFoundError),
    (errors.AlreadyExists, AlreadyExistsError),
    (errors.DependencyProblem, DependencyError),
    (errors.RevisionConflict, RevisionConflictError),
    (errors.IdempotencyConflict, IdempotencyConflictError),
    (errors.EntitlementMissing, EntitlementError),
    (errors.IllegalTransition, StateTransitionError),
    (errors.CoreModuleProtected, CoreModuleError),
    (errors.Locked, LockedError),
    (errors.QuotaExceeded, QuotaError),
)
ERROR_TYPES = tuple(shown for _, shown in TYPES)


def user_error(problem: errors.Problem) -> UserError:
    """The error that stands for a problem."""
    shown = next(shown for kind, shown in TYPES if isinstance(problem, kind))
    return shown(
        message=problem.message,
        code=problem.code,
        path=list(problem.path),
        pointer=problem.pointer,
        **_more(problem),
    )


def _more(problem: errors.Problem) -> dict[str, Any]:
    match problem:
        case errors.ConfigInvalid(layer=layer, company_id=company_id):
            return {"layer": None if layer is None else ConfigLayer(layer), "company_id": company_id}
        case errors.DependencyProblem(chain=chain):
            return {"chain": list(chain)}
        case errors.RevisionConflict(current_revision=revision):
            return {"current_revision": revision}
        case errors.EntitlementMissing(required_plan=plan):
            return {"required_plan": plan}
        case errors.IllegalTransition(allowed=allowed):
            return {"allowed": list(allowed)}
        case _:
            return {}


def stored_error(stored: dict[str, Any]) -> UserError:
    """An error that an operation kept."""
    kind = next(kind for kind, _ in TYPES if kind.__name__ == stored["type"])
    problem = kind(message=stored["message"], path=tuple(stored["path"]), pointer=stored["pointer"])
    return user_error(problem)
