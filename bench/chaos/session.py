"""What most rows share: processes that run, organizations, a load on them, and the end with its judgement."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.client import Client
from bench.chaos.history import Heard, write_history
from bench.chaos.ledger import Ledger, Position, positions, quiet, read_ledger
from bench.chaos.load import Load, register_modules, sign_up, write
from bench.chaos.subscriber import Subscriber
from bench.chaos.world import Child, World

SIGN_UPS_AT_ONCE = 6
EVERYTHING = (("api",), ("relay", "reactions", "worker"))


@dataclass
class Session:
    """One row's part of the world."""

    world: World
    name: str
    seed: int
    since: Position
    load: Load
    organizations: list[str] = field(default_factory=list)
    processes: list[Child] = field(default_factory=list)
    kills: int = 0

    def port(self) -> int:
        """Of some process that has the api role."""
        ports = [child.port for child in self.processes if "api" in child.roles and not child.exited.is_set()]
        return self.load.random.choice(ports) if ports else 1  # nobody listens on port 1: the writer tries again

    async def start(self, *roles: str, **options: Any) -> Child:
        child = await self.world.running(*roles, **options)
        self.processes.append(child)
        return child

    async def end(self, child: Child) -> None:
        child.kill()
        await child.ended()
        self.processes.remove(child)

    def holders_of(self, role: str) -> list[Child]:
        return [child for child in self.processes if role in child.roles and not child.exited.is_set()]

    async def write_until(self, events: int, *, writers: int = 1, pause: float = 0.0) -> None:
        """So many writers on each organization, until so many more events are acknowledged."""
        goal = self.load.acknowledged_events + events
        self.load.is_over = False
        async with asyncio.TaskGroup() as tasks:
            for organization in self.organizations:
                for _ in range(writers):
                    tasks.create_task(write(self.load, organization, pause=pause))
            while self.load.acknowledged_events < goal:
                await asyncio.sleep(0.05)
            self.load.is_over = True

    def subscribers(self, heard: Sequence[Heard], *, seconds: tuple[float, float] | None = None) -> list[Subscriber]:
        """One for each; `seconds`: how long their connections are kept, from and to."""

        def lives() -> float | None:
            return None if seconds is None else self.load.random.uniform(*seconds)

        return [Subscriber(each, token=self.load.token, port=self.port, lives=lives) for each in heard]

    async def judged(
        self, subscribers: Sequence[Subscriber] = (), *, also: Collection[str] = ()
    ) -> tuple[Ledger, list[str]]:
        """When nothing is on its way any more: what the stores hold, and all that is wrong with it."""
        everybody = [*self.organizations, *also]
        await quiet(self.world, everybody, seconds=120)
        ledger = await read_ledger(self.world, everybody, since=self.since)
        for each in subscribers:
            await each.until(ledger.revisions[each.heard.organization], 30)
        heard = [each.heard for each in subscribers]
        path = self.world.directory / f"history-{self.name}-{self.seed}.jsonl"
        write_history(path, [*self.load.operations, *self.load.reads, *heard])
        return ledger, ledger.violations(self.load, heard)


@asynccontextmanager
async def session(
    world: World,
    name: str,
    *,
    seed: int,
    organizations: int,
    processes: Sequence[Sequence[str]] = EVERYTHING,
) -> AsyncIterator[Session]:
    """Processes are started, modules registered, organizations signed up and told about; all processes killed after."""
    load = Load(token=world.token(), port=lambda: made.port(), random=random.Random(seed))  # noqa: PLW0108
    made = Session(world, name, seed, since=await positions(world), load=load)
    try:
        for roles in processes:
            await made.start(*roles)
        async with Client(made.port(), load.token) as client:
            await register_modules(client)
        made.organizations = await sign_ups(made, organizations)
        await quiet(world, made.organizations)
        yield made
    finally:
        for child in tuple(made.processes):
            await made.end(child)


async def sign_ups(made: Session, count: int) -> list[str]:
    """New organizations, several at once."""
    names = [f"{made.name}-{made.seed}-{number}" for number in range(count)]

    async def some(part: Sequence[str]) -> list[str]:
        async with Client(made.port(), made.load.token) as client:
            return [await sign_up(client, name) for name in part]

    parts = await asyncio.gather(*(some(names[start::SIGN_UPS_AT_ONCE]) for start in range(SIGN_UPS_AT_ONCE)))
    return [organization for part in parts for organization in part]


@asynccontextmanager
async def following(subscribers: Sequence[Subscriber]) -> AsyncIterator[None]:
    """The subscribers run inside."""
    tasks = [asyncio.create_task(each.run()) for each in subscribers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
