"""The table of transitions, in full."""

import pytest

from rules.errors import IllegalTransition
from rules.lifecycle import TRANSITIONS, AssignmentState, check_transition

LEGAL = {
    "INSTALLED": "ACTIVE UPDATING FAILED",
    "ACTIVE": "SUSPENDED UPDATING FAILED",
    "SUSPENDED": "ACTIVE UPDATING FAILED",
    "UPDATING": "INSTALLED ACTIVE SUSPENDED FAILED",
    "FAILED": "INSTALLED ACTIVE UPDATING",
}


def test_every_state_has_its_transitions() -> None:
    assert {str(state): " ".join(allowed) for state, allowed in TRANSITIONS.items()} == LEGAL
    assert set(TRANSITIONS) == set(AssignmentState)


@pytest.mark.parametrize("current", LEGAL)
@pytest.mark.parametrize("target", LEGAL)
def test_every_pair_of_states(current: str, target: str) -> None:
    problems = check_transition(current, target)

    if target in LEGAL[current].split():
        assert problems == []
    else:
        allowed = tuple(LEGAL[current].split())
        message = f"A module that is {current} cannot become {target}; it can become {', '.join(allowed)}."
        assert problems == [IllegalTransition(message=message, allowed=allowed)]


def test_unknown_states_are_refused() -> None:
    assert check_transition("ASLEEP", "ACTIVE") == [IllegalTransition(message="'ASLEEP' is not a state of a module.")]
    assert check_transition("ACTIVE", "ASLEEP")[0].allowed == ("SUSPENDED", "UPDATING", "FAILED")
