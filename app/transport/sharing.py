"""Subscriptions that are the same are executed once per event, and what comes out is written once.

Each starts as a flow of its own: its generator reads the log from the client's cursor on and waits for that client.
When it has caught up and a flow of the same key is there already, its client moves over and the flow ends. Who does not
keep up leaves, and begins anew from the log. Never holds: sockets, what events mean.
"""

import asyncio
import time
from collections.abc import Hashable, Sequence
from contextlib import aclosing, suppress

from graphql import GraphQLError
from strawberry.types.execution import ExecutionResult

from app.transport import execution
from app.transport.execution import Service
from app.transport.sharing_key import begins_now, given_after, sharing_key
from app.transport.subscriber import Result, Subscriber
from graph.context import StreamPosition
from graph.cursors import read_cursor
from graph.masking import ApiError, fault

SLICE = 200  # clients that are sent to between two looks at the event loop
# What fails for many is tried again before it is told to all of them; together as long as PostgreSQL restarts.
RETRY_SECONDS = (0.2, 1.0, 3.0)
# So long a client waits for somebody else's beginning, which is that of a slow one perhaps.
START_SECONDS = 2.0


class Flow:
    """One execution of a subscription, and those who get its results: its first client, or many once it is shared."""

    def __init__(self, sharing: "Sharing", subscriber: Subscriber, *, resume: str | None) -> None:
        self.request, self.actor = subscriber.request, subscriber.actor
        self.position = StreamPosition(resume=resume)
        self.key = sharing.key_of(subscriber)
        self.is_live = False  # shared: open to others
        self.settled = asyncio.Event()  # live, or over
        self.members: dict[Subscriber, None] = {}
        self._sharing = sharing
        self._pushed_rev = -1
        self._pushed_state: object = None
        self._attempts = 0
        self._head = _Head(self)
        self.adopt(subscriber)
        self._task = asyncio.create_task(self._run())

    @property
    def ahead(self) -> int:
        """The last rev that its members have been given, or are just being given."""
        reached = self.position.reached
        return self._pushed_rev if reached is None else max(self._pushed_rev, reached)

    def adopt(self, subscriber: Subscriber) -> None:
        self.members[subscriber] = None
        subscriber.flow = self

    def leave(self, subscriber: Subscriber) -> None:
        """The last one out ends it."""
        self.members.pop(subscriber, None)
        subscriber.flow = None
        if not self.members:
            self._sharing.forget(self)
            self._task.cancel()

    def hand_over(self, live: "Flow") -> bool:
        """Give the only member to a live flow, if it goes on there with no gap and no repeat."""
        here, there = self.position, live.position
        if here.reached is None:
            return False
        if here.state is not None:
            # messages build on the one before: only who was shown the same can go on alike
            if live.ahead < here.reached or live._pushed_state != here.state:
                return False
        elif there.state is not None or live.ahead > here.reached:
            return False
        (subscriber,) = self.members
        if here.state is None:
            subscriber.floor = here.reached
        self.members.clear()
        live.adopt(subscriber)
        self._task.cancel()
        return True

    async def head(self) -> int:
        """The rev of the stream's last event; read after this was called."""
        return await self._head.read()

    async def _run(self) -> None:
        try:
            while await self._pump():
                await asyncio.sleep(RETRY_SECONDS[self._attempts])
                self._attempts += 1
        except Exception as error:  # noqa: BLE001 - for example the context could not be made
            self._finish([fault(error)])
        finally:
            self._sharing.forget(self)

    async def _pump(self) -> bool:
        """Execute, and give out what comes. Whether it has failed and is to be tried again."""
        service, member = self._sharing.service, next(iter(self.members))
        is_opening = self.position.reached is None and member.sent is None
        context = service.context_for(member.connection, self.actor)
        self._take_position(getattr(context, "position", None) or StreamPosition())
        async with aclosing(execution.stream(service, self.request, context=context)) as results:
            async for result in results:
                if self.is_live and result.errors and self._attempts < len(RETRY_SECONDS):
                    return True
                if is_opening and execution.is_request_error(result):
                    self._finish(result.errors)
                    return False
                is_opening = False
                self._attempts = self._attempts if result.errors else 0
                await self._give(result)
        self._finish(None)
        return False

    def _take_position(self, position: StreamPosition) -> None:
        """Go on from where it was; members read the position meanwhile."""
        before = self.position
        position.resume = before.resume if before.reached is None else f"v1:{before.reached}"
        position.reached, position.cursor, position.state = before.reached, before.cursor, before.state
        position.on_head = self._on_head
        self.position = position

    def _on_head(self) -> None:
        if not self.is_live:
            self._sharing.settle(self)

    async def _give(self, result: ExecutionResult) -> None:
        written = Result(result, self.position)
        if not self.is_live:
            (subscriber,) = self.members
            await subscriber.drained()
            subscriber.offer(written)
            self._note(written)
            return
        self._note(written)
        for number, subscriber in enumerate(tuple(self.members), start=1):
            if subscriber.flow is self:  # it may have left meanwhile
                subscriber.offer(written)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def _note(self, written: Result) -> None:
        self._pushed_state = self.position.state
        if written.rev is not None:
            self._pushed_rev = written.rev

    def _finish(self, errors: Sequence[GraphQLError] | None) -> None:
        self._sharing.forget(self)
        for subscriber in tuple(self.members):
            subscriber.flow = None
            subscriber.finish(errors)
        self.members.clear()


class _Head:
    """Reads a stream's current revision: many who ask at a time share a statement that began after they asked."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._lock: asyncio.Lock | None = None
        self._began = 0.0
        self._rev = 0

    async def read(self) -> int:
        asked = time.monotonic()
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._began <= asked:
                read = self._flow.position.current_revision
                if read is None:
                    raise RuntimeError("the flow is not live")
                began = time.monotonic()
                self._rev = await read()
                self._began = began
            return self._rev


class Sharing:
    """The flows of one endpoint, by what they are of: those that are live, and those about to be."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._is_on = service.rights_of is not None
        self._live: dict[Hashable, Flow] = {}
        self._starting: dict[Hashable, Flow] = {}

    def start(self, subscriber: Subscriber, *, resume: str | None = None) -> None:
        """Execute it for this client, to begin with. `resume` takes the place of `after`."""
        flow = Flow(self, subscriber, resume=resume)
        if flow.key is not None and flow.key not in self._live:
            self._starting.setdefault(flow.key, flow)

    def restart(self, subscriber: Subscriber) -> None:
        """Begin anew where the client, which had fallen behind, has been given everything."""
        subscriber.is_behind = False
        self.start(subscriber, resume=None if subscriber.sent is None else f"v1:{subscriber.sent}")

    async def join(self, subscriber: Subscriber, *, resume: str | None = None) -> bool:
        """Add it to a live flow at once, when it begins where that is. False: it must be executed by itself.

        That there is a live flow says that document, variables and rights are good.
        """
        key, request = self.key_of(subscriber), subscriber.request
        if key is None:
            return False
        live = self._live.get(key) or await self._started(key)
        if live is None or live.position.state is not None or live.position.reached is None:
            return False
        if resume is None and begins_now(request):
            return await self._join_now(subscriber, live)
        after = resume or given_after(request)
        try:
            is_there = after is not None and read_cursor(after).rev == live.ahead
        except ApiError:
            return False
        if is_there:
            subscriber.floor = subscriber.sent = live.ahead
            live.adopt(subscriber)
        return is_there

    def settle(self, flow: Flow) -> None:
        """A flow has caught up: it becomes the live one of its kind, or its client moves to that."""
        if flow.key is None:
            return
        live = self._live.get(flow.key)
        if live is not None:
            flow.hand_over(live)
            return
        self.forget(flow)
        self._live[flow.key], flow.is_live = flow, True

    def forget(self, flow: Flow) -> None:
        """It is over. Twice is once."""
        for flows in (self._live, self._starting):
            if flow.key is not None and flows.get(flow.key) is flow:
                del flows[flow.key]
        flow.settled.set()

    async def _started(self, key: Hashable) -> Flow | None:
        """The live flow, once the one that is about to be has come so far: a crowd that comes at once needs only it."""
        starting = self._starting.get(key)
        if starting is None:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await starting.settled.wait()
        return self._live.get(key)

    async def _join_now(self, subscriber: Subscriber, live: Flow) -> bool:
        subscriber.hold()
        live.adopt(subscriber)
        try:
            rev = await live.head()
        except Exception:  # noqa: BLE001 - its own execution will say what the matter is
            subscriber.leave()
            subscriber.drop()
            subscriber.is_held = subscriber.is_behind = False
            return False
        subscriber.release(rev)
        if subscriber.is_behind:
            self.restart(subscriber)
        return True

    def key_of(self, subscriber: Subscriber) -> Hashable | None:
        return sharing_key(subscriber.request, subscriber.actor) if self._is_on else None
