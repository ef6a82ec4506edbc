"""What is measured, part by part. Variants take turns in every round, and the order is turned round each time."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from bench.compare.cells import Measured
from bench.compare.equality import check_reads
from bench.compare.install import ROOT
from bench.compare.load import Target, Window, measure, percentile, send_all
from bench.compare.operations import ASSIGN, LIST, NESTED, OPERATIONS, READS, THREE_TIER, Tenant
from bench.compare.pools import assignments, drawn, mixture, once
from bench.compare.servers import MEASURED, memory_mib, on
from bench.compare.world import ASYNCPG, FIXED, MERCURIUS, MODPLANE, PEERS, REDIS, Variant, World

WARM, COLD, MIX, TWO, SINGLE = "warm", "cold", "90/10", "two processes", "c=1"


@dataclass(frozen=True)
class Plan:
    """How much is measured. `seconds`: of one window, after `warm_seconds` that are not counted."""

    rounds: int
    seconds: float
    warm_seconds: float
    connections: int
    subscribers: int
    events: int


@dataclass
class Run:
    """A measurement under way."""

    world: World
    plan: Plan
    measured: Measured = field(default_factory=Measured)
    writes: dict[str, Iterator[bytes]] = field(default_factory=dict)

    def turns(self, names: Iterable[str]) -> Iterator[tuple[int, list[Variant]]]:
        variants = [self.world.variants[name] for name in names]
        for number in range(self.plan.rounds):
            yield number, variants if number % 2 == 0 else variants[::-1]

    async def window(
        self, part: str, variant: Variant, operation: str, requests: Iterator[bytes], *, connections: int = 0
    ) -> None:
        window = await measure(
            variant.target,
            requests,
            connections=connections or self.plan.connections,
            seconds=self.plan.seconds,
            warm_seconds=self.plan.warm_seconds,
        )
        self.measured.windows[part, variant.name, operation].append(window)

    def unassigned(self, variant: Variant) -> Iterator[bytes]:
        """What a variant has not assigned yet, over all windows."""
        if variant.name not in self.writes:
            tenants = self.world.pools.written[variant.name][:-1]  # the last one was for the comparison of rows
            self.writes[variant.name] = assignments(tenants, has_token=variant.has_token)
        return self.writes[variant.name]


async def prime(run: Run) -> None:
    """Every hot request twice, and a moment of load: compilers and caches have what they want to have. Twice, for an
    answer is kept from the second time on."""
    pools = run.world.pools
    for variant in run.world.variants.values():
        for operation in (each for each in READS if each in variant.operations):
            if variant.path == "/graphql":
                for _ in range(2):
                    requests = once(operation, pools.hot, has_token=variant.has_token)
                    await send_all(variant.target, requests, connections=run.plan.connections)
            requests = variant.reads(operation, pools, seed=run.plan.rounds)
            connections, seconds = run.plan.connections, run.plan.warm_seconds
            await measure(variant.target, requests, connections=connections, seconds=seconds, warm_seconds=seconds)


async def warm(run: Run) -> None:
    """The hot organizations, whose answers may be kept; and assignments, where the limits have nothing to compare."""
    for number, variants in run.turns((MODPLANE, *PEERS, FIXED, REDIS)):
        for operation in OPERATIONS:
            for variant in (each for each in variants if operation in each.operations):
                if operation == ASSIGN:
                    await run.window(WARM, variant, operation, run.unassigned(variant))
                    await run.world.drained()
                else:
                    await run.window(WARM, variant, operation, variant.reads(operation, run.world.pools, seed=number))
    for name in (MODPLANE, *PEERS):
        run.measured.memory_mib[name] = memory_mib(run.world.processes[name])


async def cold(run: Run) -> None:
    """Every request another tenant: nothing that is kept helps, and tokens are verified for the first time."""
    for operation in (NESTED, THREE_TIER):
        shares = _shares(run.world.pools.cold[operation], run.plan.rounds)
        for number, variants in run.turns((MODPLANE, MERCURIUS)):
            for variant in variants:
                requests = once(operation, shares[number], has_token=variant.has_token)
                await run.window(COLD, variant, operation, requests)


def _shares(tenants: Sequence[Tenant], count: int) -> list[Sequence[Tenant]]:
    return [tenants[number::count] for number in range(count)]


async def mix(run: Run) -> None:
    """Nine reads, one write, over the same tenants: what is kept has to be dropped again."""
    endless = {
        name: mixture(run.world.pools.mixed[name], has_token=run.world.variants[name].has_token, seed=1)
        for name in (MODPLANE, MERCURIUS)
    }
    for _, variants in run.turns(endless):
        for variant in variants:
            await run.window(MIX, variant, NESTED, endless[variant.name])
            await run.world.drained()
    await check_reads(run.world, run.world.pools.mixed[MODPLANE], names=(MODPLANE, MERCURIUS))


async def two_processes(run: Run) -> None:
    """The same load on one API process and on two, all on the same core: what being two costs."""
    first, second = (run.world.processes[name].target for name in (MODPLANE, "second"))
    one = run.world.variants[MODPLANE]
    both = replace(one, target=Target(ports=first.ports + second.ports, pids=first.pids + second.pids))
    for target in (first, second):
        requests = once(NESTED, run.world.pools.hot, has_token=True)
        await send_all(target, requests, connections=run.plan.connections)
    for number in range(run.plan.rounds):
        turns = ((WARM, one), (TWO, both))
        for part, variant in turns if number % 2 == 0 else turns[::-1]:
            name = "one process" if part == WARM else part
            requests = drawn(NESTED, run.world.pools.hot, has_token=True, seed=number)
            await run.window(name, variant, NESTED, requests)


async def single(run: Run) -> None:
    """One request at a time: how late the late ones are when nobody else is there."""
    for number, variants in run.turns((MODPLANE, MERCURIUS, FIXED)):
        for variant in variants:
            requests = variant.reads(THREE_TIER, run.world.pools, seed=number)
            await run.window(SINGLE, variant, THREE_TIER, requests, connections=1)


async def statements(run: Run) -> None:
    """The peers' statements by asyncpg alone."""
    interpreter = str(run.world.peers.python)
    environment = {"DATABASE_URL": run.world.endpoints.postgres}
    with on(MEASURED):
        process = await asyncio.create_subprocess_exec(
            *(interpreter, "-m", "bench.compare.python.statements"),
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
    assert process.stdin
    assert process.stdout
    ids = [tenant.id for tenant in run.world.pools.hot]
    for _ in range(run.plan.rounds):
        for operation in (LIST, NESTED, THREE_TIER):
            asked = {"operation": operation, "seconds": run.plan.seconds, "ids": ids}
            process.stdin.write(orjson.dumps(asked) + b"\n")
            window = _window(orjson.loads(await process.stdout.readline()))
            run.measured.windows[WARM, ASYNCPG, operation].append(window)
    process.stdin.close()
    await process.wait()


def _window(found: dict[str, Any]) -> Window:
    latencies, count = sorted(found["latencies"]), len(found["latencies"])
    middle, late = percentile(latencies, 0.5), percentile(latencies, 0.99)
    return Window(count, found["seconds"], found["cpu"] / count * 1e6, middle, late)


PARTS = {WARM: warm, "statements": statements, COLD: cold, MIX: mix, "two": two_processes, "single": single}
