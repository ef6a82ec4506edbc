"""The protocol under random schedules, and that the same schedules find the faults of its alternatives."""

import pytest

from tests.cache.model import (
    EVICTING,
    ORDINARY,
    RESTARTING,
    CacheProtocol,
    FloorFromZero,
    LeaseDeleted,
    LeaseDeletedByRun,
    LeaseKept,
    LeaseOnlyReplaced,
    LeaseReplaced,
    Naive,
    stale_schedules,
)

SEED = 20_260


@pytest.mark.parametrize(("steps", "schedules"), [(EVICTING, 60_000), (RESTARTING, 20_000)])
def test_what_we_do_is_never_stale(steps: tuple[str, ...], schedules: int) -> None:
    found = stale_schedules(LeaseDeletedByRun(), steps, seed=SEED, schedules=schedules)
    print(f"seed {SEED}, {schedules} schedules: {dict(found)}")
    assert found["stale"] == 0
    assert found["hit"] > schedules / 10  # else it is never stale because it never answers


@pytest.mark.parametrize(
    ("protocol", "steps", "schedules"),
    [
        (Naive(), ORDINARY, 500),
        (LeaseKept(), ORDINARY, 500),
        (FloorFromZero(), EVICTING, 500),
        (LeaseReplaced(), EVICTING, 20_000),  # as it was published: a late bump becomes the floor
        (LeaseOnlyReplaced(), EVICTING, 20_000),
        (LeaseDeleted(), RESTARTING, 5_000),  # a restart from an older copy needs the run in the floor's name
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "bump") else None,
)
def test_the_same_schedules_find_what_is_wrong_with_the_others(
    protocol: CacheProtocol, steps: tuple[str, ...], schedules: int
) -> None:
    assert stale_schedules(protocol, steps, seed=SEED, schedules=schedules)["schedules"] > 0


def test_a_client_that_says_what_it_has_seen_sees_nothing_older_even_after_a_restart() -> None:
    found = stale_schedules(LeaseDeleted(), RESTARTING, seed=SEED, schedules=5_000, has_token=True)
    assert (found["stale"], found["hit"] > 500) == (0, True)
