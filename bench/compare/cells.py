"""Everything measured, by part, variant and operation; and what is made of repeated windows: medians."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.compare.fanout import FanOut
from bench.compare.load import Window
from bench.compare.staleness import Stale

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Cell:
    """The medians over the rounds, and the least and the most of the figure that counts."""

    part: str
    variant: str
    operation: str
    rounds: int
    answers: int
    rate: float
    cpu_us: float
    cpu_us_min: float
    cpu_us_max: float
    p50_ms: float
    p99_ms: float


@dataclass
class Measured:
    windows: dict[Key, list[Window]] = field(default_factory=lambda: defaultdict(list))
    fan_out: dict[str, list[FanOut]] = field(default_factory=lambda: defaultdict(list))
    stale: Stale | None = None
    memory_mib: dict[str, float] = field(default_factory=dict)
    database_cpu_us: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))

    def cells(self) -> list[Cell]:
        return [cell_of(key, windows) for key, windows in self.windows.items()]

    def ratio(self, part: str, operation: str, *, of: str, to: str) -> float | None:
        """How many times the one's processor time the other's is: the median of the rounds' own ratios."""
        these, those = (self.windows.get((part, variant, operation), []) for variant in (of, to))
        return median(a.cpu_us / b.cpu_us for a, b in zip(these, those, strict=True)) if these and those else None

    def fan_out_ratio(self, *, of: str, to: str) -> float | None:
        these, those = self.fan_out.get(of, []), self.fan_out.get(to, [])
        return median(a.cpu_us / b.cpu_us for a, b in zip(these, those, strict=True)) if these and those else None


def cell_of(key: Key, windows: list[Window]) -> Cell:
    part, variant, operation = key
    costs = [each.cpu_us for each in windows]
    return Cell(
        part=part,
        variant=variant,
        operation=operation,
        rounds=len(windows),
        answers=sum(each.answers for each in windows),
        rate=round(median(each.rate for each in windows)),
        cpu_us=round(median(costs), 1),
        cpu_us_min=round(min(costs), 1),
        cpu_us_max=round(max(costs), 1),
        p50_ms=round(median(each.p50_ms for each in windows), 2),
        p99_ms=round(median(each.p99_ms for each in windows), 2),
    )


def median(values: Iterable[float]) -> float:
    return statistics.median(values)
