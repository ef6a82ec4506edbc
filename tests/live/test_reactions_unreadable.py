"""A record on which the client library itself fails: set aside by its place, and everything around it is applied."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from app.embedded.supervisor import Endpoints
from app.serve import open_services
from events.consumer import Reactions
from tests.brokers.tansu import tansu
from tests.conftest import Databases, backends_on
from tests.live.records import TOPIC, adopted, assigned, put, texts

# Only the library's own writer in Python can be brought to write such a name. A broker of its own: nobody else here is
# meant to meet it.
SEND = """
import asyncio, sys
from aiokafka import AIOKafkaProducer
class Name(str):
    def encode(self, *_):
        return b"\\xff\\xfe"
async def main():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1], acks="all") as producer:
        await producer.send_and_wait(sys.argv[2], value=b"x", key=b"by hand", headers=[(Name("ab"), b"x")])
asyncio.run(main())
"""
UNTOLD = "SELECT count(*) FROM dead_event WHERE published_at IS NULL"
LETTERS = "SELECT error_class || ' ' || (headers IS NOT NULL) FROM dead_event ORDER BY 1"


async def test_a_record_that_the_library_cannot_read_is_passed_over(
    databases: Databases, servers: Endpoints, tmp_path: Path
) -> None:
    database, organization = await databases.create(), str(uuid4())
    with tansu(tmp_path / "tansu") as broker:
        async with open_services(backends_on(database, servers, kafka=broker)) as services:
            engine, floor = services.database.relay_engine, services.floor.raise_floors
            running = asyncio.create_task(Reactions(bootstrap=broker, engine=engine, raise_floors=floor).run())
            tail = asyncio.create_task(services.live.run())
            await put(broker, assigned(organization, "first", 1))
            assert await adopted(database, organization, until="first") == ["first"]
            await put(broker, *[assigned(organization, f"before-{n}", n + 2) for n in range(5)])
            environment = {**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"}
            program = [sys.executable, "-c", SEND, broker, TOPIC]
            await asyncio.to_thread(subprocess.run, program, env=environment, check=True, timeout=60)
            await put(broker, *[assigned(organization, f"later-{n}", n + 9) for n in range(5)])
            expected = ["before-0", "before-1", "before-2", "before-3", "before-4", "first"]
            expected += [f"later-{n}" for n in range(5)]
            assert await adopted(database, organization, until="later-4", seconds=60) == expected
            # of such a record there is neither key nor value, and it is told of all the same
            async with asyncio.timeout(30):
                while not await texts(database, LETTERS) or await texts(database, UNTOLD) != ["0"]:
                    await asyncio.sleep(0.1)
            assert await texts(database, LETTERS) == ["UnicodeDecodeError true"]
            assert not running.done()
            assert not tail.done()
            for task in (running, tail):
                task.cancel()
            await asyncio.wait([running, tail])
            assert running.cancelled()
