"""The file that keeps the results, and the page that shows them. Never holds: how anything was measured."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench.compare.cells import Cell, Measured, median
from bench.compare.chart import draw
from bench.compare.figures import FIGURES, Row
from bench.compare.install import HERE, ROOT
from bench.compare.operations import OPERATIONS, SAYS
from bench.compare.parts import WARM, Plan
from bench.compare.world import APOLLO, ARIADNE, ASYNCPG, FIXED, MERCURIUS, MODPLANE, REDIS, STRAWBERRY

RESULTS = ROOT / "bench" / "results" / "bench.json"
PAGE = ROOT / "docs" / "performance.md"
FULL, REDUCED = "full", "reduced"
# The names that people know them by, in the order they are shown.
SHOWN = {
    MODPLANE: "**Modplane**",
    MERCURIUS: "Mercurius, JIT",
    APOLLO: "Apollo Server",
    STRAWBERRY: "Strawberry, ORM",
    ARIADNE: "Ariadne, asyncpg",
    FIXED: "limit: bare ASGI, fixed bytes",
    REDIS: "limit: bare ASGI, Redis GET",
    ASYNCPG: "limit: asyncpg, the same SQL, no HTTP",
}
PARTS_OPTION = "--parts"


def document_of(
    measured: Measured, plan: Plan, *, run: str, organizations: int | None, load_before: float
) -> dict[str, Any]:
    """Everything of one run, as it is kept. `organizations`: of the world in common; None: it had stores of its own."""
    this = {
        "command": " ".join(["python -m bench.compare", *sys.argv[1:]]),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": load_before,
        "organizations": organizations,
        "plan": asdict(plan),
    }
    return {
        "run": run,
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {sys.version.split()[0]}",
        "versions": {"node": _version("node"), "packages": _packages()},
        "runs": [this],
        "rows": [asdict(figure.row(measured)) for figure in FIGURES],
        "cells": [asdict(cell) for cell in measured.cells()],
        "fan_out": [
            {
                "variant": name,
                "cpu_us": round(median(each.cpu_us for each in found), 1),
                "cpu_us_min": round(min(each.cpu_us for each in found), 1),
                "cpu_us_max": round(max(each.cpu_us for each in found), 1),
                "spread_ms": round(median(each.spread_ms for each in found), 1),
            }
            for name, found in measured.fan_out.items()
        ],
        "memory_mib": measured.memory_mib,
    }


def _version(program: str) -> str:
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return found.stdout.strip().removeprefix("v")


def _packages() -> dict[str, str]:
    """The peers' exact versions, by what they are installed from."""
    packages: dict[str, str] = orjson.loads((HERE / "node" / "package.json").read_bytes())["dependencies"]
    wanted = ("ariadne", "strawberry-graphql", "sqlalchemy", "asyncpg", "fastapi", "uvicorn")
    for line in (HERE / "python" / "requirements.txt").read_text().splitlines():
        name, _, version = line.partition(" ")[0].partition("==")
        if name in wanted:
            packages[name] = version
    return packages


def merged(known: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new run; what it did not measure stays as a run of the same kind has left it."""
    if known.get("run") != new["run"]:
        return dict(new)
    measured = {row["figure"]: row for row in known["rows"] if row["measured"] is not None}
    rows = [row if row["measured"] is not None else measured.get(row["figure"], row) for row in new["rows"]]
    cells = {_key(cell): cell for cell in (*known["cells"], *new["cells"])}
    runs = {each["command"]: each for each in (*known["runs"], *new["runs"]) if not _is_outdone(each, new["runs"])}
    fan_out = {each["variant"]: each for each in (*known["fan_out"], *new["fan_out"])}
    return {
        **new,
        "runs": list(runs.values()),
        "rows": rows,
        "cells": list(cells.values()),
        "fan_out": list(fan_out.values()),
        "memory_mib": {**known["memory_mib"], **new["memory_mib"]},
    }


def _is_outdone(run: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all that it measured has been measured again: it was of parts of the common world, they are of all."""
    has_parts = PARTS_OPTION in run["command"]
    return (
        has_parts and run["organizations"] is not None and any(PARTS_OPTION not in each["command"] for each in others)
    )


def _key(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    return cell["part"], cell["variant"], cell["operation"]


def keep(document: Mapping[str, Any], *, results: Path = RESULTS) -> dict[str, Any]:
    """Write the JSON, the table and the chart; returns what is in the file now."""
    known = orjson.loads(results.read_bytes()) if results.exists() else {}
    whole = merged(known, document)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")
    show(whole, results=results)
    return whole


def show(document: Mapping[str, Any], *, results: Path = RESULTS) -> None:
    """The table and the chart beside the results."""
    sections = sections_of(document)
    results.with_suffix(".md").write_text(sections["figures"] + "\n" + sections["peers"])
    results.with_suffix(".svg").write_text(draw(document["cells"]))


def write_page(document: Mapping[str, Any], *, page: Path = PAGE) -> None:
    """Put the tables into the page that explains them, between their marks."""
    text = page.read_text()
    for name, table in sections_of(document).items():
        begin, end = marks(name)
        before, after = text.partition(begin)[0], text.partition(end)[2]
        text = f"{before}{begin}{table}{end}{after}"
    page.write_text(text)


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"


def sections_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The page's tables as Markdown, by their names."""
    return {
        "run": _run(document),
        "figures": _figures([Row(**row) for row in document["rows"]]),
        "peers": _peers(document),
        "others": _others(document),
    }


def _run(document: Mapping[str, Any]) -> str:
    is_full = document["run"] == FULL
    lines = [] if is_full else ["**A reduced run, on a machine with other work: a first impression.**\n"]
    lines.append(f"{document['machine']}, Node {document['versions']['node']}.")
    for each in document["runs"]:
        plan = each["plan"]
        size = "" if each["organizations"] is None else f"{each['organizations']:,} organizations, "
        lines.append(
            f"- `{each['command']}`, {each['measured_at'][:10]}: {size}medians of"
            f" {plan['rounds']} rounds of {plan['seconds']:g} s with {plan['connections']} connections; load average of"
            f" the machine before it: {each['load_before']}"
        )
    packages = [f"{name} {version}" for name, version in document["versions"]["packages"].items()]
    return "\n".join([*lines, "", "Peers: " + ", ".join(packages) + "."]) + "\n"


def _figures(rows: Sequence[Row]) -> str:
    lines = ["| figure | target | measured | | not like for like |", "|---|---|---|---|---|"]
    for row in rows:
        mark = {True: "holds", False: "**does not hold**", None: ""}[row.holds]
        measured = "not measured yet" if row.measured is None else f"{row.measured:g}"
        lines.append(f"| {row.figure} | {row.target} | {measured} | {mark} | {row.unlike} |")
    return "\n".join(lines) + "\n"


def _peers(document: Mapping[str, Any]) -> str:
    cells = {_key(cell): Cell(**cell) for cell in document["cells"]}
    lines = [f"| | {' | '.join(OPERATIONS)} | memory |", "|---|" + "---|" * (len(OPERATIONS) + 1)]
    for variant, name in SHOWN.items():
        found = [cells.get((WARM, variant, operation)) for operation in OPERATIONS]
        if any(found):
            memory = document["memory_mib"].get(variant)
            shown = " | ".join(
                _cell(each, cells.get((WARM, MERCURIUS, each.operation))) if each else "" for each in found
            )
            lines.append(f"| {name} | {shown} | {'' if memory is None else f'{memory:.0f} MiB'} |")
    says = "; ".join(f"{name}: {SAYS[name]}" for name in OPERATIONS)
    return "\n".join(lines) + f"\n\n{says}.\n"


def _cell(cell: Cell, mercurius: Cell | None) -> str:
    """CPU per request with its spread, requests per second, and the speed against Mercurius."""
    ratio = f" · {mercurius.cpu_us / cell.cpu_us:.2f}x" if mercurius else ""
    return f"{cell.cpu_us:,.0f} us ({cell.cpu_us_min:,.0f}-{cell.cpu_us_max:,.0f}) · {cell.rate:,.0f}/s{ratio}"


def _others(document: Mapping[str, Any]) -> str:
    lines = ["| measured | who | CPU per answer or frame | per second | p50 / p99 |", "|---|---|---|---|---|"]
    for cell in (Cell(**each) for each in document["cells"] if each["part"] != WARM):
        lines.append(
            f"| {cell.operation}, {cell.part} | {cell.variant} |"
            f" {cell.cpu_us:,.0f} us ({cell.cpu_us_min:,.0f}-{cell.cpu_us_max:,.0f}) | {cell.rate:,.0f} |"
            f" {cell.p50_ms:g} / {cell.p99_ms:g} ms |"
        )
    for each in document["fan_out"]:
        spread = f"{each['cpu_us']:g} us ({each['cpu_us_min']:g}-{each['cpu_us_max']:g})"
        lines.append(f"| fan-out | {each['variant']} | {spread} | | first to last {each['spread_ms']:g} ms |")
    return "\n".join(lines) + "\n"
