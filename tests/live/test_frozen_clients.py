"""Clients of a broker that hangs, or that are not wanted any more: nothing of them is left behind in the process."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from events.delivery import Replication
from events.stopping import stop_client
from events.topics import ensure_topics
from tests.brokers.tansu import tansu
from tests.live.kafka_proxy import METADATA, kafka_proxy
from tests.live.servers import frozen, port_of

SECONDS = 0.5
SLACK = 4.0  # two parts to close, a second each at most, on a busy machine


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of its own: nobody else is to be held up by it."""
    with tansu(tmp_path_factory.mktemp("frozen") / "data") as bootstrap:
        yield bootstrap


@asynccontextmanager
async def nothing_left(port: int) -> AsyncIterator[None]:
    """Sockets to the broker that are open, and tasks of the library, are as they were."""
    before = _of_the_library(port)
    yield
    async with asyncio.timeout(5):
        while _of_the_library(port) != before:
            await asyncio.sleep(0.05)


def _of_the_library(port: int) -> tuple[set[int], set[int]]:
    gc.collect()
    transports = [each for each in gc.get_objects() if isinstance(each, asyncio.Transport) and not each.is_closing()]
    peers = {id(each) for each in transports if (each.get_extra_info("peername") or (0, 0))[1] == port}
    tasks = {id(task) for task in asyncio.all_tasks() if "aiokafka" in repr(task.get_coro())}
    return peers, tasks


async def test_of_a_producer_nothing_is_left(kafka: str) -> None:
    partitions = await ensure_topics(kafka, Replication())
    async with nothing_left(port_of(kafka)):
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        with frozen(port_of(kafka)):
            unsent = await producer.send(next(iter(partitions)).topic, b"never acknowledged")
            assert await _given_up(producer)
        unsent.cancel()


async def test_of_a_consumer_nothing_is_left(kafka: str) -> None:
    partitions: list[TopicPartition] = list(await ensure_topics(kafka, Replication()))
    async with nothing_left(port_of(kafka)):
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id="frozen", enable_auto_commit=True)
        await consumer.start()
        consumer.assign(partitions)
        await consumer.getmany(timeout_ms=500)
        with frozen(port_of(kafka)):
            assert await _given_up(consumer)


async def test_of_a_start_that_is_cancelled_while_it_asks_what_there_is_nothing_is_left(kafka: str) -> None:
    """The library knows nothing any more of its first connection then: it is closed when it is collected."""
    async with kafka_proxy(kafka) as proxy, nothing_left(port_of(proxy.address)):
        proxy.silenced, proxy.is_silent = METADATA, True
        consumer = AIOKafkaConsumer(bootstrap_servers=proxy.address)
        starting = asyncio.create_task(consumer.start())
        while not proxy.swallowed:
            await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        await stop_client(consumer, seconds=SECONDS)
        del consumer, starting


async def _given_up(client: AIOKafkaConsumer | AIOKafkaProducer) -> bool:
    async with asyncio.timeout(SECONDS + SLACK):
        return not await stop_client(client, seconds=SECONDS)
