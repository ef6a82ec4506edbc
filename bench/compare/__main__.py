"""Modplane as it ships, against its peers and its limits, on the same data in the same PostgreSQL. Linux only.

Run with .venv/bin/python -m bench.compare; --quick tries everything out in about a minute. Needs Node and, the first
time, a network. A full run writes bench/results/bench.json, a table and a chart beside it, and docs/performance.md.
"""

import argparse
import gc
import os
import signal
import sys

import orjson
import uvloop

from bench.compare.cells import Measured
from bench.compare.equality import check_reads, check_writes
from bench.compare.figures import GROWN, STALE_READS
from bench.compare.growth import GROWTH, growth
from bench.compare.install import TARGET, install
from bench.compare.parts import PARTS, Plan, Run, prime
from bench.compare.report import FULL, REDUCED, RESULTS, document_of, keep, sections_of, show, write_page
from bench.compare.servers import OTHERS, on
from bench.compare.staleness import STALENESS, staleness
from bench.compare.streams import fan_out
from bench.compare.world import start_limits, stores, supervised, world

STEPS = {**PARTS, "fan-out": fan_out}
DEFAULT = Plan(rounds=5, seconds=2.0, warm_seconds=0.4, connections=32, subscribers=500, events=40)
SMALL = Plan(rounds=2, seconds=0.3, warm_seconds=0.1, connections=8, subscribers=500, events=5)
ORGANIZATIONS, ORGANIZATIONS_QUICK = 100_000, 1_000


def main() -> None:
    # as Ctrl-C: everything that was started is ended
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = _arguments()
    if given.page:
        kept = orjson.loads(RESULTS.read_bytes())
        show(kept)
        write_page(kept)
        return
    load = round(os.getloadavg()[1], 1)
    default = SMALL if given.quick else DEFAULT
    plan = Plan(
        rounds=given.rounds or default.rounds,
        seconds=given.seconds or default.seconds,
        warm_seconds=default.warm_seconds,
        connections=default.connections,
        subscribers=default.subscribers,
        events=default.events,
    )
    count = given.organizations or (ORGANIZATIONS_QUICK if given.quick else ORGANIZATIONS)
    # the load and PostgreSQL share a core, so that what is measured has one to itself
    with on(OTHERS):
        has_world = bool(set(given.parts) - {GROWTH, STALENESS})
        measured = _compare(plan, count, given.parts) if has_world else Measured()
        if GROWTH in given.parts:
            with stores() as (directory, endpoints, servers):
                sizes = (given.grown[0], given.grown[1])
                found = uvloop.run(growth(directory, endpoints, servers, sizes=sizes, plan=plan))
            measured.windows.update(found.windows)
        if STALENESS in given.parts:
            reads = STALE_READS // 50 if given.quick else STALE_READS
            with supervised() as (directory, endpoints, servers, supervisor):
                measured.stale = uvloop.run(staleness(directory, endpoints, servers, supervisor, reads=reads))
            _say(f"{measured.stale}")
    is_full = plan == DEFAULT and count == ORGANIZATIONS and tuple(given.grown) == GROWN
    run, organizations = FULL if is_full else REDUCED, count if has_world else None
    document = document_of(measured, plan, run=run, organizations=organizations, load_before=load)
    _write(document, is_kept=is_full or given.keep)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, for trying out")
    parser.add_argument("--page", action="store_true", help="measure nothing: show the kept results again")
    parser.add_argument("--keep", action="store_true", help="keep the results of a run that is not full, too")
    parser.add_argument("--organizations", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0, help="of one window")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=[*STEPS, GROWTH, STALENESS],
        default=list(STEPS),
        help=f"all but {GROWTH} and {STALENESS} when left out, which have stores of their own",
    )
    parser.add_argument("--grown", type=int, nargs=2, default=GROWN, metavar=("FROM", "TO"))
    return parser.parse_args()


def _compare(plan: Plan, organizations: int, parts: list[str]) -> Measured:
    _say("installing the peers …")
    peers = install()
    with stores() as (directory, endpoints, servers):

        async def run() -> Measured:
            async with world(directory, endpoints, servers, organizations=organizations, peers=peers) as found:
                _say("comparing answers and written rows …")
                answers = await check_reads(found, found.pools.hot)
                await check_writes(found)
                await start_limits(found, answers)
                started = Run(found, plan)
                if set(parts) & set(PARTS):
                    await prime(started)
                await found.drained()
                # a collection of ours in the middle would be measured as a late answer of theirs
                gc.collect()
                gc.freeze()
                for part in (each for each in STEPS if each in parts):
                    _say(f"measuring: {part} …")
                    await STEPS[part](started)
                return started.measured

        return uvloop.run(run())


def _write(document: dict[str, object], *, is_kept: bool) -> None:
    results = RESULTS if is_kept else TARGET / "reduced" / RESULTS.name
    whole = keep(document, results=results)
    if is_kept:
        write_page(whole)
    for section in sections_of(whole).values():
        print(section)
    _say(f"written: {results.parent}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
