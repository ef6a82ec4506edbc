"""Puts subgraphs into the graph and takes them out: composes alone, outside transactions, and publishes in one.

Whatever goes wrong, the graph that is served stays as it is.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from auth.actor import PLATFORM
from commands.subgraph.check import ATTEMPTS_MAX, put_off
from commands.subgraph.publish import Publication, Settled, publish, refuse_publication, refused_state
from commands.subgraph.sole import sole_publisher
from commands.transaction import Writer
from events.failpoints import reach
from federation.check import Candidate, check
from federation.composer import Composer, ComposerAway
from federation.finding import Finding, Severity
from federation.names import tag_of
from federation.routing import RoutingPolicy
from federation.subgraph import PLATFORM as PLATFORM_NAME
from federation.subgraph import Composed, Subgraph
from graph.schema import schema
from models.base import JsonObject
from models.subgraph import SubgraphVersionRow
from queries.reader import open_reader
from queries.subgraph import find_next_publication
from queries.supergraph import Graph, load_graph, load_hidden_modules
from rules.plans import PLANS
from rules.subgraph import SubgraphState, breaks_anew

log = logging.getLogger("modplane.composing")

PUBLISH_SECONDS = 50  # less than what the session with the lock may be silent
AGAIN_SECONDS = 10.0  # without a composer
PLATFORM_AGAIN_SECONDS = 30.0  # when the modules do not compose with what the platform says of itself by now


@dataclass(frozen=True)
class Composing:
    """What checking and publishing share."""

    writer: Writer
    composer: Composer
    routing: RoutingPolicy
    graphql_url: str

    @cached_property
    def own(self) -> Subgraph:
        """The platform as this process would describe it."""
        return Subgraph(PLATFORM_NAME, self.graphql_url, schema.as_str())

    def subgraphs(self, graph: Graph, *, without: str | None = None) -> list[Subgraph]:
        """What is in the graph, the platform first: as the head has it, for this process may be older, or newer."""
        members = [
            Subgraph(row.module_id, row.routing_url, row.stamped_sdl or "")
            for row in graph.members
            if row.module_id != without
        ]
        return [platform_in(graph) or self.own, *members]

    def unavailable(self, away: ComposerAway) -> JsonObject:
        return asdict(Finding(Severity.WARNING, "COMPOSER_UNAVAILABLE", str(away)))

    def fault(self) -> JsonObject:
        message = f"The check broke off {ATTEMPTS_MAX} times; the platform's log says why."
        return asdict(Finding(Severity.ERROR, "CHECK_FAULT", message))


def platform_in(graph: Graph) -> Subgraph | None:
    """The platform's own subgraph in the graph that is served."""
    if graph.head is None:
        return None
    (url,) = (each["url"] for each in graph.head.inputs if each["name"] == PLATFORM_NAME)
    return Subgraph(PLATFORM_NAME, url, graph.head.platform_sdl)


@dataclass
class Publisher:
    """The loop's memory: when to try next whether the platform's own part of the graph is to be renewed."""

    composing: Composing
    _platform_due: float | None = field(default_factory=time.monotonic)  # None: it has been seen to

    async def publish_next(self) -> bool:
        """Do what has waited longest; False when there was nothing to do, or somebody else does it."""
        database = self.composing.writer.database
        async with open_reader(database, PLATFORM) as reader:
            is_asked = await find_next_publication(reader) is not None
        if not is_asked and not self._is_platform_due:
            return False
        async with sole_publisher(database.admin_engine.url) as is_sole:
            if not is_sole:
                return False
            reach("composing.locked")
            async with open_reader(database, PLATFORM) as reader:
                graph, subject = await load_graph(reader), await find_next_publication(reader)
            if self._is_platform_due:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._renew_platform(graph)
            elif subject is not None:
                await self._settle(graph, subject)
            reach("composing.published")
        return True

    @property
    def _is_platform_due(self) -> bool:
        return self._platform_due is not None and time.monotonic() >= self._platform_due

    async def _renew_platform(self, graph: Graph) -> None:
        """Once after each start: this release may describe the platform otherwise than the one before."""
        self._platform_due = time.monotonic() + PLATFORM_AGAIN_SECONDS
        own = self.composing.own
        if platform_in(graph) == own:
            self._platform_due = None
            return
        subgraphs = [own, *self.composing.subgraphs(graph)[1:]]
        try:
            composed = await self.composing.composer.compose(subgraphs)
        except ComposerAway as away:
            log.warning("the graph is not composed: %s", away)
            return
        if not isinstance(composed, Composed):
            reasons = "; ".join(f"{each.code}: {each.message}" for each in composed)
            log.error("the platform's own schema does not compose with its modules', the graph stays: %s", reasons)
        elif await self._publish(graph, subgraphs, composed, list(graph.members), None):
            self._platform_due = None

    async def _settle(self, graph: Graph, subject: SubgraphVersionRow) -> None:
        """Do what was asked of the subgraph, or let it be tried again."""
        database = self.composing.writer.database
        is_joining = subject.state == SubgraphState.ACTIVATING
        try:
            if subject.attempts >= ATTEMPTS_MAX:
                await self._refuse(subject, refused_state(subject), [self.composing.fault()])
            else:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await (self._join if is_joining else self._leave)(graph, subject)
        except ComposerAway as away:
            finding = self.composing.unavailable(away)
            if subject.findings != [finding]:
                await self._refuse(subject, SubgraphState(subject.state), [finding])
            await put_off(database, subject.id, lease_id=None, seconds=AGAIN_SECONDS, counted=0)
        except Exception:
            log.exception("what was asked of %s %s is put off", subject.module_id, subject.version)
            await put_off(database, subject.id, lease_id=None, seconds=1.0 + subject.attempts, counted=1)

    async def _join(self, graph: Graph, subject: SubgraphVersionRow) -> None:
        """Everything is checked once more: since the first check the graph may have changed, and the service too."""
        subgraphs = self.composing.subgraphs(graph, without=subject.module_id)
        result = await check(
            Candidate(module=subject.module_id, sdl=subject.sdl, routing_url=subject.routing_url),
            subgraphs,
            composer=self.composing.composer,
            public_sdl=None if graph.head is None else graph.head.public_sdl,
            routing=self.composing.routing,
            require_live=True,
        )
        findings, changes = [asdict(each) for each in result.findings], [asdict(each) for each in result.changes]
        if not result.is_ok or result.composed is None or result.stamped_sdl is None:
            await self._refuse(subject, refused_state(subject), findings)
        elif breaks_anew(subject.changes, changes):
            await self._refuse(subject, SubgraphState.NEEDS_APPROVAL, findings, changes)
        else:
            stamped = result.stamped_sdl
            settled = Settled(subject, SubgraphState.ACTIVE, findings, changes, stamped)
            subgraphs.append(Subgraph(subject.module_id, subject.routing_url, stamped))
            others = [row for row in graph.members if row.module_id != subject.module_id]
            await self._publish(graph, subgraphs, result.composed, [*others, subject], settled)

    async def _leave(self, graph: Graph, subject: SubgraphVersionRow) -> None:
        subgraphs = self.composing.subgraphs(graph, without=subject.module_id)
        composed = await self.composing.composer.compose(subgraphs)
        if isinstance(composed, Composed):
            others = [row for row in graph.members if row.module_id != subject.module_id]
            settled = Settled(subject, SubgraphState.RETIRED, [])
            await self._publish(graph, subgraphs, composed, others, settled)
        else:
            await self._refuse(subject, refused_state(subject), [asdict(each) for each in composed])

    async def _refuse(
        self,
        subject: SubgraphVersionRow,
        state: SubgraphState,
        findings: Sequence[JsonObject],
        changes: Sequence[JsonObject] | None = None,
    ) -> None:
        await refuse_publication(self.composing.writer, Settled(subject, state, findings, changes))

    async def _publish(
        self,
        graph: Graph,
        subgraphs: Sequence[Subgraph],
        composed: Composed,
        members: Sequence[SubgraphVersionRow],
        settled: Settled | None,
    ) -> bool:
        contracts = await self._contracts(subgraphs, members)
        reach("composing.composed")
        publication = Publication(
            built_on=graph.standing,
            sdl=composed.supergraph_sdl,
            public_sdl=composed.public_sdl,
            contracts=contracts,
            composer=composed.composer,
            inputs=_inputs(subgraphs, members),
            platform_sdl=subgraphs[0].sdl,
        )
        return await publish(self.composing.writer, publication, settled)

    async def _contracts(
        self, subgraphs: Sequence[Subgraph], members: Sequence[SubgraphVersionRow]
    ) -> dict[str, str | None]:
        """By plan, what its clients may be told of; None where that can't be said without what they may not."""
        async with open_reader(self.composing.writer.database, PLATFORM) as reader:
            hidden = await load_hidden_modules(reader, {(row.module_id, row.version) for row in members}, PLANS)
        made: dict[frozenset[str], str | None] = {}
        contracts: dict[str, str | None] = {}
        for plan, modules in hidden.items():
            tags = frozenset(map(tag_of, modules))
            if not tags:
                continue
            if tags not in made:
                made[tags] = await self._contract(subgraphs, tags)
            contracts[plan] = made[tags]
        return contracts

    async def _contract(self, subgraphs: Sequence[Subgraph], tags: frozenset[str]) -> str | None:
        contract = await self.composing.composer.contract(subgraphs, tags)
        if isinstance(contract, str):
            return contract
        log.warning("no schema without %s: %s", ", ".join(sorted(tags)), "; ".join(each.message for each in contract))
        return None


def _inputs(subgraphs: Sequence[Subgraph], members: Sequence[SubgraphVersionRow]) -> list[JsonObject]:
    """What an artifact says that it is made of."""
    rows = {row.module_id: row for row in members}
    return [
        {
            "name": subgraph.name,
            "subgraph_id": str(rows[subgraph.name].id) if subgraph.name in rows else None,
            "version": rows[subgraph.name].version if subgraph.name in rows else None,
            "url": subgraph.url,
            "sha256": hashlib.sha256(subgraph.sdl.encode()).hexdigest(),
        }
        for subgraph in subgraphs
    ]
