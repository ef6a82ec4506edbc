"""Judges a run by its history, Jepsen's way: each function takes what was recorded and answers what is wrong with it.

I1 to I8 are the promises of docs/reliability.md. Never holds I/O: tests/chaos proves that every lie is found.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from bench.chaos.history import Heard, Operation, Read

KINDS = {"assign": "module.assigned", "unassign": "module.unassigned", "configure": "module.config_updated"}
SHOWN_MAX = 20


@dataclass(frozen=True)
class Logged:
    """One row of the event log. `moment` is the same for all events of a transaction."""

    id: UUID
    organization: str
    rev: int
    kind: str
    modules: tuple[str, ...]
    moment: datetime
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Delivered:
    """One record on a topic, in the order of its partition's offsets."""

    id: UUID
    organization: str
    rev: int
    partition: tuple[str, int]


def acknowledged(operations: Iterable[Operation], log: Sequence[Logged]) -> list[str]:
    """I1: each acknowledged mutation has exactly the events that its answer promised."""
    by_place = {(each.organization, each.rev): each for each in log}
    written = Counter(number for each in log if (number := number_of(each)) is not None)
    wrong = []
    for operation in operations:
        if operation.outcome != "acknowledged":
            continue
        revs = range(operation.revision - operation.events + 1, operation.revision + 1)
        found = [by_place.get((operation.organization, rev)) for rev in revs]
        if any(each is None or each.kind != KINDS[operation.kind] for each in found):
            wrong.append(
                f"I1: {operation.kind} {operation.number} was acknowledged at {operation.revision}, not logged"
            )
        if operation.kind == "configure" and written[operation.number] != 1:
            wrong.append(f"I1: configure {operation.number} is logged {written[operation.number]} times")
    return wrong


def undecided(operations: Iterable[Operation], log: Sequence[Logged], *, bundle: Collection[str]) -> list[str]:
    """I6: what was never acknowledged happened wholly or not at all, and at most once. `bundle`: all its modules."""
    written = Counter(number for each in log if (number := number_of(each)) is not None)
    wrong = [
        f"I6: configure {each.number} ended {each.outcome} and is logged {written[each.number]} times"
        for each in operations
        if each.outcome != "acknowledged" and written[each.number] > (0 if each.outcome == "refused" else 1)
    ]
    ordered = sorted(log, key=lambda each: (each.organization, each.rev))
    for (organization, moment), group in groupby(ordered, key=lambda each: (each.organization, each.moment)):
        told = [(each.kind, each.modules) for each in group]
        kind = told[0][0]
        if kind not in (KINDS["assign"], KINDS["unassign"]) or not set(told[0][1]) <= set(bundle):
            continue
        if sorted(told) != sorted((kind, (code,)) for code in bundle):
            wrong.append(f"I6: a transaction of {organization} at {moment} wrote {len(told)} {kind} of {len(bundle)}")
    return wrong


def published(log: Sequence[Logged], delivered: Sequence[Delivered]) -> list[str]:
    """I2: each event reached the broker; first deliveries of one organization on one topic are in its order."""
    seen: set[UUID] = set()
    last: dict[tuple[tuple[str, int], str], int] = {}
    wrong = []
    for record in delivered:
        if record.id in seen:
            continue
        seen.add(record.id)
        place = (record.partition, record.organization)
        if record.rev <= last.get(place, 0):
            wrong.append(f"order: {record.organization} has {record.rev} after {last[place]} on {record.partition}")
        last[place] = record.rev
    lost = [each for each in log if each.id not in seen]
    return wrong + [f"I2: {each.organization}/{each.rev} ({each.kind}) never reached the broker" for each in lost]


def applied(log: Sequence[Logged], inbox: Sequence[UUID]) -> list[str]:
    """I3: each event is in the inbox, once; nothing else is."""
    counts, known = Counter(inbox), {each.id for each in log}
    wrong = [f"I3: event {each} was applied {count} times" for each, count in counts.items() if count > 1]
    wrong += [f"I3: {each.organization}/{each.rev} was never applied" for each in log if each.id not in counts]
    return wrong + [f"I3: {each} was applied and never logged" for each in counts if each not in known]


def heard(subscribers: Iterable[Heard], current: Mapping[str, int]) -> list[str]:
    """I4: each subscriber saw rev + 1 after rev, from where it began to the end."""
    wrong = []
    for number, each in enumerate(subscribers):
        expected = list(range(each.start + 1, current[each.organization] + 1))
        if each.revisions != expected:
            gaps = set(expected) - set(each.revisions)
            repeats = len(each.revisions) - len(set(each.revisions))
            wrong.append(f"I4: subscriber {number} missed {len(gaps)} ({sorted(gaps)[:5]}), saw {repeats} twice")
    return wrong


def numbered(log: Sequence[Logged], current: Mapping[str, int]) -> list[str]:
    """I5: an organization's revs are 1, 2, 3 … up to its counter."""
    found: dict[str, list[int]] = {}
    for each in log:
        found.setdefault(each.organization, []).append(each.rev)
    return [
        f"I5: the log of {organization} has {len(found.get(organization, []))} events, its counter says {rev}"
        for organization, rev in current.items()
        if sorted(found.get(organization, [])) != list(range(1, rev + 1))
    ]


def in_time(reads: Iterable[Read]) -> list[str]:
    """I7: no client read older than what it had been told."""
    return [
        f"I7: {each.organization} was read at {each.got} after {each.seen}" for each in reads if each.got < each.seen
    ]


def folded(log: Sequence[Logged], state: Mapping[tuple[str, str], str], *, what: str) -> list[str]:
    """I8: the state is what the log says, told in order. State: (organization, module) to the module's version."""
    told: dict[tuple[str, str], str] = {}
    for each in sorted(log, key=lambda event: (event.organization, event.rev)):
        for assignment in assignments_of(each):
            place = (each.organization, assignment["module"])
            if each.kind == "module.unassigned":
                told.pop(place, None)
            else:
                told[place] = assignment["version"]
    wrong = [f"I8: {what} lacks {place}" for place in told.keys() - state.keys()]
    wrong += [f"I8: {what} has {place}, the log has not" for place in state.keys() - told.keys()]
    return wrong + [
        f"I8: {what} differs at {place}" for place in told.keys() & state.keys() if told[place] != state[place]
    ]


def assignments_of(event: Logged) -> list[Mapping[str, Any]]:
    """The post-states that an event tells."""
    body = event.payload["payload"]
    one, many = body.get("assignment"), body.get("assignments")
    return list(many) if many is not None else [] if one is None else [one]


def number_of(event: Logged) -> int | None:
    """The number of the operation that wrote a configuration."""
    if event.kind != "module.config_updated":
        return None
    number = event.payload["payload"]["assignment"]["config"].get("n")
    return None if number is None else int(number)


def shown(wrong: Sequence[str]) -> str:
    more = f"\n  … and {len(wrong) - SHOWN_MAX} more" if len(wrong) > SHOWN_MAX else ""
    return "".join(f"\n  {each}" for each in wrong[:SHOWN_MAX]) + more
