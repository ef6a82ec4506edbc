"""A new version is rolled out process by process, and no client notices."""

import asyncio
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from events.inbox import CONSUMER
from tests.brokers.apache_kafka import apache_kafka, available
from tests.conftest import Databases
from tests.process.programs import end, run, start
from tests.process.rolling_restart import Member, restart_under_load

GRACE_SECONDS = "2"  # a balancer that is held up for a second notices all the same
APIS = REACTIONS = 2
GROUP_OFFSETS = TopicPartition("__consumer_offsets", 0)  # the tests' Kafka has one partition of it
GROUP_METADATA = 2  # the version of the keys of that kind of record


@pytest.fixture
def kafka(servers: Endpoints, tmp_path: Path) -> Iterator[str]:
    """Apache Kafka where it can run: that is the one whose groups count."""
    if available() is not None:
        yield servers.kafka
        return
    with apache_kafka(tmp_path / "kafka") as bootstrap:
        yield bootstrap


@pytest.mark.timeout(240)
async def test_nobody_notices(databases: Databases, servers: Endpoints, kafka: str, tmp_path: Path) -> None:
    database = await databases.create()
    given = {
        "DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "REDIS_URL": servers.redis,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "MODPLANE_DRAIN_GRACE_SECONDS": GRACE_SECONDS,
    }
    bearer = run("token", "--role", "SUPER_ADMIN", data_dir=tmp_path / "data").stdout.strip()
    with ExitStack() as stack:
        relay = member(stack, tmp_path, "relay", given)
        rolled = [
            *(member(stack, tmp_path, "api", given, number=number) for number in range(1, APIS + 1)),
            *(member(stack, tmp_path, "reactions", given, number=number) for number in range(1, REACTIONS + 1)),
        ]
        await asyncio.gather(*(each.up() for each in (relay, *rolled)))
        is_apache = kafka != servers.kafka
        before = await generation(kafka) if is_apache else 0
        tally = await restart_under_load(rolled, bearer, seconds_between=0.3)
        after = await generation(kafka) if is_apache else 0
    assert (tally.failed, tally.wrong) == ([], [])
    assert tally.exit_codes == [0] * len(rolled)
    assert tally.requests > 300
    assert tally.events > 200
    assert tally.connections >= 6 + 6  # each of the six subscribers was sent elsewhere at least once
    # one when a member leaves, one when it is back, and one more when that comes while the group is still agreeing
    assert after - before <= 3 * REACTIONS


def member(stack: ExitStack, directory: Path, roles: str, given: dict[str, str], *, number: int = 1) -> Member:
    """A process with these roles, ended whatever happens."""
    port = choose_port(None, taken=()) if roles == "api" else None
    log = directory / f"{roles}-{number}.log"
    data = str(directory / "data")

    def start_anew() -> subprocess.Popen[bytes]:
        log.write_text("")
        return start("serve", "--roles", roles, log=log, data_dir=data, MODPLANE_PORT=str(port or 0), **given)

    made = Member(name=log.stem, start=start_anew, is_up=lambda: "ready: " in log.read_text(), port=port)
    stack.callback(end_of, made)
    return made


def end_of(made: Member) -> None:
    if made.process is not None:
        end(made.process)


async def generation(bootstrap: str) -> int:
    """How often the consumer group has been balanced, as Apache Kafka has written it down."""
    found = 0
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, exclude_internal_topics=False, auto_offset_reset="earliest"
    )
    async with consumer:
        consumer.assign([GROUP_OFFSETS])
        last = (await consumer.end_offsets([GROUP_OFFSETS]))[GROUP_OFFSETS]
        while await consumer.position(GROUP_OFFSETS) < last:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    if record.key and record.value and is_of_group(record.key):
                        found = generation_in(record.value)
    return found


def is_of_group(key: bytes) -> bool:
    version, size = struct.unpack_from(">hh", key)
    return version == GROUP_METADATA and key[4 : 4 + size].decode() == CONSUMER


def generation_in(value: bytes) -> int:
    (size,) = struct.unpack_from(">h", value, 2)  # the protocol's name, behind the version
    (number,) = struct.unpack_from(">i", value, 4 + size)
    return int(number)
