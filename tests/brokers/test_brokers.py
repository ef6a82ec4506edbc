"""What each broker does for us: Apache Kafka keeps and dedupes, the embedded one only carries."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.brokers.apache_kafka import apache_kafka, available
from tests.brokers.tansu import tansu

TOPIC = "tenant.module.assigned"
MESSAGES = [(f"organization-{n % 7}".encode(), f"message {n}".encode()) for n in range(100)]


def test_apache_kafka_takes_an_idempotent_producer_and_keeps_its_messages(tmp_path: Path) -> None:
    if (reason := available()) is not None:
        assert os.environ.get("REQUIRE_APACHE_KAFKA") != "1", reason
        pytest.skip(reason)
    with apache_kafka(tmp_path / "a b") as bootstrap:
        asyncio.run(create_topic(bootstrap))
        asyncio.run(produce(bootstrap, enable_idempotence=True))
        assert sorted(asyncio.run(consume(bootstrap))) == sorted(MESSAGES)
    host, _, port = bootstrap.partition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    with apache_kafka(tmp_path / "a b") as again:
        assert again == bootstrap
        assert sorted(asyncio.run(consume(again))) == sorted(MESSAGES)


def test_the_embedded_broker_carries_messages(tmp_path: Path) -> None:
    with tansu(tmp_path) as bootstrap:
        asyncio.run(create_topic(bootstrap))
        asyncio.run(produce(bootstrap, enable_idempotence=False))
        assert sorted(asyncio.run(consume(bootstrap))) == sorted(MESSAGES)


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=3, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, *, enable_idempotence: bool) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=enable_idempotence
    ) as producer:
        sent = [await producer.send(TOPIC, value=value, key=key) for key, value in MESSAGES]
        async with asyncio.timeout(30):
            await asyncio.gather(*sent)


async def consume(bootstrap: str) -> list[tuple[bytes | None, bytes | None]]:
    async with AIOKafkaConsumer(
        TOPIC, bootstrap_servers=bootstrap, group_id="readers", auto_offset_reset="earliest", enable_auto_commit=False
    ) as consumer:
        async with asyncio.timeout(60):
            records = [await anext(consumer) for _ in MESSAGES]
        return [(record.key, record.value) for record in records]
