"""How long bulkAssignModules takes for many organizations, against a plain COPY of the rows it writes. Linux only.

Run with .venv/bin/python -m bench.bulk: embedded servers with fsync on, the API and the worker each a process of its
own. No relay runs: it would share the cores. Writes bench/results/bulk.json.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from app.embedded.supervisor import Endpoints
from bench.bulk.load import MODULES, assign, client_of, copied, rename
from bench.bulk.world import CHECKS, furnish, owner, processes, processor_seconds, servers, slowest

RESULTS = Path(__file__).parents[1] / "results" / "bulk.json"


@dataclass(frozen=True)
class Setting:
    organizations: int
    workers: int
    is_profiled: bool
    has_tenant: bool


@dataclass(frozen=True)
class Round:
    """`copy` and `bare_copy`: median seconds of a COPY into an empty table with all keys, and without foreign keys."""

    organizations: int
    seconds: float
    copy: float
    bare_copy: float
    worker_processor_seconds: float
    load: float
    wrong: dict[str, int]
    statements: list[dict[str, Any]]
    tenant: dict[str, float]

    @property
    def ratio(self) -> float:
        return self.seconds / self.copy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bulk", description=__doc__)
    parser.add_argument("--organizations", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--tenant", action="store_true", help="rename organizations meanwhile, and say how long it takes"
    )
    parser.add_argument("--profile", action="store_true", help="also say which statements took the time")
    given = parser.parse_args()
    setting = Setting(given.organizations, given.workers, is_profiled=given.profile, has_tenant=given.tenant)
    rounds = []
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds} …", file=sys.stderr)
        rounds.append(measure(setting))
        print(line_of(rounds[-1]), file=sys.stderr)
    report(rounds, workers=given.workers, command=" ".join(["python -m bench.bulk", *sys.argv[1:]]))
    if any(count for each in rounds for count in each.wrong.values()):
        sys.exit("the promise does not hold")


def measure(setting: Setting) -> Round:
    with (
        tempfile.TemporaryDirectory(prefix="modplane-bench-") as directory,
        servers(Path(directory), setting.is_profiled) as at,
    ):
        return asyncio.run(_measure(Path(directory), at, setting))


async def _measure(directory: Path, at: Endpoints, setting: Setting) -> Round:
    async with owner(at) as connection:
        ids = await furnish(connection, at, setting.organizations)
        if setting.is_profiled:
            await connection.execute("SELECT pg_stat_statements_reset()")
        load = os.getloadavg()[0]
        with processes(directory, at, workers=setting.workers) as (graphql, token, pids):
            async with client_of(graphql, token) as client:
                operation: asyncio.Future[str] = asyncio.get_running_loop().create_future()
                tenant = asyncio.create_task(rename(client, ids, operation)) if setting.has_tenant else None
                seconds = await assign(client, setting.organizations, operation)
                waits = {} if tenant is None else await tenant
            used = sum(map(processor_seconds, pids))
        statements = await slowest(connection) if setting.is_profiled else []
        wrong = {what: await connection.fetchval(query, sorted(MODULES)) for what, query in CHECKS.items()}
        copy, bare = await copied(connection)
    return Round(
        organizations=setting.organizations,
        seconds=seconds,
        copy=copy,
        bare_copy=bare,
        worker_processor_seconds=used,
        load=load,
        wrong=wrong,
        statements=statements,
        tenant=waits,
    )


def line_of(each: Round) -> str:
    rate = each.organizations * len(MODULES) / each.seconds
    return (
        f"{each.organizations:,} organizations x {len(MODULES)}: {each.seconds:.1f} s, {rate:,.0f} assignments/s;"
        f" COPY {each.copy:.1f} s (without foreign keys {each.bare_copy:.1f} s); ratio {each.ratio:.1f};"
        f" worker's processor {each.worker_processor_seconds:.1f} s; load before {each.load:.1f}; wrong: {each.wrong}"
        + (f"; a tenant's mutations meanwhile: {each.tenant}" if each.tenant else "")
    )


def report(rounds: list[Round], *, workers: int, command: str) -> None:
    ratio = statistics.median(each.ratio for each in rounds)
    seconds = statistics.median(each.seconds for each in rounds)
    for row in rounds[-1].statements:
        print(f"{row['seconds']:8.2f} s {row['calls']:7} x  {row['statement']}")
    print(f"median of {len(rounds)}: {seconds:.1f} s, {ratio:.1f} times a COPY of the same rows")
    document = {
        "command": command,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {sys.version.split()[0]}",
        "workers": workers,
        "median_seconds": seconds,
        "median_ratio": ratio,
        "rounds": [{**asdict(each), "ratio": each.ratio} for each in rounds],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
