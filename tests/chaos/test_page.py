"""What docs/reliability.md says was measured is what the last full run has written."""

import re
import subprocess
from typing import Any

import orjson

from bench.chaos.__main__ import ROWS
from bench.chaos.report import BEGIN, END, PAGE, RESULTS, ROOT, table_of

FULL = "make chaos"
NOT_MEASURED = "Not measured at full size yet: rows "


def test_the_page_shows_the_results_that_are_kept() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown == table_of(results())


def test_what_is_shown_was_measured_at_its_full_size() -> None:
    rows = results()["rows"]
    assert {row["run"] for row in rows} == {"full"}
    assert {row["row"] for row in rows} <= {row.number for row in ROWS}


def test_the_page_names_every_row_that_was_not_measured() -> None:
    missing = {row.number for row in ROWS} - {row["row"] for row in results()["rows"]}
    said = PAGE.read_text().partition(NOT_MEASURED)[2].partition("\n")[0]
    assert {int(number) for number in re.findall(r"\d+", said)} == missing


def results() -> dict[str, Any]:
    """The file here; the committed one when a short run has written over it."""
    document: dict[str, Any] = orjson.loads(RESULTS.read_bytes())
    if document["command"] != FULL:
        committed = ["git", "show", f"HEAD:{RESULTS.relative_to(ROOT)}"]
        document = orjson.loads(subprocess.run(committed, cwd=ROOT, capture_output=True, check=True).stdout)
    return document
