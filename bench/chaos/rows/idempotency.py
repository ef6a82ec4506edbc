"""Row 9: one key from fifty clients at once, while processes die in the middle of it: one effect, equal answers."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.client import Client, Lost
from bench.chaos.history import Operation
from bench.chaos.load import MUTATIONS, TRY_AGAIN_SECONDS, Transient, input_of, payload_of
from bench.chaos.report import Result
from bench.chaos.session import Session, session
from bench.chaos.world import Child, World

PLACES = ("api.facts_written", "api.commit_sent", "api.committed", "api.before_reply")
EQUAL = ("revision", "affected", "errors")


@dataclass(frozen=True)
class Scale:
    keys: int
    clients: int
    passes_max: int  # a process dies in the middle of a mutation after that many at most


FULL, SHORT = Scale(keys=1_000, clients=50, passes_max=120), Scale(keys=10, clients=50, passes_max=25)


@dataclass
class Counts:
    requests: int = 0
    kills: int = 0
    wrong: list[str] = field(default_factory=list)


async def run(world: World, scale: Scale, *, seed: int) -> Result:
    counts = Counts()
    processes = (("relay", "reactions"), ("api",))
    async with session(world, "idempotency", seed=seed, organizations=10, processes=processes) as made:
        steady = made.processes[-1]
        dying = asyncio.create_task(_keep_dying(made, random.Random(seed), counts, passes_max=scale.passes_max))
        clients = [Client(steady.port, made.load.token, seconds=10) for _ in range(scale.clients)]
        for number in range(scale.keys):
            organization = made.organizations[number % len(made.organizations)]
            has_bundle = (number // len(made.organizations)) % 2 == 1
            await _one_key(made, clients, organization, has_bundle=has_bundle, counts=counts)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        for client in clients:
            client.drop()
        ledger, wrong = await made.judged()
    wrong = [*counts.wrong, *wrong]
    return Result(
        row=9,
        promise="an idempotency key has one effect and one answer",
        target=f"{scale.keys} keys, {scale.clients} clients each at once, with kills: 1 effect, equal answers",
        measured=(
            f"{scale.keys} keys, {counts.requests} requests, {counts.kills} kills,"
            f" {len(ledger.log)} events, {len(wrong)} violations"
        ),
        holds=not wrong and counts.kills > 0,
        figures={"keys": scale.keys, "requests": counts.requests, "kills": counts.kills, "events": len(ledger.log)},
        wrong=wrong[:50],
    )


async def _one_key(
    made: Session, clients: list[Client], organization: str, *, has_bundle: bool, counts: Counts
) -> None:
    """Everybody sends the same; every answer has to be the same."""
    operation = made.load.new(organization, "unassign" if has_bundle else "assign")
    answers = await asyncio.gather(*(_answer(made, client, operation, counts) for client in clients))
    first = answers[0]
    if any(answer != first for answer in answers):
        counts.wrong.append(f"key {operation.key}: the answers differ: {first} and others")
    if len(first["affected"]) == 0:
        counts.wrong.append(f"key {operation.key}: the answer says that nothing was done: {first}")
    operation.outcome, operation.revision, operation.events = "acknowledged", first["revision"], len(first["affected"])


async def _answer(made: Session, client: Client, operation: Operation, counts: Counts) -> dict[str, Any]:
    while True:
        client.move(made.port())
        counts.requests += 1
        operation.tries += 1
        try:
            payload = payload_of(await client.ask(MUTATIONS[operation.kind], {"input": input_of(operation)}))
        except (Lost, Transient):
            await asyncio.sleep(TRY_AGAIN_SECONDS)
            continue
        return {name: payload[name] for name in EQUAL}


async def _keep_dying(made: Session, schedule: random.Random, counts: Counts, *, passes_max: int) -> None:
    """Beside the steady process always one that is going to die in the middle of a mutation."""
    port = made.world.free_port()
    while True:
        place, nth = schedule.choice(PLACES), schedule.randint(1, passes_max)
        child: Child = await made.world.spawn("api", port=port, failpoint=f"{place}:{nth}")
        with suppress(RuntimeError):
            await child.ready()
        made.processes.append(child)
        try:
            await child.ended(600)
        finally:
            made.processes.remove(child)
            child.kill()
        counts.kills += 1
