"""Topics in Kafka, made by whoever needs them first."""

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from events.types import PARTITIONS, TOPICS


async def ensure_topics(bootstrap: str, *, replication_factor: int = 1) -> list[TopicPartition]:
    """Create the topics that are missing; returns all our partitions. Raises KafkaError without a broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        missing = set(TOPICS) - set(await admin.list_topics())
        if missing:
            await admin.create_topics(
                [
                    NewTopic(name=topic, num_partitions=PARTITIONS, replication_factor=replication_factor)
                    for topic in sorted(missing)
                ]
            )
        described = await admin.describe_topics(list(TOPICS))
    finally:
        await admin.close()
    if not all(topic["partitions"] for topic in described):
        # a broker hears of new topics a moment after it has promised them
        raise UnknownTopicOrPartitionError("the broker does not know all its topics yet")
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]
