"""`make chaos`: break things on purpose, and count what was lost. Exit code 1 when a promise did not hold."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench.chaos import checker
from bench.chaos.report import Result, keep, line_of, write_page
from bench.chaos.rows import (
    bulk,
    debezium,
    failover,
    idempotency,
    kills,
    live,
    order,
    outages,
    poison,
    resume,
    rolling,
    skew,
    stalls,
)
from bench.chaos.world import World, open_world
from bench.subscribers_client import allow_files

FILES = 12_000


@dataclass(frozen=True)
class Row:
    """`short` None: too long or too noisy for the short run."""

    number: int
    run: Callable[..., Awaitable[Result]]
    full: Any
    short: Any | None


ROWS = (
    Row(1, kills.run, full=kills.FULL, short=kills.SHORT),
    Row(3, order.run, full=order.FULL, short=order.SHORT),
    Row(4, failover.run, full=failover.FULL, short=failover.SHORT),
    Row(5, outages.broker, full=outages.BROKER_FULL, short=None),
    Row(6, outages.valkey, full=outages.VALKEY_FULL, short=None),
    Row(7, outages.postgres, full=outages.POSTGRES_FULL, short=None),
    Row(8, stalls.run, full=stalls.FULL, short=None),
    Row(9, idempotency.run, full=idempotency.FULL, short=idempotency.SHORT),
    Row(10, resume.run, full=resume.FULL, short=resume.SHORT),
    Row(11, live.crowd, full=live.CROWD_FULL, short=None),
    Row(12, live.slow, full=live.SLOW_FULL, short=None),
    Row(26, poison.run, full=poison.FULL, short=None),
    Row(27, bulk.run, full=bulk.FULL, short=None),
    Row(28, rolling.run, full=rolling.FULL, short=None),
    Row(29, skew.run, full=skew.FULL, short=None),
    Row(30, debezium.run, full=debezium.FULL, short=None),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="at most three minutes, for CI")
    parser.add_argument("--rows", help="only these, as 1,5,10")
    parser.add_argument("--seed", type=int, help="the seed of a run to repeat")
    parser.add_argument("--keep", action="store_true", help="keep the directory with logs and histories")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    wanted = {int(number) for number in given.rows.split(",")} if given.rows else {row.number for row in ROWS}
    rows = [row for row in ROWS if row.number in wanted and not (given.short and row.short is None)]
    allow_files(FILES)  # the product's processes inherit it
    directory = Path(mkdtemp(prefix="modplane-chaos-"))
    print(f"seed {seed}, logs and histories in {directory}", flush=True)
    results = asyncio.run(_run(rows, directory, seed=seed, is_short=given.short))
    if not given.short:
        write_page()
    return 0 if all(result.holds for result in results) else 1


async def _run(rows: list[Row], directory: Path, *, seed: int, is_short: bool) -> list[Result]:
    results = []
    async with open_world(directory) as world:
        for row in rows:
            results.append(await _measured(row, world, seed=seed, is_short=is_short))
            keep(results)  # after each: a run of hours may be ended in the middle
            print(line_of(results[-1]) + checker.shown(results[-1].wrong), flush=True)
    return results


async def _measured(row: Row, world: World, *, seed: int, is_short: bool) -> Result:
    started = time.monotonic()
    result = await row.run(world, row.short if is_short else row.full, seed=seed)
    seconds = round(time.monotonic() - started, 1)
    return replace(result, seed=seed, seconds=seconds, run="short" if is_short else "full")


if __name__ == "__main__":
    sys.exit(main())
