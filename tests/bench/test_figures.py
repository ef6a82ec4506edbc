"""From windows to cells, ratios, rows and kept results: what is done with numbers, not where they come from."""

from typing import Any

import orjson
import pytest

from bench.compare.cells import Measured, cell_of
from bench.compare.fanout import FanOut
from bench.compare.figures import FIGURES, GROWN, Row
from bench.compare.growth import GROWTH, label
from bench.compare.load import Window, percentile
from bench.compare.operations import LIST, NESTED, READS, THREE_TIER
from bench.compare.parts import COLD, SINGLE, WARM, Plan
from bench.compare.report import FULL, REDUCED, document_of, keep, merged
from bench.compare.world import FIXED, FRAMES, MERCURIUS, MODPLANE

PLAN = Plan(rounds=3, seconds=1.0, warm_seconds=0.1, connections=2, subscribers=5, events=2)


def window(cpu_us: float, *, p50_ms: float = 1.0, p99_ms: float = 2.0) -> Window:
    return Window(answers=100, seconds=2.0, cpu_us=cpu_us, p50_ms=p50_ms, p99_ms=p99_ms)


def row(measured: Measured, beginning: str) -> Row:
    (figure,) = [each for each in FIGURES if each.name.startswith(beginning)]
    return figure.row(measured)


def test_percentiles_are_answers_that_were_given() -> None:
    ordered = [each / 1000 for each in range(1, 101)]
    assert percentile(ordered, 0.5) == 51
    assert percentile(ordered, 0.99) == 100
    assert percentile([0.007], 0.99) == 7


def test_a_cell_is_the_median_of_its_windows_and_says_how_far_they_spread() -> None:
    windows = [window(300, p99_ms=9), window(100, p99_ms=2), window(110, p99_ms=3)]
    cell = cell_of((WARM, MODPLANE, LIST), windows)
    assert (cell.cpu_us, cell.cpu_us_min, cell.cpu_us_max) == (110, 100, 300)
    assert (cell.rate, cell.answers, cell.rounds, cell.p99_ms) == (50, 300, 3, 3)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    measured = Measured()
    # the medians are 200 and 100; but round by round it was never twice as dear except once
    measured.windows[WARM, MERCURIUS, LIST] += [window(100), window(200), window(900)]
    measured.windows[WARM, MODPLANE, LIST] += [window(100), window(100), window(900)]
    assert measured.ratio(WARM, LIST, of=MERCURIUS, to=MODPLANE) == 1
    assert measured.ratio(COLD, LIST, of=MERCURIUS, to=MODPLANE) is None


@pytest.mark.parametrize(("cpu_us", "expected"), [(100.0, True), (83.4, True), (101.0, False)])
def test_a_speed_holds_from_its_bound_on(cpu_us: float, expected: bool) -> None:
    measured = Measured()
    measured.windows[WARM, MERCURIUS, LIST].append(window(120))
    measured.windows[WARM, MODPLANE, LIST].append(window(cpu_us))
    assert row(measured, "list, warm").holds is expected


@pytest.mark.parametrize(("cpu_us", "expected"), [(300.0, True), (290.0, True), (310.0, False)])
def test_a_cost_holds_up_to_its_bound_and_the_dearest_read_decides(cpu_us: float, expected: bool) -> None:
    measured = Measured()
    for operation in READS:
        measured.windows[WARM, FIXED, operation].append(window(100))
        measured.windows[WARM, MODPLANE, operation].append(window(cpu_us if operation == NESTED else 120))
    assert row(measured, "the dearest").holds is expected


def test_tail_fan_out_and_growth_have_their_rows() -> None:
    measured = Measured()
    measured.windows[SINGLE, MODPLANE, THREE_TIER] += [
        window(1, p50_ms=1, p99_ms=8),
        window(1, p50_ms=2, p99_ms=8),
        window(1, p50_ms=1, p99_ms=90),
    ]
    for name, cost in ((FRAMES, 10.0), (MODPLANE, 26.0), (MERCURIUS, 39.0)):
        measured.fan_out[name].append(FanOut(frames=10, cpu_us=cost, spread_ms=1.0, text=b""))
    for size, cost in zip(GROWN, (100.0, 120.0), strict=True):
        measured.windows[GROWTH, label(size), NESTED].append(window(cost))
    found = [row(measured, name) for name in ("p99 / p50", "fan-out of one event to 500, against b")]
    assert [(each.measured, each.holds) for each in found] == [(8.0, True), (2.6, False)]
    found = [row(measured, name) for name in ("fan-out of one event to 500, against M", "nested, 1,000,000")]
    assert [(each.measured, each.holds) for each in found] == [(1.5, True), (1.2, True)]


def test_what_was_not_measured_neither_holds_nor_fails() -> None:
    assert {(each.measured, each.holds) for each in (figure.row(Measured()) for figure in FIGURES)} == {(None, None)}


def kept(measured: Measured, *, run: str = FULL, load: float = 0.1) -> dict[str, Any]:
    document = document_of(measured, PLAN, run=run, organizations=10, load_before=load)
    found: dict[str, Any] = orjson.loads(orjson.dumps(document))
    return found


def test_a_run_of_some_parts_leaves_the_others_as_they_were() -> None:
    first, second = Measured(), Measured()
    first.windows[WARM, MODPLANE, LIST].append(window(50))
    first.windows[WARM, MERCURIUS, LIST].append(window(100))
    first.memory_mib[MODPLANE] = 99.0
    second.windows[COLD, MODPLANE, NESTED].append(window(50))
    second.windows[COLD, MERCURIUS, NESTED].append(window(100))
    whole = merged(kept(first), kept(second))
    measured = {each["figure"]: each["measured"] for each in whole["rows"] if each["measured"] is not None}
    assert measured == {"list, warm, against Mercurius JIT": 2.0, "nested, cold tenants, against Mercurius JIT": 2.0}
    assert len(whole["cells"]) == 4
    assert whole["memory_mib"] == {MODPLANE: 99.0}


def test_a_run_of_everything_takes_the_place_of_those_of_some_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_of(*arguments: str, organizations: int | None = 10) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", ["bench.compare", *arguments])
        document = document_of(Measured(), PLAN, run=FULL, organizations=organizations, load_before=0.1)
        found: dict[str, Any] = orjson.loads(orjson.dumps(document))
        return found

    whole = merged(run_of("--parts", "cold"), run_of("--parts", "growth", organizations=None))
    whole = merged(whole, run_of("--parts", "warm"))
    named = "python -m bench.compare"
    assert [each["command"] for each in whole["runs"]] == [
        f"{named} --parts {part}" for part in ("cold", "growth", "warm")
    ]
    assert [each["command"] for each in merged(whole, run_of())["runs"]] == [f"{named} --parts growth", named]


def test_a_full_run_does_not_mix_with_a_reduced_one() -> None:
    reduced = Measured()
    reduced.windows[WARM, MODPLANE, LIST].append(window(50))
    assert merged(kept(reduced, run=REDUCED), kept(Measured()))["cells"] == []


def test_results_are_kept_with_their_table_and_their_chart(tmp_path: Any) -> None:
    measured = Measured()
    measured.windows[WARM, MODPLANE, LIST].append(window(50))
    measured.windows[WARM, MERCURIUS, LIST].append(window(100))
    path = tmp_path / "results" / "bench.json"
    whole = keep(kept(measured), results=path)
    assert orjson.loads(path.read_bytes()) == whole
    assert (
        "| list, warm, against Mercurius JIT | at least 1.2 times as fast | 2 | holds |"
        in path.with_suffix(".md").read_text()
    )
    assert "2.00x" in path.with_suffix(".svg").read_text()
