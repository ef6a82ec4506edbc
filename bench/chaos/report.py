"""The result of a row, and the file that keeps all of them."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "chaos.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"


@dataclass(frozen=True)
class Result:
    """One promise, measured. `row`: its number in docs/reliability.md. `wrong`: what breaks it, said one by one."""

    row: int
    promise: str
    target: str
    measured: str
    holds: bool
    figures: Mapping[str, object] = field(default_factory=dict)
    wrong: Sequence[str] = ()
    seed: int = 0
    seconds: float = 0.0
    run: str = "full"


def keep(results: Sequence[Result], *, path: Path = RESULTS) -> None:
    """Write the rows; of rows that were not run this time, what the file had of the same kind of run stays."""
    known = {}
    if path.exists():
        known = {row["row"]: row for row in orjson.loads(path.read_bytes())["rows"] if row["run"] == results[0].run}
    for result in results:
        known[result.row] = asdict(result)
    document = {
        "command": "make chaos" if results[0].run == "full" else "make chaos-short",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "rows": [known[number] for number in sorted(known)],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def table_of(document: Mapping[str, Any]) -> str:
    """The rows as Markdown, for people."""
    lines = ["| row | promise | target | measured | |", "|---|---|---|---|---|"]
    for row in document["rows"]:
        mark = "holds" if row["holds"] else "**does not hold**"
        lines.append(f"| {row['row']} | {row['promise']} | {row['target']} | {row['measured']} | {mark} |")
    return "\n".join(lines) + "\n"


def write_page(*, results: Path = RESULTS, page: Path = PAGE) -> None:
    """Put the table of a full run into the page that explains it."""
    text = page.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(f"{before}{BEGIN}{table_of(orjson.loads(results.read_bytes()))}{END}{after}")


def line_of(result: Result) -> str:
    mark = "holds" if result.holds else "BROKEN"
    return f"row {result.row:>2} {mark:<6} {result.seconds:6.1f} s  {result.promise}: {result.measured}"
