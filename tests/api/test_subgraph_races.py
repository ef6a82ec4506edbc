"""Several who change the graph at once, and a composer that is away, crashes or stalls: the graph is always whole."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from app import composing as composing_module
from app.embedded.supervisor import Endpoints
from auth.actor import PLATFORM
from commands.subgraph.check import Verdict, decide, lease_check
from commands.transaction import Writer
from federation.composer import Composer, ComposerAway
from models.database import direct, parse_url
from models.ids import new_id
from rules.subgraph import SubgraphState
from tests.api.operations import connected
from tests.federation.install import require_composer
from tests.support.platform import Platform
from tests.support.stories import register
from tests.support.subgraphs import (
    Services,
    active,
    codes,
    composing,
    current,
    done,
    module_of,
    mutate,
    prefix_of,
    read,
    registered,
    running_services,
    sdl_of,
    settled,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(platform: Platform) -> AsyncIterator[Services]:
    require_composer()
    async with running_services() as running:
        yield running


async def test_two_activations_at_once_are_two_artifacts(platform: Platform, services: Services) -> None:
    """With two workers, neither of which knows of the other."""
    one, two = await module_of(platform), await module_of(platform)
    async with composing(platform), composing(platform):
        checked = [await registered(platform, services, module) for module in (one, two)]
        before = await current(platform)
        asked = [done(platform, "activateSubgraph", {"id": each["id"]}) for each in checked]
        found = [await settled(platform, each) for each in await asyncio.gather(*asked)]
        after = await current(platform)
    assert [each["state"] for each in found] == ["ACTIVE", "ACTIVE"]
    assert after["version"] == before["version"] + 2
    assert {each["name"] for each in after["inputs"]} >= {"platform", one, two}


async def test_two_versions_of_a_module_at_once_leave_one(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    await register(platform, module, "2.0.0")
    async with composing(platform), composing(platform):
        first = await registered(platform, services, module)
        second = await registered(platform, services, module, version="2.0.0")
        await asyncio.gather(*(done(platform, "activateSubgraph", {"id": each["id"]}) for each in (first, second)))
        for each in (first, second):
            await settled(platform, each)
        states = sorted([(await read(platform, each["id"]))["state"] for each in (first, second)])
    assert states == ["ACTIVE", "RETIRED"]
    assert [each["name"] for each in (await current(platform))["inputs"]].count(module) == 1


async def test_what_is_being_activated_is_not_deactivated(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    async with composing(platform):
        checked = await registered(platform, services, module)
    # no worker: it stays as it was asked for
    asked = await done(platform, "activateSubgraph", {"id": checked["id"]})
    again = await done(platform, "activateSubgraph", {"id": checked["id"]})
    assert again == asked
    (error,) = (await mutate(platform, "deactivateSubgraph", {"module": module}))["errors"]
    assert error["__typename"] == "StateTransitionError"
    async with composing(platform):
        assert (await settled(platform, asked))["state"] == "ACTIVE"


async def test_what_others_need_does_not_leave(platform: Platform, services: Services) -> None:
    """A module's own type that another one refers to: without it the graph would not compose."""
    one, two = await module_of(platform), await module_of(platform)
    name = prefix_of(one)
    async with composing(platform):
        needed = await active(platform, services, one)
        stub = f'extend type {name} @key(fields: "id") {{ id: ID! @external }}\n'
        field = f"of{name}: {name}"
        await active(platform, services, two, sdl_of(two, fields=field, more=stub))
        before = await current(platform)
        left = await settled(platform, await done(platform, "deactivateSubgraph", {"module": one}))
        assert (left["id"], left["state"]) == (needed["id"], "ACTIVE")
        assert any(each["severity"] == "ERROR" for each in left["findings"])
        assert await current(platform) == before


async def test_the_same_graph_is_not_published_again(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    await register(platform, module, "1.0.1")
    async with composing(platform):
        first = await active(platform, services, module)
        before = await current(platform)
        second = await active(platform, services, module, version="1.0.1")
        assert (await read(platform, first["id"]))["state"] == "RETIRED"
        after = await current(platform)
    async with composing(platform):  # a worker that starts finds nothing to renew
        await asyncio.sleep(0.5)
        assert await current(platform) == before == after
    assert second["state"] == "ACTIVE"


async def test_checks_that_stall_hold_no_activation_up(
    platform: Platform, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Composer] = []

    class Known(Composer):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    module, stalling = await module_of(platform), await module_of(platform)
    async with composing(platform):  # so that there is nothing to renew
        await current(platform)
    monkeypatch.setattr(composing_module, "Composer", Known)
    async with composing(platform):
        checked = await registered(platform, services, module)
        (busy,) = {composer.pid for composer in made} - {None}
        os.kill(busy or 0, signal.SIGSTOP)
        given = {"module": stalling, "version": "1.0.0", "sdl": sdl_of(stalling), "routingUrl": services.url(stalling)}
        asked = await done(platform, "registerSubgraph", given)
        await until_leased(platform, asked["id"])
        active = await settled(platform, await done(platform, "activateSubgraph", {"id": checked["id"]}))
        assert (active["state"], (await read(platform, asked["id"]))["state"]) == ("ACTIVE", "CHECKING")
        os.kill(busy or 0, signal.SIGCONT)
        assert (await settled(platform, asked))["state"] == "CHECKED"


async def until_leased(platform: Platform, subgraph: str) -> None:
    async with connected(platform) as connection, asyncio.timeout(10):
        while not await connection.fetchval("SELECT lease_id FROM subgraph_versions WHERE id = $1", subgraph):
            await asyncio.sleep(0.02)


async def test_a_lost_lease_decides_nothing(platform: Platform) -> None:
    """A worker that was held up for longer than its lease, and then has an answer."""
    module = await module_of(platform)
    given = {"module": module, "version": "1.0.0", "sdl": sdl_of(module), "routingUrl": "https://financial.test/"}
    subgraph = await done(platform, "registerSubgraph", given)
    shared = platform.services
    writer = Writer(database=shared.database, actor=PLATFORM, floor=shared.floor, wakeup=shared.wakeup)
    slow = await lease_check(shared.database, new_id())
    assert slow is not None
    assert (slow.module_id, slow.attempts) == (module, 1)
    assert await lease_check(shared.database, new_id()) is None
    await as_if_waited(platform)
    other = await lease_check(shared.database, new_id())
    assert other is not None
    assert (other.id, other.attempts) == (slow.id, 2)
    finding = {"severity": "ERROR", "code": "A", "message": "b", "line": None, "column": None, "coordinate": None}
    assert not await decide(writer, slow, Verdict(SubgraphState.CHECKED, [], stamped_sdl="type Query { a: Int }"))
    assert (await read(platform, subgraph["id"]))["state"] == "CHECKING"
    assert await decide(writer, other, Verdict(SubgraphState.FAILED, [finding]))
    assert not await decide(writer, other, Verdict(SubgraphState.FAILED, []))
    found = await read(platform, subgraph["id"])
    assert (found["state"], codes(found)) == ("FAILED", ["A"])


async def test_a_module_that_is_deleted_while_it_is_checked(platform: Platform, services: Services) -> None:
    module = await module_of(platform)
    services.delay[module] = 2
    services.sdl[module] = sdl_of(module)
    given = {"module": module, "version": "1.0.0", "sdl": sdl_of(module), "routingUrl": services.url(module)}
    async with composing(platform):
        before = await current(platform)
        asked = await done(platform, "registerSubgraph", given)
        await until_leased(platform, asked["id"])
        query = "mutation($code: String!) { deleteModule(input: {code: $code}) { errors { message } } }"
        assert (await platform.data(query, {"code": module}))["deleteModule"]["errors"] == []
        assert (await read(platform, asked["id"]))["state"] == "CHECKING"
        assert (await settled(platform, asked))["state"] == "CHECKED"
        (error,) = (await mutate(platform, "activateSubgraph", {"id": asked["id"]}))["errors"]
        assert error["__typename"] == "NotFoundError"
        assert await current(platform) == before


async def test_without_a_composer_a_registration_waits_and_says_why(
    platform: Platform, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = await module_of(platform)
    services.sdl[module] = sdl_of(module)
    given = {
        "module": module,
        "version": "1.0.0",
        "sdl": services.sdl[module],
        "routingUrl": services.url(module),
    }
    with monkeypatch.context() as patched:
        patched.setattr(composing_module, "Composer", lambda: Composer(node="no-such-node"))
        async with composing(platform):
            subgraph = await done(platform, "registerSubgraph", given)
            async with asyncio.timeout(60):
                while not (found := await read(platform, subgraph["id"]))["findings"]:
                    await asyncio.sleep(0.05)
            with pytest.raises(ComposerAway, match="make composer"):
                await Composer(node="no-such-node").compose(())
    assert (found["state"], codes(found)) == ("CHECKING", ["~COMPOSER_UNAVAILABLE"])
    assert "make composer" in found["findings"][0]["message"]
    await as_if_waited(platform)
    async with composing(platform):
        assert (await settled(platform, subgraph))["state"] == "CHECKED"


async def test_a_worker_without_a_composer_outlives_a_fault_of_the_database(
    platform: Platform, servers: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is to write down that it waits, and can't: the process would end, with all its roles."""
    module = await module_of(platform)
    given = {"module": module, "version": "1.0.0", "sdl": sdl_of(module), "routingUrl": "https://financial.test/"}
    url = parse_url(servers.postgres).set(database=platform.backends.database.admin.database)
    owner = await asyncpg.connect(**direct(url))
    add = f"ADD CONSTRAINT faulty CHECK (module_id <> '{module}' OR findings = '[]')"
    drop = "DROP CONSTRAINT IF EXISTS faulty"
    is_put_off = "SELECT lease_until IS NOT NULL AND lease_id IS NULL FROM subgraph_versions WHERE module_id = $1"
    monkeypatch.setattr(composing_module, "Composer", lambda: Composer(node="no-such-node"))
    try:
        await owner.execute(f"ALTER TABLE subgraph_versions {add}")
        subgraph = await done(platform, "registerSubgraph", given)
        async with composing(platform):
            async with asyncio.timeout(10):
                while not await owner.fetchval(is_put_off, module):
                    await asyncio.sleep(0.05)
            await owner.execute(f"ALTER TABLE subgraph_versions {drop}")
            await as_if_waited(platform)
            async with asyncio.timeout(10):
                while not (found := await read(platform, subgraph["id"]))["findings"]:
                    await asyncio.sleep(0.05)
        assert (found["state"], codes(found)) == ("CHECKING", ["~COMPOSER_UNAVAILABLE"])
    finally:
        await owner.execute(f"ALTER TABLE subgraph_versions {drop}")
        await owner.execute("UPDATE subgraph_versions SET state = 'FAILED' WHERE module_id = $1", module)
        await owner.close()


async def test_a_composer_that_stalls_is_a_finding(
    platform: Platform, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else may become of it, crashes say, is seen in tests/federation."""
    module = await module_of(platform)
    async with composing(platform):
        before = await current(platform)
    with monkeypatch.context() as patched:
        patched.setattr(composing_module, "Composer", lambda: Composer(seconds_max=0.01))
        async with composing(platform):
            failed = await registered(platform, services, module)
    assert (failed["state"], codes(failed)) == ("FAILED", ["COMPOSER_TIMEOUT"])
    assert await current(platform) == before


async def as_if_waited(platform: Platform) -> None:
    """What is not to be tried again yet may be."""
    async with connected(platform) as connection:
        await connection.execute("UPDATE subgraph_versions SET lease_until = now() - interval '1 second'")
