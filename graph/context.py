"""What a field can reach: the caller, the loaders of this operation, and the means to read, write and listen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import strawberry

from auth.actor import Actor
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


@dataclass
class RequestContext:
    actor: Actor
    services: Services
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
        return Writer(database=services.database, actor=self.actor, floor=services.floor, wakeup=services.wakeup)


Info = strawberry.Info[RequestContext, None]
