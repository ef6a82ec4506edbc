"""What docs/performance.md says was measured is what the last run that was kept has written."""

import re
from typing import Any

import orjson
import pytest

from bench.compare.chart import draw
from bench.compare.figures import FIGURES
from bench.compare.install import HERE
from bench.compare.report import PAGE, RESULTS, marks, sections_of


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(RESULTS.read_bytes())
    return found


def test_the_page_shows_the_results_that_are_kept(document: dict[str, Any]) -> None:
    text = PAGE.read_text()
    for name, table in sections_of(document).items():
        begin, end = marks(name)
        assert text.count(begin) == text.count(end) == 1
        assert text.partition(begin)[2].partition(end)[0] == table


def test_the_chart_and_the_table_beside_the_results_are_theirs(document: dict[str, Any]) -> None:
    sections = sections_of(document)
    assert RESULTS.with_suffix(".svg").read_text() == draw(document["cells"])
    assert RESULTS.with_suffix(".md").read_text() == sections["figures"] + "\n" + sections["peers"]


def test_every_figure_has_its_row_measured_or_not(document: dict[str, Any]) -> None:
    rows = document["rows"]
    assert [(row["figure"], row["target"], row["unlike"]) for row in rows] == [
        (figure.name, figure.target, figure.unlike) for figure in FIGURES
    ]
    assert all((row["measured"] is None) == (row["holds"] is None) for row in rows)


def test_what_peers_are_made_of_is_locked_without_naming_a_host() -> None:
    lock = orjson.loads((HERE / "node" / "package-lock.json").read_bytes())
    wanted = orjson.loads((HERE / "node" / "package.json").read_bytes())["dependencies"]
    assert lock["packages"][""]["dependencies"] == wanted
    assert not [
        name for name, each in lock["packages"].items() if "resolved" in each or (name and "integrity" not in each)
    ]
    requirements = (HERE / "python" / "requirements.txt").read_text()
    names = re.findall(r"^[a-z]\S*", requirements, flags=re.MULTILINE)
    assert len(names) > 20
    assert all(re.fullmatch(r"\S+==[\d.]+", name) for name in names)
    assert "://" not in requirements
