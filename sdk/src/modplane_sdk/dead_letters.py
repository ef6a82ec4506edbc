"""What could not be applied, on `<module>.dlq`: the record as it was, and why.

Rare, so it keeps no connection. Never holds when to give up (consumer.py).
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError

log = logging.getLogger("modplane_sdk.consumer")

SEND_SECONDS = 15.0
STOP_SECONDS = 10.0
HANG_UP_SECONDS = 1.0
VALUE_BYTES_MAX = 512 * 1024  # a broker takes 1 MiB by default
Record: TypeAlias = ConsumerRecord[bytes, bytes]


@dataclass(frozen=True)
class DeadLetters:
    """`module`: whose. `replication`: of the topic, when it has to be made."""

    module: str
    bootstrap: str
    replication: int = 1

    @property
    def topic(self) -> str:
        return f"{self.module}.dlq"

    async def send(
        self, partition: TopicPartition, offset: int, fault: Exception, *, attempts: int, record: Record | None
    ) -> None:
        """Raises KafkaError, OSError or TimeoutError. `record`: None when it could not even be read.

        The error's text stays in the log: it may show what a tenant has written.
        """
        log.error("given up: %s[%s]@%s: %r", partition.topic, partition.partition, offset, fault)
        told = {
            "dlq_consumer": self.module,
            "dlq_topic": partition.topic,
            "dlq_partition": str(partition.partition),
            "dlq_offset": str(offset),
            "dlq_error_class": type(fault).__name__,
            "dlq_attempts": str(attempts),
        }
        why = [(name, text.encode()) for name, text in told.items()]
        async with asyncio.timeout(SEND_SECONDS):
            await self._make_topic()
            producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
            try:
                await producer.start()
                await self._put(producer, record, why)
            finally:
                await stop_client(producer, seconds=STOP_SECONDS)

    async def _put(self, producer: AIOKafkaProducer, record: Record | None, why: list[tuple[str, bytes]]) -> None:
        if record is not None:
            value = record.value if record.value is None else record.value[:VALUE_BYTES_MAX]
            if value is None and record.key is None:
                value = b""  # the library sends no message that has neither
            with contextlib.suppress(MessageSizeTooLargeError):
                await producer.send_and_wait(self.topic, value, key=record.key, headers=[*record.headers, *why])
                return
        # where it is has to do: it may have filled a message without what we have to say of it
        await producer.send_and_wait(self.topic, b"", headers=why)

    async def _make_topic(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            await admin.start()
            topic = NewTopic(self.topic, num_partitions=1, replication_factor=self.replication)
            with contextlib.suppress(TopicAlreadyExistsError):
                await admin.create_topics([topic])
        finally:
            await admin.close()


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer, *, seconds: float) -> None:
    """At most that long; then its tasks are ended and its connections closed, which stop() comes to last."""
    if await _within(client.stop(), seconds):
        return
    is_producer = isinstance(client, AIOKafkaProducer)
    for part in (client._sender, client.client) if is_producer else (client._fetcher, client._client):
        if part is not None:
            await _within(part.close(), HANG_UP_SECONDS)


async def _within(stopping: Coroutine[Any, Any, None], seconds: float) -> bool:
    """Whether it has ended. Not by asyncio.timeout: aiokafka swallows the cancellation, and may wait for ever then."""
    task = asyncio.ensure_future(stopping)
    await asyncio.wait([task], timeout=seconds)
    has_ended = task.done()
    if not has_ended:
        task.cancel()
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    return has_ended
