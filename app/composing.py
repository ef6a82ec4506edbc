"""The worker's part in federation: checks what was registered. Beside it app/publishing.py puts it into the graph.

Everything slow happens outside transactions: reading the SDL, composing in a process of its own, asking the service.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import asdict, replace

from app.publishing import AGAIN_SECONDS, Composing, Publisher
from auth.actor import PLATFORM
from commands.subgraph.check import LeasedCheck, Verdict, decide, lease_check, put_off
from commands.transaction import Writer
from events.failpoints import reach
from federation.check import Candidate, check
from federation.composer import Composer, ComposerAway
from federation.routing import RoutingPolicy
from graph.context import Services
from models.ids import new_id
from queries.reader import open_reader
from queries.supergraph import load_graph
from rules.subgraph import SubgraphState

log = logging.getLogger("modplane.composing")

POLL_SECONDS = 0.25
AFTER_FAULT_SECONDS = 1.0
CHECK_SECONDS = 45  # less than a lease
GIVE_BACK_SECONDS = 2.0


async def run_composing(services: Services, *, graphql_url: str, routing: RoutingPolicy) -> None:
    """Goes on until it is cancelled. What a dead worker left is taken up by another, or by this one.

    `graphql_url`: where gateways reach the platform's own subgraph. `routing`: where modules' services may be.
    """
    writer = Writer(
        database=services.database,
        actor=PLATFORM,
        floor=services.floor,
        wakeup=services.wakeup,
        registry=services.registry,
    )
    # one each: what anybody registers may take as long as is allowed, again and again, and holds no activation up
    checks = Composing(writer, Composer(), routing=routing, graphql_url=graphql_url)
    publications = replace(checks, composer=Composer())
    try:
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(_check_all(checks))
            lanes.create_task(_publish_all(Publisher(publications)))
    finally:
        for composing in (checks, publications):
            await composing.composer.aclose()


async def _publish_all(publisher: Publisher) -> None:
    while True:
        try:
            has_done = await publisher.publish_next()
        except Exception:
            log.exception("the publisher goes on after a fault")
            await asyncio.sleep(AFTER_FAULT_SECONDS)
            continue
        if not has_done:
            await asyncio.sleep(POLL_SECONDS)


async def _check_all(composing: Composing) -> None:
    while True:
        lease_id = new_id()
        try:
            leased = await lease_check(composing.writer.database, lease_id)
        except Exception:
            log.exception("no registration is found for a fault")
            await asyncio.sleep(AFTER_FAULT_SECONDS)
            continue
        if leased is None:
            await asyncio.sleep(POLL_SECONDS)
            continue
        reach("composing.leased")
        await _check(composing, leased)


async def _check(composing: Composing, leased: LeasedCheck) -> None:
    """Decide, or let it be taken up again."""
    try:
        if leased.is_hopeless:
            await decide(composing.writer, leased, Verdict(SubgraphState.FAILED, [composing.fault()]))
            return
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                verdict = await _judge(composing, leased)
        except ComposerAway as away:
            await _wait_for_composer(composing, leased, away)
            return
        reach("composing.checked")
        await decide(composing.writer, leased, verdict)
    except asyncio.CancelledError:
        await _put_off(composing, leased, seconds=0, counted=-1)
        raise
    except Exception:
        log.exception("the check of %s %s is put off", leased.module_id, leased.version)
        await _put_off(composing, leased, seconds=AFTER_FAULT_SECONDS * leased.attempts, counted=0)


async def _judge(composing: Composing, leased: LeasedCheck) -> Verdict:
    async with open_reader(composing.writer.database, PLATFORM) as reader:
        graph = await load_graph(reader)
    candidate = Candidate(module=leased.module_id, sdl=leased.sdl, routing_url=leased.routing_url)
    result = await check(
        candidate,
        composing.subgraphs(graph, without=leased.module_id),
        composer=composing.composer,
        public_sdl=None if graph.head is None else graph.head.public_sdl,
        routing=composing.routing,
        require_live=False,
    )
    if not result.is_ok:
        state = SubgraphState.FAILED
    else:
        state = SubgraphState.NEEDS_APPROVAL if result.is_breaking else SubgraphState.CHECKED
    return Verdict(
        state=state,
        findings=[asdict(each) for each in result.findings],
        changes=[asdict(each) for each in result.changes],
        stamped_sdl=result.stamped_sdl,
    )


async def _wait_for_composer(composing: Composing, leased: LeasedCheck, away: ComposerAway) -> None:
    """It stays CHECKING, and says why; it is tried again, perhaps by a worker that has a composer."""
    finding = composing.unavailable(away)
    if list(leased.findings) != [finding]:
        await decide(composing.writer, leased, Verdict(SubgraphState.CHECKING, [finding]))
    await _put_off(composing, leased, seconds=AGAIN_SECONDS, counted=-1)


async def _put_off(composing: Composing, leased: LeasedCheck, *, seconds: float, counted: int) -> None:
    """At best effort: if not, the lease runs out."""
    with suppress(Exception):
        async with asyncio.timeout(GIVE_BACK_SECONDS):
            database = composing.writer.database
            await put_off(database, leased.id, lease_id=leased.lease_id, seconds=seconds, counted=counted)
