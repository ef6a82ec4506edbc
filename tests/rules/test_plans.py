"""The order of the plans."""

import pytest

from rules.plans import PLANS, includes, is_plan


def test_each_plan_includes_itself_and_those_before_it() -> None:
    assert PLANS == ("free", "standard", "premium", "enterprise")
    assert [[includes(plan, required) for required in PLANS] for plan in PLANS] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


@pytest.mark.parametrize("name", ["", "gold", "Free", "premium "])
def test_what_is_no_plan_includes_nothing_and_is_in_nothing(name: str) -> None:
    assert not is_plan(name)
    assert not includes(name, "free")
    assert not includes("enterprise", name)
    assert not includes(name, name)
