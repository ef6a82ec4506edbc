"""Topics in Kafka, made by whoever needs them first."""

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from events.delivery import Replication
from events.types import DLQ_TOPIC, PARTITIONS, TOPICS

ONE_REPLICA = Replication()


async def ensure_topics(bootstrap: str, replication: Replication = ONE_REPLICA) -> list[TopicPartition]:
    """Create the topics that are missing; returns the partitions with events. Raises KafkaError without a broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        missing = {*TOPICS, DLQ_TOPIC} - set(await admin.list_topics())
        if missing:
            # 1 is not said, so as not to undo what the cluster has for its default
            configs = {"min.insync.replicas": str(replication.min_insync)} if replication.min_insync > 1 else {}
            await admin.create_topics(
                [
                    NewTopic(
                        name=topic,
                        num_partitions=PARTITIONS,
                        replication_factor=replication.factor,
                        topic_configs=configs,
                    )
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
