"""The checker of the chaos suite finds every kind of lie: a sound history is spoilt in one place at a time."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bench.chaos import checker
from bench.chaos.checker import Delivered, Logged
from bench.chaos.history import Heard, Operation, Read
from bench.chaos.ledger import Ledger
from bench.chaos.load import BASE, BUNDLE, IN_BUNDLE, PLAIN, Load
from bench.chaos.report import Result, keep

A, B = "a" * 8, "b" * 8
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Run:
    """Everything that is judged."""

    operations: list[Operation]
    log: list[Logged]
    revisions: dict[str, int]
    inbox: list[UUID]
    delivered: list[Delivered]
    heard: list[Heard]
    reads: list[Read]
    assigned: dict[tuple[str, str], str]
    adopted: dict[tuple[str, str], str]

    def violations(self) -> list[str]:
        load = Load(token="", port=lambda: 0, random=None, operations=self.operations, reads=self.reads)  # type: ignore[arg-type]
        ledger = Ledger(self.log, self.revisions, self.inbox, self.delivered, self.assigned, self.adopted)
        return ledger.violations(load, self.heard)


def event(organization: str, rev: int, kind: str, code: str, *, at: int, config: Any = None) -> Logged:
    assignment = {"module": code, "version": "1.0.0", "config": config or {}}
    number = rev + (100 if organization == B else 0)
    return Logged(
        id=UUID(int=number),
        organization=organization,
        rev=rev,
        kind=kind,
        modules=(code,),
        moment=EPOCH + timedelta(seconds=at),
        payload={"payload": {"assignment": assignment}},
    )


def sound() -> Run:
    """Two organizations: one is given the bundle and configured, the other is given it, and loses it."""
    log = [event(A, 1, "module.assigned", PLAIN, at=0)]
    log += [event(A, 2 + n, "module.assigned", code, at=1) for n, code in enumerate(IN_BUNDLE)]
    log += [event(A, 12, "module.config_updated", PLAIN, at=2, config={"n": 2})]
    log += [event(B, 1 + n, "module.assigned", code, at=3) for n, code in enumerate(IN_BUNDLE)]
    log += [event(B, 11 + n, "module.unassigned", code, at=4) for n, code in enumerate(reversed(IN_BUNDLE))]
    operations = [
        Operation(1, A, "assign", "op-1", tries=2, outcome="acknowledged", revision=11, events=10),
        Operation(2, A, "configure", "op-2", tries=1, outcome="acknowledged", revision=12, events=1),
        Operation(3, B, "assign", "op-3", tries=1, outcome="acknowledged", revision=10, events=10),
        Operation(4, B, "unassign", "op-4", tries=9, outcome="unknown"),
        Operation(5, A, "configure", "op-5", tries=9, outcome="unknown"),
    ]
    has = {(A, code): "1.0.0" for code in (PLAIN, *IN_BUNDLE)}
    return Run(
        operations=operations,
        log=log,
        revisions={A: 12, B: 20},
        inbox=[each.id for each in log],
        delivered=[Delivered(each.id, each.organization, each.rev, (each.kind, 0)) for each in [*log, *log[:5]]],
        heard=[
            Heard(A, start=3, revisions=list(range(4, 13)), drops=2),
            Heard(B, start=0, revisions=list(range(1, 21))),
        ],
        reads=[Read(A, seen=11, got=12), Read(B, seen=20, got=20)],
        assigned=dict(has),
        adopted=dict(has),
    )


def test_a_sound_history_is_not_blamed() -> None:
    assert sound().violations() == []


def an_event_is_not_logged(run: Run) -> None:
    del run.log[5]


def an_acknowledgement_has_another_kind(run: Run) -> None:
    run.log[3] = replace(run.log[3], kind="module.unassigned")


def a_configuration_is_logged_twice(run: Run) -> None:
    run.log.append(replace(run.log[11], id=UUID(int=999), rev=13, moment=EPOCH))
    run.revisions[A] = 13


def an_undecided_one_happened_twice(run: Run) -> None:
    for rev in (13, 14):
        run.log.append(event(A, rev, "module.config_updated", PLAIN, at=rev, config={"n": 5}))
    run.revisions[A] = 14


def a_transaction_is_torn(run: Run) -> None:
    run.log.pop()
    run.revisions[B] = 19


def an_event_is_not_published(run: Run) -> None:
    run.delivered = [each for each in run.delivered if each.rev != 7 or each.organization != A]


def the_broker_has_them_out_of_order(run: Run) -> None:
    run.delivered[2], run.delivered[3] = run.delivered[3], run.delivered[2]


def an_event_is_not_applied(run: Run) -> None:
    run.inbox.pop()


def an_event_is_applied_twice(run: Run) -> None:
    run.inbox.append(run.inbox[0])


def something_unknown_is_applied(run: Run) -> None:
    run.inbox.append(UUID(int=12345))


def a_subscriber_misses_one(run: Run) -> None:
    run.heard[0].revisions.remove(8)


def a_subscriber_sees_one_twice(run: Run) -> None:
    run.heard[1].revisions.insert(3, 3)


def a_subscriber_sees_them_out_of_order(run: Run) -> None:
    run.heard[1].revisions[4:6] = reversed(run.heard[1].revisions[4:6])


def a_counter_is_ahead(run: Run) -> None:
    run.revisions[B] = 21
    run.heard = []


def a_read_is_stale(run: Run) -> None:
    run.reads.append(Read(A, seen=12, got=11))


def the_state_lacks_a_module(run: Run) -> None:
    del run.assigned[A, BASE]


def the_state_has_a_module_too_many(run: Run) -> None:
    run.assigned[B, BUNDLE] = "1.0.0"


def the_projection_has_another_version(run: Run) -> None:
    run.adopted[A, BUNDLE] = "0.9.0"


LIES: tuple[tuple[Callable[[Run], None], str], ...] = (
    (an_event_is_not_logged, "I1"),
    (an_event_is_not_logged, "I5"),
    (an_acknowledgement_has_another_kind, "I1"),
    (a_configuration_is_logged_twice, "I1"),
    (an_undecided_one_happened_twice, "I6"),
    (a_transaction_is_torn, "I6"),
    (an_event_is_not_published, "I2"),
    (the_broker_has_them_out_of_order, "order"),
    (an_event_is_not_applied, "I3"),
    (an_event_is_applied_twice, "I3"),
    (something_unknown_is_applied, "I3"),
    (a_subscriber_misses_one, "I4"),
    (a_subscriber_sees_one_twice, "I4"),
    (a_subscriber_sees_them_out_of_order, "I4"),
    (a_counter_is_ahead, "I5"),
    (a_read_is_stale, "I7"),
    (the_state_lacks_a_module, "I8"),
    (the_state_has_a_module_too_many, "I8"),
    (the_projection_has_another_version, "I8"),
)


@pytest.mark.parametrize(("lie", "law"), LIES)
def test_a_lie_is_found(lie: Callable[[Run], None], law: str) -> None:
    run = deepcopy(sound())
    lie(run)
    assert [each for each in run.violations() if each.startswith(law)] != []


def test_what_is_wrong_is_shown_in_short() -> None:
    assert checker.shown([]) == ""
    assert checker.shown(["x"] * 30).count("\n") == checker.SHOWN_MAX + 1


def test_results_of_one_kind_of_run_are_kept_together(tmp_path: Any) -> None:
    path = tmp_path / "chaos.json"
    for row, run in ((1, "full"), (3, "full"), (1, "full")):
        keep([Result(row=row, promise="p", target="t", measured="m", holds=True, run=run)], path=path)
    assert path.read_text().count('"row"') == 2
    keep([Result(row=9, promise="p", target="t", measured="m", holds=False, run="short")], path=path)
    assert path.read_text().count('"row"') == 1
    assert "chaos-short" in path.read_text()
