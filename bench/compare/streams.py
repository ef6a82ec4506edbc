"""Fan-out: the product, Mercurius and the bare frames, each telling the same event to the same number of clients."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson

from bench.chaos.client import Client
from bench.compare import fanout
from bench.compare.fanout import FanOut, Publish
from bench.compare.load import Target
from bench.compare.operations import post
from bench.compare.parts import Run
from bench.compare.world import FRAMES, MERCURIUS, MODPLANE, start_frames

KEEP_ALIVE_SECONDS = 3.0  # the server hangs up on an idle connection after five
RENAME = """mutation($o: ID!, $n: String) { updateOrganization(input: {organizationId: $o, name: $n}) {
  revision errors { message } } }"""


async def fan_out(run: Run) -> None:
    """The product is told by a mutation in its other process, so that only the fan-out is paid for in this one."""
    found = run.world
    organization = found.pools.hot[0].id
    targets = {MODPLANE: found.variants[MODPLANE].target, MERCURIUS: found.variants[MERCURIUS].target}
    targets[FRAMES] = start_frames(found).target
    async with Client(found.processes["second"].port, found.admin_token) as client:
        publish = _renaming(client, organization)
        text = (await _measured(run, targets[MODPLANE], publish, events=1)).text
        event = orjson.loads(text)["payload"]["data"]["moduleEvents"]
        body = orjson.dumps({"organizationId": organization, "event": event})
        publishers = {
            MODPLANE: publish,
            MERCURIUS: _posting(targets[MERCURIUS], body),
            FRAMES: _posting(targets[FRAMES], text),
        }
        for number in range(run.plan.rounds):
            names = list(publishers)
            for name in names if number % 2 == 0 else names[::-1]:
                measured = await _measured(run, targets[name], publishers[name], events=run.plan.events)
                run.measured.fan_out[name].append(measured)


async def _measured(run: Run, target: Target, publish: Publish, *, events: int) -> FanOut:
    organization = run.world.pools.hot[0].id
    return await fanout.measure(
        target,
        publish,
        subscribers=run.plan.subscribers,
        events=events,
        token=run.world.admin_token,
        organization=organization,
    )


def _renaming(client: Client, organization: str) -> Callable[[], Awaitable[None]]:
    number, asked = 0, time.monotonic()

    async def publish() -> None:
        nonlocal number, asked
        if time.monotonic() - asked > KEEP_ALIVE_SECONDS:
            client.drop()
        number, asked = number + 1, time.monotonic()
        answer = await client.ask(RENAME, {"o": organization, "n": f"Renamed {number:06}"})
        if "errors" in answer or answer["data"]["updateOrganization"]["errors"]:
            raise RuntimeError(str(answer))

    return publish


def _posting(target: Target, body: bytes) -> Callable[[], Awaitable[None]]:
    async def publish() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.ports[0])
        writer.write(post("/publish", body))
        if b" 200 " not in await reader.readline():
            raise RuntimeError("the event was not taken")
        writer.close()

    return publish
