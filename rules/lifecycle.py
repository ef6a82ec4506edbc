"""The states of a module in an organization, and which may follow which.

Never holds: who may ask for a change, or what a change sets off.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from rules.errors import IllegalTransition


class AssignmentState(StrEnum):
    INSTALLED = "INSTALLED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    UPDATING = "UPDATING"
    FAILED = "FAILED"


TRANSITIONS: Mapping[AssignmentState, tuple[AssignmentState, ...]] = MappingProxyType(
    {
        # FAILED: the module did not become healthy
        AssignmentState.INSTALLED: (AssignmentState.ACTIVE, AssignmentState.UPDATING, AssignmentState.FAILED),
        AssignmentState.ACTIVE: (AssignmentState.SUSPENDED, AssignmentState.UPDATING, AssignmentState.FAILED),
        AssignmentState.SUSPENDED: (AssignmentState.ACTIVE, AssignmentState.UPDATING, AssignmentState.FAILED),
        # an update, done or rolled back, ends in the state it began in
        AssignmentState.UPDATING: (
            AssignmentState.INSTALLED,
            AssignmentState.ACTIVE,
            AssignmentState.SUSPENDED,
            AssignmentState.FAILED,
        ),
        # installed anew, healthy again, or repaired by another version
        AssignmentState.FAILED: (AssignmentState.INSTALLED, AssignmentState.ACTIVE, AssignmentState.UPDATING),
    }
)


def check_transition(current: str, target: str) -> list[IllegalTransition]:
    """Why a module may not go from one state to the other. Staying where it is is no transition: callers skip it."""
    if current not in TRANSITIONS:
        return [IllegalTransition(message=f"{current!r} is not a state of a module.")]
    allowed = TRANSITIONS[AssignmentState(current)]
    if target in allowed:
        return []
    message = f"A module that is {current} cannot become {target}; it can become {', '.join(allowed)}."
    return [IllegalTransition(message=message, allowed=tuple(allowed))]
