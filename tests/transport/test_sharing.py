"""When a client may move to a flow that is live: with no gap and no repeat, or not at all."""

import asyncio
from collections.abc import Sequence

import pytest
from graphql import GraphQLError
from starlette.requests import HTTPConnection

from app.transport.body import GraphQLRequest
from app.transport.execution import Service
from app.transport.sharing import Flow, Sharing
from app.transport.subscriber import Result, Subscriber
from graph.limits import Limits
from tests.transport.probe import Actor, Context, Log, make_schema

pytestmark = pytest.mark.asyncio
FOREVER = GraphQLRequest(query="subscription { forever }", variables=None, operation_name=None, extensions=None)


class Client(Subscriber):
    """Reads all it is given."""

    def __init__(self) -> None:
        super().__init__(FOREVER, actor=Actor("somebody"), connection=HTTPConnection({"type": "http"}))
        self.given = asyncio.Event()

    @property
    def is_writable(self) -> bool:
        return True

    def write(self, result: Result) -> None:
        """Nobody looks at more than that there was one."""
        self.given.set()

    async def drained(self) -> None:
        """Always."""

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        """Nobody looks."""


def sharing_over(log: Log) -> Sharing:
    return Sharing(
        Service(
            schema=make_schema(Limits()),
            authenticate=lambda _: Actor("somebody"),
            context_for=lambda _, actor: Context(actor=actor, number=1, log=log),
            limits=Limits(),
        )
    )


async def flow_at(sharing: Sharing, reached: int | None, *, state: object = None) -> Flow:
    """A flow that has given its first result, and says that it is there."""
    client = Client()
    flow = Flow(sharing, client, resume=None)
    async with asyncio.timeout(20):
        await client.given.wait()
    await asyncio.sleep(0.01)  # it notes what it has given
    flow.position.reached, flow.position.state = reached, state
    flow._pushed_state = state
    return flow


@pytest.mark.parametrize(
    ("here", "there", "moves"),
    [
        ((5, None), (5, None), True),
        ((6, None), (5, None), True),  # the live one is slower: its 6 is not for this client
        ((4, None), (5, None), False),  # 5 has been given to the others already
        ((None, None), (5, None), False),
        ((5, ("a",)), (5, ("a",)), True),
        ((5, ("a",)), (6, ("a",)), True),  # nothing has changed in between
        ((5, ("a",)), (5, ("b",)), False),  # patches would not fit
        ((6, ("a",)), (5, ("a",)), False),  # what it has seen would be told again
        ((5, None), (5, ("a",)), False),
    ],
)
async def test_moving_over(here: tuple[int | None, object], there: tuple[int, object], moves: bool) -> None:
    log = Log()
    sharing = sharing_over(log)
    mover, live = await flow_at(sharing, here[0], state=here[1]), await flow_at(sharing, there[0], state=there[1])
    (client,) = mover.members
    try:
        assert mover.hand_over(live) is moves
        assert (client in live.members, client in mover.members) == (moves, not moves)
        assert client.floor == (here[0] if moves and here[1] is None else None)
        if moves:
            async with asyncio.timeout(30):
                await log.closed.wait()  # its own execution has ended
    finally:
        for member in (*mover.members, *live.members):
            member.leave()


async def test_nobody_moves_over_while_an_event_is_given_to_the_others() -> None:
    sharing = sharing_over(Log())
    mover, live = await flow_at(sharing, 5), await flow_at(sharing, 5)
    live._pushed_rev = 6  # on its way to its members, and not reached before all have it
    assert not mover.hand_over(live)
    mover.position.reached = 6
    assert mover.hand_over(live)
    for member in (*mover.members, *live.members):
        member.leave()


async def test_the_last_one_out_ends_the_execution() -> None:
    log = Log()
    flow = await flow_at(sharing_over(log), 5)
    (client,) = flow.members
    client.leave()
    client.leave()
    async with asyncio.timeout(30):
        await log.closed.wait()
    assert client.flow is None
