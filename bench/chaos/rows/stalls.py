"""Row 8: the network swallows everything on one link after the other. Nothing hangs for ever, nothing is lost."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench.chaos.faults import moved, standing
from bench.chaos.history import Operation
from bench.chaos.report import Result
from bench.chaos.rows.outages import ORGANIZATIONS, beating
from bench.chaos.session import session
from bench.chaos.world import World
from tests.live.servers import port_of

ROLES = (("api",), ("relay",), ("reactions",), ("worker",))


@dataclass(frozen=True)
class Scale:
    seconds: float
    per_second: float


FULL, SHORT = Scale(30, per_second=20), Scale(5, per_second=10)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    owner = world.owner.render_as_string(hide_password=False)
    async with AsyncExitStack() as stack:
        before = {"postgres": world.owner.port or 0, "valkey": port_of(world.redis)}
        proxies = {
            name: await stack.enter_async_context(standing(world.free_port(), before=port))
            for name, port in before.items()
        }
        listens, advertised = world.kafka_proxied["listens"], world.kafka_proxied["advertised"]
        proxies["kafka"] = await stack.enter_async_context(standing(advertised, before=listens))
        made = await stack.enter_async_context(
            session(world, "stalls", seed=seed, organizations=ORGANIZATIONS, processes=(("api", "relay", "reactions"),))
        )
        await made.end(made.processes[0])
        through = {
            "owner": moved(owner, proxies["postgres"].port),
            "redis": moved(world.redis, proxies["valkey"].port),
            "kafka": f"127.0.0.1:{advertised}",
        }
        for roles in ROLES:
            await made.start(*roles, through=through)
        phases: dict[str, list[Operation]] = {}
        async with beating(made, scale.per_second) as beat:
            for name, proxy in proxies.items():
                async with proxy.hole():
                    phases[name] = await beat.during(scale.seconds)
                await beat.during(scale.seconds / 3)
            await asyncio.sleep(1)
        dead = [",".join(child.roles) for child in made.processes if child.exited.is_set()]
        for child in tuple(made.processes):
            if child.exited.is_set():
                await made.start(*child.roles, through=through)
        ledger, wrong = await made.judged()
    hung = [each.number for each in made.load.operations if each.was_hung]
    undone = sum(each.outcome != "acknowledged" for each in made.load.operations)
    return Result(
        row=8,
        promise="a network that swallows everything stops nothing for good",
        target=f"each link swallowed for {scale.seconds:g} s: no request hangs, no process hangs, I1-I8 hold",
        measured=(
            f"{_counts(phases)}; {len(hung)} hung, {undone} never done, {len(dead)} processes ended"
            f" {dead or ''}, {len(ledger.log)} events, {len(wrong)} violations"
        ),
        holds=not wrong and not hung and undone == 0,
        figures={"operations": len(made.load.operations), "hung": len(hung), "ended": dead},
        wrong=wrong[:50],
    )


def _counts(phases: Mapping[str, Sequence[Operation]]) -> str:
    return ", ".join(f"{name} {len(operations)} mutations" for name, operations in phases.items())
