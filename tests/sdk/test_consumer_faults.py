"""What must not stop a module's events: records of any kind, handlers of any kind, a database that can't."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from modplane_sdk.consumer import EventConsumer
from modplane_sdk.events import Event, Handler, Subscriptions, read_event
from modplane_sdk.inbox import FORGOTTEN_ROWS_MAX, InboxAway, PostgresInbox

from tests.brokers.tansu import tansu
from tests.conftest import Databases
from tests.live.records import Headers, put
from tests.live.test_reactions_unreadable import SEND
from tests.sdk.consuming import ASSIGNED, dead_letter, dsn, record
from tests.sdk.waiting import until
from tests.support.stories import unique


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(databases: Databases) -> AsyncIterator[asyncpg.Pool]:
    own = await databases.create(template="template0")
    async with asyncpg.create_pool(dsn(own), min_size=1, max_size=10) as pool:
        yield pool


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of this module's own: what is put on it is nobody else's to meet."""
    with tansu(tmp_path_factory.mktemp("faults") / "tansu") as broker:
        yield broker


class Consuming:
    """A module with one handler, what it was given, and a consumer that runs. Records about it have its code."""

    def __init__(
        self, kafka: str, pool: asyncpg.Pool, handler: Handler | None = None, *, is_state: bool = True
    ) -> None:
        self.kafka, self.code = kafka, unique("faulty")
        self.given: list[int] = []
        self.pool = pool
        self._handler = handler
        self._subscriptions = Subscriptions()
        self._subscriptions.subscribe(ASSIGNED, is_state=is_state)(self.handle)

    async def handle(self, event: Event, connection: asyncpg.Connection) -> None:
        self.given.append(event.revision)
        if self._handler is not None:
            await self._handler(event, connection)

    async def revisions(self) -> list[int]:
        return self.given

    def record(self, revision: int, **more: Any) -> tuple[Headers, bytes]:
        return record(self.organization, revision, module=self.code, **more)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Consuming"]:
        self.organization = str(uuid4())
        inbox = PostgresInbox(self.pool, prefix=f"{self.code.replace('-', '_')}_")
        task = asyncio.create_task(EventConsumer(self.code, self._subscriptions, self.kafka, inbox).run())
        try:
            yield self
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=25)


async def letter_of(consuming: Consuming, key: bytes) -> tuple[str, bytes | None]:
    """Why a record was given up, and what is left of it."""
    headers, value = await dead_letter(consuming.kafka, lambda letter: letter.key == key, consuming.code)
    return headers["dlq_error_class"].decode(), value


async def test_a_record_that_is_about_no_modules_ends_nothing(broker: str, pool: asyncpg.Pool) -> None:
    async with Consuming(broker, pool).running() as consuming:
        headers, _ = consuming.record(1)
        await put(broker, (headers, b'{"module_id": null, "user_id": "x", "payload": {"modules": [{}]}}'), key=b"1")
        await put(broker, consuming.record(2))
        await until(consuming.revisions, [2])
        assert (await letter_of(consuming, b"1"))[0] == "MalformedEvent"


async def test_another_version_is_passed_over(broker: str, pool: asyncpg.Pool) -> None:
    async with Consuming(broker, pool).running() as consuming:
        later = consuming.record(5, ce_type=b"tenant.module.assigned.v2")
        await put(broker, later, consuming.record(2))
        await until(consuming.revisions, [2])


async def test_a_record_that_fills_a_message_is_told_of_by_its_place(broker: str, pool: asyncpg.Pool) -> None:
    """A broker may take more than its client does. The letter has lost its key too, so it is found by its place."""
    async with Consuming(broker, pool).running() as consuming:
        async with AIOKafkaProducer(bootstrap_servers=broker, max_request_size=4 * 2**20) as producer:
            sent = await producer.send_and_wait(ASSIGNED, b"x" * 600 * 1024, key=b"y" * 600 * 1024)
            await producer.send_and_wait(ASSIGNED, partition=sent.partition, **fields(consuming.record(2)))
        await until(consuming.revisions, [2])
        headers, _ = await dead_letter(broker, lambda letter: letter.key is None, consuming.code)
        place = headers["dlq_partition"], headers["dlq_offset"]
        assert place == (str(sent.partition).encode(), str(sent.offset).encode())


def fields(record: tuple[Headers, bytes]) -> dict[str, Any]:
    return {"value": record[1], "headers": [(name, text) for name, text in record[0].items() if text is not None]}


async def test_a_handler_that_does_not_end_is_given_up(
    broker: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modplane_sdk.consumer.HANDLER_SECONDS", 0.05)

    async def wait(event: Event, _: asyncpg.Connection) -> None:
        if event.revision == 1:
            await asyncio.Event().wait()

    async with Consuming(broker, pool, wait).running() as consuming:
        await put(broker, consuming.record(1), consuming.record(2), key=b"hanging")
        await until(consuming.revisions, [1, 1, 1, 1, 1, 2])
        assert (await letter_of(consuming, b"hanging"))[0] == "TimeoutError"


async def test_an_error_that_a_handler_swallows_loses_no_event(broker: str, pool: asyncpg.Pool) -> None:
    """PostgreSQL has given the transaction up all the same: nothing of it is there, so it was not applied."""

    async def swallow(event: Event, connection: asyncpg.Connection) -> None:
        if event.revision == 1:
            with suppress(asyncpg.DivisionByZeroError):
                await connection.execute("SELECT 1 / 0")

    async with Consuming(broker, pool, swallow).running() as consuming:
        first = consuming.record(1)
        await put(broker, first, consuming.record(2), key=b"swallowed")
        await until(consuming.revisions, [1, 1, 1, 1, 1, 2])
        assert await letter_of(consuming, b"swallowed") == ("InFailedSQLTransactionError", first[1])


async def test_what_is_done_of_a_long_batch_is_not_done_again(
    broker: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group puts out who does not fetch for five minutes, and all that was not committed would come again."""
    monkeypatch.setattr("modplane_sdk.consumer.BATCH_SECONDS", 0.0)
    is_let_go = asyncio.Event()

    async def stand_still(event: Event, _: asyncpg.Connection) -> None:
        if event.revision == 3:
            await is_let_go.wait()

    async with Consuming(broker, pool, stand_still).running() as consuming:
        async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
            sent = [
                await producer.send_and_wait(ASSIGNED, partition=0, **fields(consuming.record(revision)))
                for revision in (1, 2, 3, 4)
            ]
        await until(consuming.revisions, [1, 2, 3])
        await until(lambda: committed(consuming), sent[2].offset)
        is_let_go.set()
        await until(consuming.revisions, [1, 2, 3, 4])
        await until(lambda: committed(consuming), sent[3].offset + 1)


async def committed(consuming: Consuming) -> int | None:
    """Where another member of the group would go on."""
    place = TopicPartition(ASSIGNED, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=consuming.kafka, group_id=consuming.code, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        found: int | None = await consumer.committed(place)
        return found
    finally:
        await consumer.stop()


async def test_a_record_that_the_library_cannot_read_is_passed_over(pool: asyncpg.Pool, tmp_path: Path) -> None:
    """Before it, after it and beside it all is applied, and it is told of by its place."""
    with tansu(tmp_path / "tansu") as broker:
        async with Consuming(broker, pool, is_state=False).running() as consuming:
            await put(broker, consuming.record(1))
            await until(consuming.revisions, [1])
            await put(broker, *[consuming.record(revision) for revision in range(2, 6)])
            environment = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
            program = [sys.executable, "-c", SEND, broker, ASSIGNED]
            await asyncio.to_thread(subprocess.run, program, env=environment, check=True, timeout=60)
            await put(broker, *[consuming.record(revision) for revision in range(6, 10)])
            await put(broker, consuming.record(10), key=b"another partition")
            await until(lambda: sorted_of(consuming.revisions), list(range(1, 11)), seconds=60)
            headers, value = await dead_letter(broker, lambda _: True, consuming.code)
            assert (headers["dlq_error_class"], headers["dlq_offset"], value) == (b"UnicodeDecodeError", b"5", b"")


async def test_a_broker_that_comes_again_with_nothing_is_read_from_its_beginning(
    pool: asyncpg.Pool, tmp_path: Path
) -> None:
    async with AsyncExitStack() as opened:
        with tansu(tmp_path / "tansu") as broker:
            consuming = await opened.enter_async_context(Consuming(broker, pool).running())
            first = consuming.record(1)
            await put(broker, first, consuming.record(2))
            await until(consuming.revisions, [1, 2])
        with tansu(tmp_path / "tansu") as again:
            assert again == broker
            await put(again, first, consuming.record(3))
            await until(consuming.revisions, [1, 2, 3], seconds=60)
            await opened.aclose()


async def sorted_of(found: Callable[[], Awaitable[list[int]]]) -> list[int]:
    return sorted(await found())


async def test_many_that_begin_at_once_make_their_tables_once(pool: asyncpg.Pool) -> None:
    for number in range(5):
        await asyncio.gather(*(PostgresInbox(pool, prefix=f"at_once_{number}_").prepare() for _ in range(8)))
    made = await pool.fetchval("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'at_once_%'")
    assert made == 10


async def test_what_is_old_is_forgotten_and_nothing_else(pool: asyncpg.Pool) -> None:
    inbox = PostgresInbox(pool, prefix="forgetting_")
    await inbox.prepare()
    await pool.execute(
        "INSERT INTO forgetting_inbox SELECT 'keep', gen_random_uuid(), now() - make_interval(days => age)"
        " FROM (VALUES (29, 3), (31, $1::int)) AS old (age, number), generate_series(1, number)",
        FORGOTTEN_ROWS_MAX + 1,
    )
    await inbox.prepare()
    assert await pool.fetchval("SELECT count(*) FROM forgetting_inbox") == 3


async def test_a_database_without_a_connection_left_is_away(pool: asyncpg.Pool, databases: Databases) -> None:
    """It is no fault of the event's: it must be waited for, and not given up after a second and a half."""
    name = unique("crowded").replace("-", "_")
    own = await databases.create(template="template0")
    await pool.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    subscriptions = Subscriptions()
    subscriptions.subscribe(ASSIGNED)(Consuming("", pool).handle)
    headers, value = record(str(uuid4()), 1)
    event = read_event(ASSIGNED, [(header, text) for header, text in headers.items() if text is not None], value)
    crowded = own.set(username=name, password="x")
    async with asyncpg.create_pool(dsn(crowded), min_size=0, max_size=1) as empty:
        inbox = PostgresInbox(empty, prefix="crowded_")
        with pytest.raises(InboxAway, match="TooManyConnections"):
            await inbox.prepare()
        with pytest.raises(InboxAway, match="TooManyConnections"):
            async with inbox.applying(event, subscriptions.all[0]):
                raise AssertionError("it was applied")
