"""Rows 1 and 2: processes die at every failpoint, again and again, under load; nothing is lost, nothing done twice."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bench.chaos.client import Client
from bench.chaos.history import Heard, write_history
from bench.chaos.ledger import Ledger, positions, quiet, read_ledger
from bench.chaos.load import BULK, REGISTER, Load, register_modules, sign_up, until_done, write
from bench.chaos.report import Result
from bench.chaos.subscriber import Subscriber
from bench.chaos.world import Child, World
from events.failpoints import FAILPOINTS

# How often a place may be passed before the process dies there: what is passed more often may wait for longer.
PASSES_MAX = {"api": 60, "relay": 12, "reactions": 6, "worker": 2}
# A process that does not come by its place (no rebalance, no bulk work) dies all the same, wherever it is. A group
# takes ten seconds to notice that a member is dead: one that lived for less would never be given a partition.
LIFE_SECONDS = {"api": 5.0, "relay": 5.0, "reactions": 25.0, "worker": 5.0}
SLOTS = ("api", "api", "relay", "relay", "reactions", "reactions", "worker", "worker")
WRITERS, SUBSCRIBERS, BULK_ORGANIZATIONS = 24, 6, 40


@dataclass(frozen=True)
class Scale:
    kills: int
    events: int


FULL, SHORT = Scale(kills=1_000, events=50_000), Scale(kills=25, events=800)


@dataclass
class Killing:
    """The slots, each always taken by a process that is going to die."""

    world: World
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    alive: dict[int, Child] = field(default_factory=dict)
    is_over: bool = False

    async def keep_slot(self, number: int, role: str) -> None:
        schedule = random.Random(f"{self.seed}-{number}")
        places = [name for name in FAILPOINTS if name.startswith(f"{role}.")]
        port = self.world.free_port() if role == "api" else 0
        while not self.is_over:
            place, nth = schedule.choice(places), schedule.randint(1, PASSES_MAX[role])
            life = LIFE_SECONDS[role] * schedule.uniform(0.5, 1.5)
            child = await self.world.spawn(role, port=port, failpoint=f"{place}:{nth}")
            with suppress(RuntimeError, TimeoutError):  # it may come by its place before it is ready
                await child.ready()
                self.alive[number] = child
            try:
                await child.ended(life)
                name = place
            except TimeoutError:
                child.kill()
                await child.ended()
                name = f"{role}, anywhere"
            self.alive.pop(number, None)
            if child.status != -9:
                raise RuntimeError(f"{role} with {place}:{nth} ended with {child.status}; see its log")
            self.kills[name] += 1

    def port(self) -> int:
        """Some API process that is there, or was a moment ago."""
        ports = [child.port for number, child in self.alive.items() if SLOTS[number] == "api"]
        return random.choice(ports) if ports else 1  # nobody listens on port 1: the writer tries again


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    since = await positions(world)
    killing = Killing(world, seed)
    load = Load(token=world.token(), port=killing.port, random=random.Random(seed))
    organizations, bulk = await _prepare(world, seed)
    heard = [Heard(each, start=2, revisions=[]) for each in organizations[:SUBSCRIBERS]]
    subscribers = [Subscriber(each, token=load.token, port=load.port, lives=lambda: None) for each in heard]
    following = [asyncio.create_task(each.run()) for each in subscribers]
    slots = [asyncio.create_task(killing.keep_slot(number, role)) for number, role in enumerate(SLOTS)]
    async with asyncio.TaskGroup() as writers:
        for organization in organizations:
            writers.create_task(write(load, organization))
        writers.create_task(_assign_in_bulk(load, bulk))
        while killing.kills.total() < scale.kills or load.acknowledged_events < scale.events:
            await asyncio.sleep(0.1)
            _raise_faults(slots)
        load.is_over = True
    killing.is_over = True
    await asyncio.gather(*slots)
    survivor = await world.running("api", "relay", "reactions", "worker")
    killing.alive = {0: survivor}
    everybody = [*organizations, *bulk]
    await quiet(world, everybody, seconds=90)
    ledger = await read_ledger(world, everybody, since=since)
    for each in subscribers:
        await each.until(ledger.revisions[each.heard.organization], 20)
    for task in following:
        task.cancel()
    survivor.kill()
    await survivor.ended()
    write_history(world.directory / f"history-kills-{seed}.jsonl", [*load.operations, *load.reads, *heard])
    return _result(scale, killing, load, ledger=ledger, wrong=ledger.violations(load, heard))


async def _prepare(world: World, seed: int) -> tuple[list[str], list[str]]:
    """Modules and organizations, made while nobody dies."""
    child = await world.running("api", "relay", "reactions")
    async with world.client(child) as client:
        await register_modules(client)
        organizations = [await sign_up(client, f"kills-{seed}-{number}") for number in range(WRITERS)]
        bulk = [await sign_up(client, f"kills-bulk-{seed}-{number}") for number in range(BULK_ORGANIZATIONS)]
        await quiet(world, [*organizations, *bulk])
    child.kill()
    await child.ended()
    return organizations, bulk


async def _assign_in_bulk(load: Load, organizations: Sequence[str]) -> None:
    """Always something for the workers: one new module after the other for all of them."""
    number = 0
    async with Client(load.port(), load.token, seconds=8) as client:
        while not load.is_over:
            number += 1
            code = f"chaos-bulk-{number}"
            manifest = {"name": code, "version": "1.0.0", "display_name": code}
            client.move(load.port())
            await until_done(client, REGISTER, {"input": {"manifest": manifest, "idempotencyKey": code}}, load.port)
            asked = {"organizationIds": list(organizations), "modules": [code], "idempotencyKey": f"{code}-all"}
            await until_done(client, BULK, {"input": asked}, load.port)
            await asyncio.sleep(1)


def _raise_faults(slots: Sequence[asyncio.Task[None]]) -> None:
    for slot in slots:
        if slot.done() and (error := slot.exception()) is not None:
            raise error


def _result(scale: Scale, killing: Killing, load: Load, *, ledger: Ledger, wrong: Sequence[str]) -> Result:
    acknowledged = sum(each.outcome == "acknowledged" for each in load.operations)
    figures = {
        "kills": killing.kills.total(),
        "kills_by_place": dict(sorted(killing.kills.items())),
        "events": len(ledger.log),
        "deliveries": len(ledger.delivered),
        "mutations": len(load.operations),
        "acknowledged": acknowledged,
        "tries": sum(each.tries for each in load.operations),
        "reads": len(load.reads),
        "violations": len(wrong),
    }
    return Result(
        row=1,
        promise="no acknowledged mutation's event is lost, no effect is doubled",
        target=f"{scale.kills} kill -9 over all failpoints, {scale.events} events, 0 violations of I1-I8",
        measured=(
            f"{killing.kills.total()} kills at {len(killing.kills)} places, {len(ledger.log)} events"
            f" ({len(ledger.delivered)} deliveries), {acknowledged} mutations acknowledged, {len(wrong)} violations"
        ),
        holds=not wrong,
        figures=figures,
        wrong=list(wrong[:50]),
    )
