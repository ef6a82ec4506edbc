"""What a field can reach: the caller, the loaders of this operation, and the means to read, write and listen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import strawberry

from auth.actor import Actor
from auth.revocation import Revocations
from cache.floor import RevisionFloor
from commands.transaction import Writer
from events.live import LiveStream
from events.wakeup import Wakeup
from graph.loaders import Loaders
from models.database import Database
from queries.reader import Reader, open_reader


@dataclass(frozen=True)
class Services:
    """What a process has for all its requests."""

    database: Database
    floor: RevisionFloor
    wakeup: Wakeup
    live: LiveStream
    revocations: Revocations = field(default_factory=Revocations)


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

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Forget what was loaded: after a write, and before each event of a subscription."""
        self.loaders = Loaders(self.services.database, self.actor)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """A session for one question."""
        async with open_reader(self.services.database, self.actor) as reader:
            yield reader

    def writer(self) -> Writer:
        services = self.services
        return Writer(
            database=services.database,
            actor=self.actor,
            floor=services.floor,
            wakeup=services.wakeup,
            traceparent=self.traceparent,
        )


Info = strawberry.Info[RequestContext, None]
