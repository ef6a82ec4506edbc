"""Relays to start, to stop and to watch: as tasks of the test's own loop, and as processes of their own.

Never holds: what is expected of them.
"""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiokafka import ConsumerRecord

from events.delivery import Delivery
from events.relay import run_relays
from tests.live.clients import header, kafka_from_the_start
from tests.live.conftest import Live
from tests.live.tables import column
from tests.process.programs import start
from tests.support.stories import rename

LEADERS = (
    "SELECT DISTINCT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'modplane-relay'"
    " AND a.datname = current_database()"
)
CANDIDATES = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'modplane-relay' AND datname = current_database()"
)
ONE_RELAY = Delivery()


@asynccontextmanager
async def relaying(live: Live, delivery: Delivery = ONE_RELAY) -> AsyncIterator[asyncio.Task[None]]:
    """A relay in this loop, until the context ends."""
    backends = live.platform.backends
    task = asyncio.create_task(run_relays(backends.database.relay, backends.kafka, delivery))
    try:
        yield task
    finally:
        await end(task)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    _, pending = await asyncio.wait([task], timeout=10)
    assert not pending, "told once, a relay ends"


@contextmanager
def relay_process(live: Live, directory: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`modplane serve --roles relay`; killed when the context ends, whatever state it is in."""
    process = start(
        "serve",
        "--roles",
        "relay",
        log=directory / "relay.log",
        data_dir=str(directory),
        DATABASE_URL=live.database.set(drivername="postgresql").render_as_string(hide_password=False),
        REDIS_URL=live.platform.backends.redis,
        KAFKA_BOOTSTRAP_SERVERS=live.kafka,
        **more,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


async def leaders(live: Live) -> list[int]:
    """The server's process ids of the sessions that hold a relay's lock."""
    return await column(live.database, LEADERS)


async def one_leads(live: Live, *, other_than: int | None = None, seconds: float = 60) -> int:
    async with asyncio.timeout(seconds):
        while True:
            found = await leaders(live)
            if len(found) == 1 and found[0] != other_than:
                return found[0]
            await asyncio.sleep(0.02)


async def candidates(live: Live, count: int) -> None:
    """Wait until so many relays are connected."""
    async with asyncio.timeout(60):
        while await column(live.database, CANDIDATES) != [count]:
            await asyncio.sleep(0.05)


async def write(live: Live, organization: str, count: int) -> None:
    for _ in range(count):
        await rename(live.platform, organization)


async def all_sent(live: Live, *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while await column(live.database, "SELECT count(*) FROM outbox") != [0]:
            await asyncio.sleep(0.05)


async def renames_of(live: Live, *organizations: str) -> dict[str, list[int]]:
    """The revs of each organization's renames as they lie on the topic, repeats included."""
    found: dict[str, list[int]] = {organization: [] for organization in organizations}
    async with kafka_from_the_start(live.kafka) as consumer:
        async with asyncio.timeout(60):
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(each) < end for each, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        note(record, found)
    return found


def note(record: ConsumerRecord, found: dict[str, list[int]]) -> None:
    key = (record.key or b"").decode(errors="replace")
    if key in found and record.topic.endswith("organization_updated"):
        found[key].append(int(header(record, "ce_rev")))


def first_times(revs: list[int]) -> list[int]:
    """In the order in which each came for the first time."""
    return list(dict.fromkeys(revs))
