"""The limit of the database in Python: the statements of each operation by asyncpg, no HTTP, no GraphQL, no answer.

Speaks JSON, a line each way: {"operation", "seconds", "ids"} is answered by {"answers", "seconds", "cpu", "latencies"}.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import uvloop

from bench.compare.python import store

WORKERS = 32


async def _list(pool: asyncpg.Pool, _: str) -> None:
    await pool.fetch(store.MODULE_PAGE, 21)


async def _nested(pool: asyncpg.Pool, organization: str) -> None:
    (row,) = await pool.fetch(store.ORGANIZATIONS, [organization])
    _, rows = await asyncio.gather(
        pool.fetch(store.INDUSTRIES, [row["industry_code"]]), pool.fetch(store.ASSIGNMENTS, [organization])
    )
    await pool.fetch(store.MODULES, [row["module_id"] for row in rows])


async def _three_tier(pool: asyncpg.Pool, organization: str) -> None:
    await pool.fetch(store.ORGANIZATIONS, [organization])
    companies = await pool.fetch(store.COMPANIES, [organization], 4)
    rows = await pool.fetch(store.LAYERS, [organization] * len(companies), [row["id"] for row in companies])
    await pool.fetch(store.MODULES, list({row["module_id"] for row in rows}))


READS = {"list": _list, "nested": _nested, "three-tier": _three_tier}


async def measure(pool: asyncpg.Pool, operation: str, *, seconds: float, ids: list[str]) -> dict[str, Any]:
    latencies: list[float] = []
    ask, began = READS[operation], time.perf_counter()

    async def work(mine: Iterator[str]) -> None:
        while (at := time.perf_counter()) < began + seconds:
            await ask(pool, next(mine))
            latencies.append(time.perf_counter() - at)

    before = _cpu()
    await asyncio.gather(*(work(_turns(ids, number)) for number in range(WORKERS)))
    return {"seconds": time.perf_counter() - began, "cpu": _cpu() - before, "latencies": latencies}


def _turns(ids: list[str], start: int) -> Iterator[str]:
    while True:
        start = (start + WORKERS + 1) % len(ids)
        yield ids[start]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        for line in iter(sys.stdin.readline, ""):
            asked = json.loads(line)
            found = await measure(pool, asked["operation"], seconds=asked["seconds"], ids=asked["ids"])
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
