"""The relay's Kafka producer: made when it is needed, thrown away whenever something is wrong with it.

Never decides what is sent, nor when.
"""

import asyncio
import contextlib

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnsupportedVersionError

from events.delivery import Replication
from events.envelope import Message
from events.stopping import stop_client
from events.topics import ensure_topics

START_SECONDS = 10.0
STOP_SECONDS = 2.0


class Producer:
    """At most one producer of the library at a time."""

    def __init__(self, bootstrap: str, replication: Replication) -> None:
        self._bootstrap = bootstrap
        self._replication = replication
        self._current: AIOKafkaProducer | None = None

    @property
    def is_connected(self) -> bool:
        return self._current is not None

    async def connect(self) -> None:
        """Raises KafkaError, OSError or TimeoutError without a broker."""
        async with asyncio.timeout(START_SECONDS):
            await ensure_topics(self._bootstrap, self._replication)
        self._current = await _started(self._bootstrap)

    async def send(self, message: Message) -> "asyncio.Future[object]":
        """Hand a message over; the future is its acknowledgement. Raises KafkaError."""
        assert self._current is not None, "connect first"
        acknowledgement: asyncio.Future[object] = await self._current.send(
            message.topic, value=message.value, key=message.key, headers=list(message.headers)
        )
        return acknowledgement

    async def drop(self) -> None:
        """Never flush: stop() of a producer whose broker is gone may wait for ever."""
        current, self._current = self._current, None
        if current is not None:
            await _stop(current)


async def _started(bootstrap: str) -> AIOKafkaProducer:
    """Idempotent where the broker knows how; a broker that does not only costs repeats, which consumers drop."""
    for enable_idempotence in (True, False):
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=enable_idempotence,
            linger_ms=5,
            max_batch_size=128 * 1024,
            request_timeout_ms=10_000,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            await _stop(producer)
            if not enable_idempotence or isinstance(error, UnsupportedVersionError):
                raise
            continue
        except BaseException:
            await _stop(producer)
            raise
        return producer
    raise AssertionError("unreachable: the second round returns or raises")


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(Exception):
        await stop_client(producer, seconds=STOP_SECONDS)
