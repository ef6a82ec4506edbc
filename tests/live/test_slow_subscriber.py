"""A subscriber that does not read: the server keeps little for it, and it still gets everything in order."""

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

from events.envelope import Event
from events.live import QUEUE_MAX, Tap
from events.types import EventType
from tests.live.clients import opened_socket, over_websocket, slow_reader, subscribe
from tests.live.conftest import Live
from tests.support.stories import assign, register, set_config, sign_up, unique

ORGANIZATION = uuid4()
# far more than a connection holds on its way: kernel buffers take some megabytes
WRITES, TEXT = 150, "x" * 60_000


async def test_who_reads_late_gets_everything_in_order(live: Live) -> None:
    module = await register(live.platform, unique("large"))
    organization = await sign_up(live.platform)
    assert (await assign(live.platform, organization, module))["errors"] == []
    small = slow_reader(live.platform)
    async with (
        opened_socket(live.platform, sock=small) as late,
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
