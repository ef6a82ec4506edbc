"""More than the process can do: a short queue, then 503, and nothing half done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from app.transport.admission import Admission, Busy
from graph.limits import Limits
from tests.support.stopwatch import stopwatch
from tests.transport.probe import Server, running_server
from tests.transport.test_http import RESPONSE_JSON, code, post

pytestmark = pytest.mark.asyncio
SLOW, HELLO, TOUCH = {"query": "{ slow }"}, {"query": "{ hello }"}, {"query": "mutation { touch }"}


@asynccontextmanager
async def place(admission: Admission) -> AsyncIterator[None]:
    await admission.enter()
    try:
        yield
    finally:
        admission.leave()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    limits = Limits(running=2, waiting=3, waiting_seconds=0.5, execution_seconds=1.5)
    async with running_server(limits) as running:
        yield running


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as opened:
        yield opened


async def all_places_taken(client: httpx.AsyncClient, server: Server) -> list[asyncio.Task[httpx.Response]]:
    running = [asyncio.create_task(post(client, server, SLOW)) for _ in range(2)]
    while server.log.contexts < 2:
        await asyncio.sleep(0.01)
    await server.log.started.wait()
    return running


@pytest.mark.parametrize("accept", [RESPONSE_JSON, "application/json"])
async def test_whoever_waited_long_enough_is_told_to_come_again(
    client: httpx.AsyncClient, server: Server, accept: str
) -> None:
    running = await all_places_taken(client, server)
    with stopwatch() as watch:
        response = await post(client, server, TOUCH, accept=accept)
    assert watch.seconds == pytest.approx(0.5, abs=0.3)
    assert (response.status_code, code(response)) == (503, "UNAVAILABLE")
    assert response.headers["retry-after"] == "1"
    assert [code(each) for each in await asyncio.gather(*running)] == ["TIMEOUT", "TIMEOUT"]
    assert server.log.touched == 0
    again = await post(client, server, TOUCH)
    assert again.json() == {"data": {"touch": 1}}


async def test_a_full_queue_refuses_at_once(client: httpx.AsyncClient, server: Server) -> None:
    running = await all_places_taken(client, server)
    waiting = [asyncio.create_task(post(client, server, HELLO)) for _ in range(3)]
    while server.log.contexts < 5:
        await asyncio.sleep(0.01)
    with stopwatch() as watch:
        response = await post(client, server, HELLO)
    assert watch.seconds < 0.3
    assert (response.status_code, code(response)) == (503, "UNAVAILABLE")
    assert {(each.status_code, code(each)) for each in await asyncio.gather(*waiting)} == {(503, "UNAVAILABLE")}
    await asyncio.gather(*running)
    assert (await post(client, server, HELLO)).json() == {"data": {"hello": "world"}}


async def test_a_place_that_becomes_free_is_the_next_ones(client: httpx.AsyncClient) -> None:
    async with running_server(Limits(running=2, waiting=3, waiting_seconds=20, execution_seconds=25)) as server:
        running = await all_places_taken(client, server)
        waiting = asyncio.create_task(post(client, server, HELLO))
        while server.log.contexts < 3:
            await asyncio.sleep(0.01)
        running[0].cancel()  # the client hangs up
        assert (await waiting).json() == {"data": {"hello": "world"}}
        assert not running[1].done()
        running[1].cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_places_are_given_in_the_order_of_asking_and_none_is_lost() -> None:
    admission = Admission(running_max=2, waiting_max=100, waiting_seconds=5)
    order: list[int] = []

    async def work(number: int) -> None:
        async with place(admission):
            order.append(number)
            assert admission.running <= 2
            await asyncio.sleep(0.001)

    tasks = [asyncio.create_task(work(number)) for number in range(60)]
    await asyncio.sleep(0)
    gone = {5, 17, 31}
    for number in gone:
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [number for number in range(60) if number not in gone]
    assert (admission.running, admission.waiting, admission.refused) == (0, 0, 0)


async def test_whoever_is_cancelled_as_the_place_comes_hands_it_on() -> None:
    admission = Admission(running_max=1, waiting_max=10, waiting_seconds=5)
    let_go = asyncio.Event()

    async def hold() -> None:
        async with place(admission):
            await let_go.wait()

    holder, unlucky, next_one = (asyncio.create_task(hold()) for _ in range(3))
    await asyncio.sleep(0.01)
    let_go.set()
    await holder  # the place has been handed to the second, which has not run since
    unlucky.cancel()
    await asyncio.gather(unlucky, next_one, return_exceptions=True)
    assert not next_one.cancelled()
    assert (admission.running, admission.waiting) == (0, 0)


async def test_whoever_gave_up_as_a_place_became_free_is_passed_over() -> None:
    admission = Admission(running_max=1, waiting_max=10, waiting_seconds=5)
    let_go = asyncio.Event()

    async def hold() -> str:
        async with place(admission):
            await let_go.wait()
        return "held"

    holder, gone, next_one = (asyncio.create_task(hold()) for _ in range(3))
    await asyncio.sleep(0.01)
    gone.cancel()  # before it runs again, the place is handed on past it
    let_go.set()
    held, given_up, next_held = await asyncio.gather(holder, gone, next_one, return_exceptions=True)
    assert (held, type(given_up), next_held) == ("held", asyncio.CancelledError, "held")
    assert (admission.running, admission.waiting) == (0, 0)


async def test_what_is_refused_is_counted() -> None:
    admission = Admission(running_max=1, waiting_max=0, waiting_seconds=1)
    async with place(admission):
        for _ in range(3):
            with pytest.raises(Busy):
                async with place(admission):
                    pass
    assert (admission.running, admission.refused) == (0, 3)
