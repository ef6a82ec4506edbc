"""What a field can reach: the caller, the loaders of this operation, and the means to read, write and listen."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import strawberry

from auth.actor import Actor
from auth.api_keys import ApiKeys
from auth.revocation import Revocations
from cache.floor import RevisionFloor
from cache.instances import Instances
from cache.read_through import ReadThrough
from commands.transaction import Writer
from events.live import LiveStream
from events.wakeup import Wakeup
from federation.routing import RoutingPolicy
from graph.batching import Follows
from graph.loaders import Loaders
from models.base import PLATFORM_ID
from models.database import Database
from queries.reader import Reader, open_reader
from queries.registry import Registry, RegistrySnapshot, load_revision
from queries.tenant_values import TenantValues


@dataclass(frozen=True)
class Services:
    """What a process has for all its requests."""

    database: Database
    floor: RevisionFloor
    wakeup: Wakeup
    live: LiveStream
    registry: RegistrySnapshot
    instances: Instances
    values: ReadThrough
    routing: RoutingPolicy  # where modules' services may be
    revocations: Revocations = field(default_factory=Revocations)
    api_keys: ApiKeys = field(default_factory=ApiKeys)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # what else ends with them


@dataclass(slots=True)
class StreamPosition:
    """Where a subscription is in one organization's stream. Its generator writes it, its transport reads it.

    `offered` is set before an event is yielded and `reached` once the event has been taken: what a client is told to
    resume from is `reached`. `cursor` stands for it in streams that one rev can't tell the place of.
    """

    resume: str | None = None  # takes the place of the argument `after`
    offered: int | None = None
    reached: int | None = None
    cursor: str | None = None
    # what the next message builds on: two streams go on alike only if it is equal. None: each stands for itself
    state: object = None
    # called whenever there is nothing left to do but to wait for the next event
    on_head: Callable[[], None] | None = None
    current_revision: Callable[[], Awaitable[int]] | None = None

    def reach(self, rev: int) -> None:
        self.offered = self.reached = rev

    def at_head(self) -> None:
        if self.on_head is not None:
            self.on_head()


@dataclass
class RequestContext:
    actor: Actor
    services: Services
    position: StreamPosition = field(default_factory=StreamPosition)
    traceparent: str | None = None  # the caller's trace; without one, each change begins its own
    loaders: Loaders = field(init=False)
    # Whether the answer hangs on more than the document, its variables, the rights and the revs of `streams_of`.
    is_volatile: bool = False
    # The registry is read at least as new as this: the platform's floor, read before the operation began, or what the
    # database says when it is first needed.
    registry_revision: int | None = None
    # What the streams of `streams_of` have at least; empty when it is not known of both, or after a write.
    seen: Mapping[UUID, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Forget what was loaded: after a write, and before each event of a subscription."""
        self.registry_revision, self.seen = None, {}
        services = self.services
        self.loaders = Loaders(
            services.database,
            self.actor,
            self.note_read,
            self.registry,
            self.registry_at_hand,
            self._tenant_values,
            services.instances,
        )

    def end(self) -> None:
        """Nothing of the operation is under way any more, and nothing will be asked for."""
        self.loaders.end()

    def _tenant_values(self) -> TenantValues | None:
        tenant = self.actor.organization_id
        if tenant is None or not self.seen:
            return None
        return TenantValues(self.services.values, self.services.database.tenant_reads, tenant, self.seen)

    def registry_at_hand(self) -> Registry | None:
        """The same without waiting; None also when it has not been asked for yet."""
        revision = self.registry_revision
        return None if revision is None else self.services.registry.held(revision)

    async def registry(self) -> Registry | None:
        """The registry in memory, at least as it is now. None: who reads over organizations asks the database."""
        tenant = None if self.actor.is_platform_admin else self.actor.organization_id
        if self.registry_revision is None and tenant is not None:
            loaders = self.loaders
            revision = await load_revision(self.services.database.tenant_reads, tenant)
            if self.loaders is not loaders:  # somebody has written meanwhile
                return await self.services.registry.at_least(revision)
            self.registry_revision = revision
        if self.registry_revision is None:
            return None
        return await self.services.registry.at_least(self.registry_revision)

    def know(self, revisions: tuple[int, ...], need: int = 0) -> None:
        """To be told what the streams of `streams_of` have at least, in their order, or the last of them; and what the
        client has seen of the first."""
        self.registry_revision = revisions[-1]
        streams = streams_of(self.actor)
        if len(revisions) == len(streams) == 2:
            self.seen = {streams[0]: max(revisions[0], need), streams[1]: revisions[1]}

    def note_read(self, what: Follows | None) -> None:
        """To be told of every read, before it: what is not known to follow a rev makes the answer volatile."""
        if what is None or (what is Follows.ORGANIZATION and self.actor.is_platform_admin):
            self.is_volatile = True

    @asynccontextmanager
    async def reader(self, what: Follows | None = None) -> AsyncIterator[Reader]:
        """A session for one question."""
        self.note_read(what)
        async with open_reader(self.services.database, self.actor) as reader:
            yield reader

    def writer(self) -> Writer:
        self.is_volatile, self.registry_revision, self.seen = True, None, {}
        services = self.services
        return Writer(
            database=services.database,
            actor=self.actor,
            floor=services.floor,
            wakeup=services.wakeup,
            traceparent=self.traceparent,
            registry=services.registry,
        )


def streams_of(actor: Actor) -> tuple[UUID, ...]:
    """The streams whose revs say whether an answer to this actor still holds: its organization's, the registry's."""
    return (PLATFORM_ID,) if actor.organization_id is None else (actor.organization_id, PLATFORM_ID)


Info = strawberry.Info[RequestContext, None]
