"""The figures that are promised, each with its target, and what a run says of it. Never holds: how it was measured."""

import operator
from collections.abc import Callable
from dataclasses import dataclass

from bench.compare.cells import Measured, median
from bench.compare.growth import GROWTH, label
from bench.compare.operations import ASSIGN, LIST, NESTED, READS, THREE_TIER
from bench.compare.parts import COLD, SINGLE, WARM
from bench.compare.world import FIXED, FRAMES, MERCURIUS, MODPLANE

GROWN = (10_000, 1_000_000)
STALE_READS = 100_000


@dataclass(frozen=True)
class Row:
    """One figure. `measured` and `holds` are None where nobody has measured it."""

    figure: str
    target: str
    measured: float | None
    holds: bool | None
    unlike: str


@dataclass(frozen=True)
class Figure:
    """`bound`: the least for a speed, the most for a cost. `unlike`: what is not like for like, said beside it."""

    name: str
    target: str
    bound: float
    is_least: bool
    unlike: str
    find: Callable[[Measured], float | None]

    def row(self, measured: Measured) -> Row:
        found = self.find(measured)
        compare = operator.ge if self.is_least else operator.le
        rounded = None if found is None else round(found, 2)
        holds = None if rounded is None else bool(compare(rounded, self.bound))
        return Row(self.name, self.target, rounded, holds, self.unlike)


KEPT = (
    "Modplane may answer from what it keeps, after asking Redis whether it is still right, and verifies a token, checks"
    " limits and rights; Mercurius reads PostgreSQL each time and does none of that"
)
READ = (
    "the same rows by statements of the same shape, and no tenant asked for twice, so that only the registry may be"
    " kept; Modplane verifies a token that it has not seen and reads as the tenant's role behind row-level security;"
    " Mercurius reads as the owner, without either"
)
WRITTEN = (
    "the same rows written, compared column by column; Modplane besides resolves dependencies, checks the"
    " configuration by its schema, takes the registry's lock and verifies rights; Mercurius does not"
)


def _faster(part: str, operation: str) -> Callable[[Measured], float | None]:
    return lambda measured: measured.ratio(part, operation, of=MERCURIUS, to=MODPLANE)


def _worst_hit(measured: Measured) -> float | None:
    found = [measured.ratio(WARM, operation, of=MODPLANE, to=FIXED) for operation in READS]
    return max((each for each in found if each is not None), default=None)


def _tail(measured: Measured) -> float | None:
    windows = measured.windows.get((SINGLE, MODPLANE, THREE_TIER), [])
    return median(each.p99_ms / each.p50_ms for each in windows) if windows else None


def _growth(measured: Measured) -> float | None:
    small, large = map(label, GROWN)
    return measured.ratio(GROWTH, NESTED, of=large, to=small)


def _least(name: str, bound: float, unlike: str, find: Callable[[Measured], float | None], aim: str = "") -> Figure:
    return Figure(name, f"at least {bound:g} times as fast{aim}", bound, True, unlike, find)


def _most(name: str, bound: float, says: str, unlike: str, find: Callable[[Measured], float | None]) -> Figure:
    return Figure(name, f"at most {bound:g}{says}", bound, False, unlike, find)


FIGURES = (
    _least("list, warm, against Mercurius JIT", 1.2, KEPT, _faster(WARM, LIST)),
    _least("nested, warm, against Mercurius JIT", 3.0, KEPT, _faster(WARM, NESTED)),
    _least("three-tier, warm, against Mercurius JIT", 6.0, KEPT, _faster(WARM, THREE_TIER)),
    _least("nested, cold tenants, against Mercurius JIT", 1.0, READ, _faster(COLD, NESTED), " (aim: 1.5)"),
    _least("three-tier, cold tenants, against Mercurius JIT", 1.0, READ, _faster(COLD, THREE_TIER), " (aim: 1.5)"),
    _least("assign with event and rev, against Mercurius JIT", 1.0, WRITTEN, _faster(WARM, ASSIGN)),
    _most(
        "the dearest warm read, against bare ASGI with fixed bytes",
        3.0,
        " times its cost",
        "the limit reads no request, knows no GraphQL, asks nobody",
        _worst_hit,
    ),
    _most(
        "fan-out of one event to 500, against bare frames",
        2.5,
        " times its cost",
        "the limit has no queues and no slow clients; Modplane also reads the event from Kafka",
        lambda measured: measured.fan_out_ratio(of=MODPLANE, to=FRAMES),
    ),
    _least(
        "fan-out of one event to 500, against Mercurius",
        1.3,
        "Mercurius gets the event from its own process, Modplane from another by way of PostgreSQL and Kafka",
        lambda measured: measured.fan_out_ratio(of=MERCURIUS, to=MODPLANE),
    ),
    _most(
        "p99 / p50 of three-tier, one request at a time",
        8.0,
        "",
        "of Modplane alone",
        _tail,
    ),
    _most(
        "nested, 1,000,000 organizations against 10,000",
        1.2,
        " times the cost",
        "of Modplane alone, cold tenants; PostgreSQL's processor time is counted with the API's",
        _growth,
    ),
    _most(
        "stale reads in 100,000, with 2 replicas, writers, Redis kills and evictions",
        0.0,
        "",
        "of Modplane alone; half the reads say what they have seen, whatever ails Redis, half do not, while it is well",
        lambda measured: None if measured.stale is None or measured.stale.judged < STALE_READS else measured.stale.old,
    ),
)
