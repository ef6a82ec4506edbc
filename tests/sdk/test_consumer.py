"""Events as a module takes them: from a real broker, once, in the transaction of what they do; or given up."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from modplane_sdk.consumer import ATTEMPTS
from modplane_sdk.events import AnotherVersion, MalformedEvent, read_event

from app.embedded.supervisor import Endpoints
from tests.conftest import Databases, backends_on
from tests.live.records import body, put
from tests.sdk.consuming import (
    APPLIED,
    ASSIGNED,
    MODULE,
    World,
    consuming,
    dead_letter,
    dsn,
    make_subscriptions,
    record,
)
from tests.sdk.waiting import until
from tests.support.platform import running_platform
from tests.support.proxy import proxy
from tests.support.stories import assign, register, sign_up, unassign

CORPUS = Path(__file__).parents[1] / "events/corpus"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(databases: Databases, servers: Endpoints) -> AsyncIterator[World]:
    backends = backends_on(await databases.create(), servers)
    own = await databases.create(template="template0")
    async with (
        running_platform(backends, roles=frozenset({"api", "relay"})) as platform,
        asyncpg.create_pool(dsn(own), min_size=1, max_size=4) as pool,
    ):
        await pool.execute(APPLIED)
        await register(platform, MODULE)
        async with consuming(servers.kafka, pool):
            yield World(platform, servers.kafka, pool)


async def test_what_happens_at_the_platform_is_applied(world: World) -> None:
    organization = await sign_up(world.platform)
    given = await assign(world.platform, organization, MODULE)
    await until(lambda: world.applied(organization), [given["revision"]])
    taken = await unassign(world.platform, organization, MODULE)
    await until(lambda: world.applied(organization), [given["revision"], taken["revision"]])
    assert await world.applied(organization, "count") == [given["revision"]]


async def test_an_event_that_comes_again_is_applied_once(world: World) -> None:
    organization = str(uuid4())
    same, next_one = record(organization, 3), record(organization, 4)
    await put(world.kafka, same, same, next_one, same)
    await until(lambda: world.applied(organization, "count"), [3, 4])
    assert await world.applied(organization) == [3, 4]


async def test_a_state_never_goes_back_and_a_count_misses_nothing(world: World) -> None:
    organization = str(uuid4())
    await put(world.kafka, record(organization, 9), record(organization, 7), record(organization, 10))
    await until(lambda: world.applied(organization, "count"), [9, 7, 10])
    assert await world.applied(organization) == [9, 10]


async def test_other_modules_events_are_passed_over(world: World) -> None:
    organization = str(uuid4())
    await put(world.kafka, record(organization, 1, module="somebody-elses"), record(organization, 2))
    await until(lambda: world.applied(organization, "count"), [2])
    assert await world.applied(organization) == [2]


async def test_a_fault_that_passes_leaves_nothing_twice(world: World) -> None:
    organization = str(uuid4())
    await put(world.kafka, record(organization, 1, actor="shaky"), record(organization, 2))
    await until(lambda: world.applied(organization), [1, 2])
    assert await world.applied(organization, "count") == [1, 2]


async def test_what_cannot_be_applied_is_told_of_and_holds_nobody_up(world: World) -> None:
    organization, poisoned, broken = str(uuid4()), uuid4().bytes, uuid4().bytes
    # another organization's: its partition may be read later, and what is older than a state is passed over
    poison = record(str(uuid4()), 5, actor="poison")
    await put(world.kafka, poison, key=poisoned)
    await put(world.kafka, ({"ce_id": b"no uuid"}, b"no event"), key=broken)
    await put(world.kafka, record(organization, 6))
    await until(lambda: world.applied(organization), [6])
    headers, value = await dead_letter(world.kafka, lambda letter: letter.key == poisoned)
    other_headers, other_value = await dead_letter(world.kafka, lambda letter: letter.key == broken)
    assert (value, other_value) == (poison[1], b"no event")
    told = {name: text.decode() for name, text in headers.items() if name.startswith("dlq_")}
    assert told.pop("dlq_partition").isdigit()
    assert told.pop("dlq_offset").isdigit()
    assert told == {
        "dlq_consumer": MODULE,
        "dlq_topic": ASSIGNED,
        "dlq_error_class": "RuntimeError",
        "dlq_attempts": str(ATTEMPTS),
    }
    assert headers["ce_id"] == poison[0]["ce_id"]
    assert (other_headers["dlq_error_class"], other_headers["dlq_attempts"]) == (b"MalformedEvent", b"1")


async def test_a_database_that_is_away_is_waited_for(world: World, databases: Databases) -> None:
    own = await databases.create(template="template0")
    organization = str(uuid4())
    is_away = False
    async with proxy(lambda: None if is_away else own.port) as front:
        url = dsn(own.set(host="127.0.0.1", port=front.port))
        async with asyncpg.create_pool(url, min_size=1, max_size=2, timeout=2) as pool:
            await pool.execute(APPLIED)
            there = World(world.platform, world.kafka, pool)
            async with consuming(world.kafka, pool, "another-consumer"):
                await put(world.kafka, record(organization, 1, module="another-consumer"))
                await until(lambda: there.applied(organization), [1])
                is_away = True
                await end_connections(world.pool, own.database)
                await put(world.kafka, record(organization, 2, module="another-consumer"))
                await asyncio.sleep(3)
                assert front.refused > 0
                is_away = False
                await until(lambda: there.applied(organization), [1, 2])


async def end_connections(pool: asyncpg.Pool, database: str | None) -> None:
    await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database)


def told(record_headers: dict[str, bytes | None], **change: bytes | None) -> list[tuple[str, Any]]:
    """Headers as the library gives them."""
    return list({**record_headers, **change}.items())


def shaped(module: object = None, actor: object = "x", payload: object = None) -> bytes:
    return json.dumps({"module_id": module, "user_id": actor, "payload": {} if payload is None else payload}).encode()


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"ce_id": b"1"}, None),
        ({"ce_id": None}, None),
        ({"ce_rev": b"0"}, None),
        ({"ce_rev": b"x"}, None),
        ({"ce_rev": str(2**63).encode()}, None),
        ({"ce_time": b"yesterday"}, None),
        ({"ce_time": b"2026-01-01T00:00:00"}, None),
        ({"ce_organizationid": b"\xff"}, None),
        ({"ce_type": b"tenant.module.unassigned.v1"}, None),
        ({"ce_type": b"tenant.module.assigned.vx"}, None),
        ({}, b"[]"),
        ({}, b"{}"),
        ({}, b"\xff"),
        ({}, b"[" * 100_000),
        ({}, shaped(module=7)),
        ({}, shaped(actor=None)),
        ({}, shaped(payload=[])),
        ({}, shaped(payload={"modules": 7})),
        ({}, shaped(payload={"modules": [{}]})),
        ({}, shaped(payload={"company_id": 7})),
        ({}, shaped(payload={"company_id": "\0"})),
    ],
)
def test_what_is_no_event_is_never_taken_for_one(change: dict[str, bytes | None], value: bytes | None) -> None:
    headers, good = record(str(uuid4()), 1)
    with pytest.raises(MalformedEvent):
        read_event(ASSIGNED, told(headers, **change), good if value is None else value)


def test_a_version_of_the_future_is_neither_taken_nor_given_up() -> None:
    headers, good = record(str(uuid4()), 1)
    with pytest.raises(AnotherVersion, match=r"tenant\.module\.assigned\.v2"):
        read_event(ASSIGNED, told(headers, ce_type=b"tenant.module.assigned.v2"), good)


def test_what_others_put_beside_it_does_not_matter() -> None:
    headers, good = record(str(uuid4()), 1)
    event = read_event(ASSIGNED, told(headers, x_trace=b"\xff", x_empty=None), good)
    assert (event.revision, event.type) == (1, "tenant.module.assigned.v1")


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.stem)
def test_every_kind_of_event_of_the_platform_is_read(path: Path) -> None:
    sample = json.loads(path.read_text())
    headers = [(name, text.encode()) for name, text in sample["headers"].items()]
    event = read_event(path.name.removesuffix(".v1.json"), headers, json.dumps(sample["value"]).encode())
    assert (event.id, str(event.revision)) == (sample["headers"]["ce_id"], sample["headers"]["ce_rev"])
    assert event.payload == sample["value"]["payload"]


def test_of_several_modules_each_finds_its_own() -> None:
    headers, _ = record(str(uuid4()), 1, ce_type=b"tenant.module.bulk_assigned.v1")
    payload = {"modules": ["crm", MODULE], "assignments": [{"module": "crm"}, {"module": MODULE, "state": "ACTIVE"}]}
    event = read_event("tenant.module.bulk_assigned", told(headers), body(module_id=None, payload=payload))
    assert event.modules == {"crm", MODULE}
    assert event.assignment_of(MODULE) == {"module": MODULE, "state": "ACTIVE"}
    assert event.assignment_of("hr") is None


def test_a_subscription_that_is_a_mistake_is_not_taken() -> None:
    subscriptions = make_subscriptions()
    with pytest.raises(ValueError, match=r"tenant\.module"):
        subscriptions.subscribe("module.assigned")
    with pytest.raises(ValueError, match="there is a handler"):
        subscriptions.subscribe(ASSIGNED)(subscriptions.all[0].handler)
