"""Row 27: workers are killed every two seconds while modules are given to very many organizations."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

from bench.chaos.client import Client, Lost
from bench.chaos.load import BULK, REGISTER, until_done
from bench.chaos.report import Result
from bench.chaos.session import Session, session
from bench.chaos.world import World

MODULES = ("chaos-mass-a", "chaos-mass-b", "chaos-mass-c")
RESUME_SECONDS_MAX, WAIT_SECONDS = 30.0, 900.0
PLACES = ("worker.in_chunk", "worker.between_chunks", None)
PROGRESS = "query($id: ID!) { operation(id: $id) { status done failed total } }"
# as signing up leaves them, at once; the search for their name is what the operation's filter goes by
MADE = """
WITH made AS (INSERT INTO organizations(organization_id, name, plan, revision)
  SELECT uuidv7(), $2 || ' ' || n, 'free', 1 FROM generate_series(1, $1::int) n RETURNING organization_id),
 counted AS (INSERT INTO org_revision(organization_id, rev) SELECT organization_id, 0 FROM made)
SELECT organization_id FROM made
"""
# one row for each organization that is not as it should be
WRONG = """
SELECT o.organization_id,
       (SELECT count(*) FROM tenant_modules t WHERE t.organization_id = o.organization_id) AS modules,
       (SELECT count(*) FROM event_log e WHERE e.organization_id = o.organization_id
          AND e.aggregatetype = 'module.bulk_assigned') AS events, r.rev
  FROM organizations o JOIN org_revision r USING (organization_id) WHERE o.organization_id = ANY($1::uuid[])
   AND NOT ((SELECT count(*) FROM tenant_modules t WHERE t.organization_id = o.organization_id) = $2
     AND (SELECT count(*) FROM event_log e WHERE e.organization_id = o.organization_id) = 1 AND r.rev = 1)
"""


@dataclass(frozen=True)
class Scale:
    organizations: int
    kill_seconds: float  # between two kills


FULL, SHORT = Scale(33_334, kill_seconds=2.0), Scale(3_000, kill_seconds=0.5)


@dataclass
class Watched:
    """How the operation went on: (seconds, done)."""

    progress: list[tuple[float, int]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def longest_pause(self) -> float:
        """Between two steps forward."""
        steps = [self.progress[0]]
        steps += [after for before, after in pairwise(self.progress) if after[1] != before[1]]
        return max((after[0] - before[0] for before, after in pairwise(steps)), default=0.0)

    @property
    def is_monotone(self) -> bool:
        return all(before[1] <= after[1] for before, after in pairwise(self.progress))


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    async with session(world, "bulk", seed=seed, organizations=0, processes=(("api",), ("relay", "reactions"))) as made:
        ids = await _organizations(made, scale.organizations)
        operation = await _ask(made)
        killing = asyncio.create_task(_kill_workers(made, random.Random(seed), scale.kill_seconds))
        started = time.monotonic()
        watched = await _watch(made, operation, killing)
        seconds = time.monotonic() - started
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        kills = made.kills
        async with world.tables() as connection:
            wrong = [dict(row) for row in await connection.fetch(WRONG, ids, len(MODULES))]
    status, total = watched.last.get("status"), scale.organizations * len(MODULES)
    return Result(
        row=27,
        promise="bulk work survives its workers",
        target=f"{total} assignments, a worker killed every {scale.kill_seconds:g} s: each once, resumed within 30 s",
        measured=(
            f"{watched.last.get('done')} of {scale.organizations} organizations, {status}, {kills} kills,"
            f" {seconds:.0f} s, longest pause {watched.longest_pause:.1f} s, {len(wrong)} wrong"
        ),
        holds=(
            status == "SUCCEEDED"
            and not wrong
            and kills > 0
            and watched.is_monotone
            and watched.longest_pause <= RESUME_SECONDS_MAX
        ),
        figures={
            "assignments": total,
            "kills": kills,
            "seconds": round(seconds, 1),
            "longest_pause_seconds": round(watched.longest_pause, 1),
            "is_monotone": watched.is_monotone,
        },
        wrong=[str(each) for each in wrong[:20]],
    )


async def _organizations(made: Session, count: int) -> Sequence[UUID]:
    async with made.world.tables() as connection:
        rows = await connection.fetch(MADE, count, f"Mass {made.seed}", timeout=120)
    return [row["organization_id"] for row in rows]


async def _ask(made: Session) -> str:
    async with Client(made.port(), made.load.token) as client:
        for code in MODULES:
            manifest = {"name": code, "version": "1.0.0", "display_name": code}
            await until_done(client, REGISTER, {"input": {"manifest": manifest, "idempotencyKey": code}})
        asked = {"organizationFilter": {"search": f"Mass {made.seed}"}, "modules": list(MODULES)}
        payload = await until_done(client, BULK, {"input": asked})
    operation: str = payload["operation"]["id"]
    return operation


async def _kill_workers(made: Session, schedule: random.Random, seconds: float) -> None:
    """Two at a time; every so many seconds one of them is killed, unless it has died at its failpoint already."""
    while True:
        while len(made.holders_of("worker")) < 2:
            place = schedule.choice(PLACES)
            failpoint = f"{place}:{schedule.randint(1, 12)}" if place else None
            await made.start("worker", failpoint=failpoint)
        await asyncio.sleep(seconds)
        for child in [each for each in made.processes if each.exited.is_set()]:
            made.processes.remove(child)
            made.kills += 1
        workers = made.holders_of("worker")
        if len(workers) == 2:
            await made.end(schedule.choice(workers))
            made.kills += 1


async def _watch(made: Session, operation: str, killing: asyncio.Task[None]) -> Watched:
    watched = Watched()
    started = time.monotonic()
    async with Client(made.port(), made.load.token) as client:
        while time.monotonic() - started < WAIT_SECONDS:
            if killing.done():
                killing.result()
            try:
                answer = await client.ask(PROGRESS, {"id": operation})
            except Lost:
                continue
            watched.last = answer["data"]["operation"]
            watched.progress.append((time.monotonic(), watched.last["done"]))
            if watched.last["status"] not in ("PENDING", "RUNNING"):
                break
            await asyncio.sleep(0.2)
    return watched
