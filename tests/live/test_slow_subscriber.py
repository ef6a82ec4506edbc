"""A subscriber that does not read: the server keeps little for it, and it still gets everything in order."""

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from app.transport.server import FAREWELL_SECONDS
from events.envelope import Event
from events.live import QUEUE_BYTES_MAX, QUEUE_MAX, Tap
from events.types import EventType
from graph.limits import Limits
from tests.live.clients import SUBSCRIPTION, opened_socket, over_websocket, revisions, slow_reader, subscribe
from tests.live.conftest import ONE_BROKER, Live
from tests.live.quick import door
from tests.support.stories import assign, register, set_config, sign_up, unique

ORGANIZATION = uuid4()
# far more than a connection holds on its way, and its queue besides
WRITES, TEXT = 30, "x" * 60_000


@ONE_BROKER
async def test_who_reads_late_gets_everything_in_order(live: Live) -> None:
    module = await register(live.platform, unique("large"))
    organization = await sign_up(live.platform)
    assert (await assign(live.platform, organization, module))["errors"] == []
    small = slow_reader(live.platform)
    async with (
        opened_socket(live.platform, sock=small, max_queue=1) as late,
        over_websocket(live.platform, organization=organization, after="v1:2") as prompt,
    ):
        await subscribe(late, organization=organization, after="v1:2")
        for number in range(WRITES):
            written = await set_config(live.platform, organization, module, {"text": TEXT, "number": number})
            assert written["errors"] == []
        numbers = [event["payload"]["assignment"]["config"]["number"] for event in await prompt.take(WRITES)]
        assert numbers == list(range(WRITES))
        async with asyncio.timeout(30):
            messages = [json.loads(await late.recv()) for _ in range(WRITES)]
        events = [message["payload"]["data"]["moduleEvents"] for message in messages]
        assert [event["revision"] for event in events] == list(range(3, WRITES + 3))


@ONE_BROKER
async def test_who_does_not_read_is_told_where_to_resume(live: Live) -> None:
    organization, module = await large_module(live)
    async with door(live, Limits(send_seconds=1.0)) as quick:
        small = slow_reader(quick.platform)
        async with opened_socket(quick.platform, sock=small, max_queue=1) as late:
            await subscribe(late, organization=organization, after="v1:2")
            await write_large(live, organization, module, 12)
            await asyncio.sleep(1.5)
            heard: list[int] = []
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(FAREWELL_SECONDS):
                    while True:
                        message = json.loads(await late.recv())
                        heard.append(message["payload"]["data"]["moduleEvents"]["revision"])
        frame = closed.value.rcvd
        assert frame is not None
        assert (frame.code, frame.reason) == (1013, f"resume from v1:{heard[-1]}")
        assert heard == list(range(3, heard[-1] + 1))
        assert heard[-1] < 14
        async with over_websocket(live.platform, organization=organization, after=f"v1:{heard[-1]}") as subscriber:
            rest = revisions(await subscriber.take(14 - heard[-1]))
    assert heard + rest == list(range(3, 15))


@ONE_BROKER
@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_who_never_reads_is_hung_up_on(live: Live, transport: str) -> None:
    organization, module = await large_module(live)
    async with door(live, Limits(send_seconds=0.5)) as quick:
        small = slow_reader(quick.platform)
        loop = asyncio.get_running_loop()
        if transport == "websocket":
            manager = opened_socket(quick.platform, sock=small, max_queue=1, ping_interval=None)
            late = await manager.__aenter__()
            await subscribe(late, organization=organization, after="v1:2")
            late.transport.pause_reading()
        else:
            variables = {"organization": organization, "after": "v1:2"}
            body = orjson.dumps({"query": SUBSCRIPTION, "variables": variables})
            head = (
                "POST /graphql HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n"
                f"authorization: Bearer {quick.platform.admin}\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            await loop.sock_sendall(small, head.encode() + body)
        async with asyncio.timeout(30):
            while not len(quick.connections):
                await asyncio.sleep(0.02)
        await write_large(live, organization, module, 12)
        async with asyncio.timeout(0.5 + FAREWELL_SECONDS + 3):
            while len(quick.connections):
                await asyncio.sleep(0.02)
        if transport == "websocket":
            late.transport.abort()
        small.close()


async def large_module(live: Live) -> tuple[str, str]:
    """An organization at revision 2 that has a module with room for much."""
    module = await register(live.platform, unique("large"))
    organization = await sign_up(live.platform)
    assert (await assign(live.platform, organization, module))["errors"] == []
    return organization, module


async def write_large(live: Live, organization: str, module: str, count: int) -> None:
    for number in range(count):
        written = await set_config(live.platform, organization, module, {"text": TEXT, "number": number})
        assert written["errors"] == []


async def test_a_tap_that_overflows_says_so_once_and_takes_on() -> None:
    tap = Tap()
    for rev in range(1, QUEUE_MAX + 2):
        tap.put(event(rev))
    tap.put(event(QUEUE_MAX + 2))  # dropped: its owner reads the log anyway
    assert await tap.take() is None
    tap.put(event(QUEUE_MAX + 3))
    taken = await tap.take()
    assert taken is not None
    assert taken.rev == QUEUE_MAX + 3


async def test_a_full_tap_loses_nothing() -> None:
    tap = Tap()
    for rev in range(1, QUEUE_MAX + 1):
        tap.put(event(rev))
    assert [taken.rev for _ in range(QUEUE_MAX) if (taken := await tap.take())] == list(range(1, QUEUE_MAX + 1))


async def test_a_tap_is_bounded_in_bytes_too_but_takes_one_event_of_any_size() -> None:
    tap = Tap()
    tap.put(event(1), QUEUE_BYTES_MAX + 1)
    first = await tap.take()
    assert first is not None
    assert first.rev == 1
    for rev in (2, 3, 4):
        tap.put(event(rev), QUEUE_BYTES_MAX // 3)
    tap.put(event(5), QUEUE_BYTES_MAX // 3)
    assert await tap.take() is None
    assert tap.is_idle


def event(rev: int) -> Event:
    return Event(
        id=UUID(int=rev),
        type=EventType.ASSIGNED,
        organization_id=ORGANIZATION,
        rev=rev,
        module=None,
        modules=(),
        company_id=None,
        actor="tester",
        occurred_at=datetime.now(UTC),
        payload={},
    )
