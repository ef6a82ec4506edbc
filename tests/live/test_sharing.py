"""Subscriptions that are the same are executed once: everybody still gets what an execution of his own would give."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection

from auth.actor import Role
from tests.live.clients import SECONDS, opened_socket, over_sse, over_websocket, revisions, say
from tests.live.conftest import ONE_BROKER, Live
from tests.live.tables import held_lock
from tests.support.platform import token
from tests.support.stories import assign, create_company, register, rename, set_config, sign_up, unique

pytestmark = ONE_BROKER
FIELDS = "{ id type revision cursor occurredAt moduleCode payload organization { id name revision } }"
EVENTS = f"subscription($o: ID, $a: String) {{ moduleEvents(organizationId: $o, after: $a) {FIELDS} }}"
COMPANIES = """subscription($o: ID, $a: String) { moduleEvents(organizationId: $o, after: $a) {
  revision organization { companies(first: 1) { nodes { id } } } } }"""
CONFIG = """subscription($o: ID!, $m: String!) { effectiveConfigChanged(organizationId: $o, module: $m) {
  revision values patch } }"""


async def ask(socket: ClientConnection, query: str, id: str = "1", **variables: Any) -> None:
    await say(socket, type="subscribe", id=id, payload={"query": query, "variables": variables})


async def hear(socket: ClientConnection) -> bytes:
    async with asyncio.timeout(SECONDS):
        return await socket.recv(decode=False)


async def hear_all(sockets: list[ClientConnection]) -> list[bytes]:
    return [await hear(socket) for socket in sockets]


async def sockets_on(live: Live, stack: AsyncExitStack, count: int, *, bearer: str | None = None) -> list[Any]:
    opened = [opened_socket(live.platform, token=bearer) for _ in range(count)]
    return [await stack.enter_async_context(each) for each in opened]


async def test_the_bytes_are_those_of_an_execution_of_ones_own(live: Live) -> None:
    organization = await sign_up(live.platform)
    fixed = f'subscription {{ moduleEvents(organizationId: "{organization}", after: "v1:1") {FIELDS} }}'
    async with AsyncExitStack() as stack:
        *sharing, alone = await sockets_on(live, stack, 9)
        await ask(alone, fixed)  # says in its own way where to begin, so that nobody else's is the same
        for socket in sharing:
            await ask(socket, EVENTS, o=organization, a="v1:1")
        for number in range(20):
            await rename(live.platform, organization, f"Nämlich {number} ")
            expected = await hear(alone)
            assert json.loads(expected)["payload"]["data"]["moduleEvents"]["revision"] == number + 2
            assert set(await hear_all(sharing)) == {expected}


async def test_an_event_costs_one_execution_however_many_hear_it(live: Live) -> None:
    organization = await sign_up(live.platform)
    counts = []
    for size in (1, 12):
        async with AsyncExitStack() as stack:
            after = f"v1:{await rename(live.platform, organization)}"
            sockets = await sockets_on(live, stack, size)
            for number, socket in enumerate(sockets):
                await ask(socket, EVENTS, str(number), o=organization, a=after)
            await rename(live.platform, organization)  # with this they have caught up
            await hear_all(sockets)
            with live.platform.statements() as counted:
                await rename(live.platform, organization)
                heard = await hear_all(sockets)
            counts.append(sum("FROM organizations" in text for text in counted.texts))
            assert len({message.split(b'"payload":')[1] for message in heard}) == 1
    assert counts[0] == counts[1] > 0


async def test_rights_part_what_the_document_joins(live: Live) -> None:
    """The same document and variables: what one may not see reaches none of those who share with him."""
    code = await register(live.platform, unique("inner"), tier="INTERNAL")
    organization = await sign_up(live.platform)
    mine = await create_company(live.platform, organization)
    bearers = {
        "platform": token(),
        "ann": token(Role.ORGANIZATION_ADMIN, subject="ann", organization=organization),
        "bob": token(Role.ORGANIZATION_ADMIN, subject="bob", organization=organization),
        "bound": token(Role.MEMBER, company=mine, organization=organization),
    }
    async with AsyncExitStack() as stack:
        heard = {
            name: await stack.enter_async_context(
                over_websocket(live.platform, token=bearer, organization=organization, after="v1:2")
            )
            for name, bearer in bearers.items()
        }
        await rename(live.platform, organization)
        for subscriber in heard.values():  # all have caught up, and share whatever they may
            assert revisions(await subscriber.take(1)) == [3]
        await asyncio.sleep(0.2)
        assert (await assign(live.platform, organization, code))["errors"] == []  # 4: administrators' business only
        await create_company(live.platform, organization)  # 5: none of another company's
        assert await rename(live.platform, organization) == 6
        expected = {"platform": [4, 5, 6], "ann": [5, 6], "bob": [5, 6], "bound": [6]}
        for name, subscriber in heard.items():
            assert revisions(await subscriber.take(len(expected[name]))) == expected[name]
        for subscriber in heard.values():
            await subscriber.nothing_else(0.1)


async def test_who_joins_in_the_middle_hears_all_from_then_on_once(live: Live) -> None:
    """Newcomers without `after`, some from a cursor, over both transports, while somebody writes all the time."""
    organization = await sign_up(live.platform)
    last, begun, end = 0, 0, 0

    async def write() -> None:
        """Until all have heard something, however slow they are. The end is known before it is written."""
        nonlocal last, end
        while last < 150 or begun < 16:
            last = await rename(live.platform, organization)
        end = last + 1
        last = await rename(live.platform, organization)

    async def follow(number: int) -> None:
        nonlocal begun
        await asyncio.sleep(number * 0.03)
        over = over_websocket if number % 3 else over_sse
        begin = last
        after = f"v1:{begin}" if number % 2 else None
        async with over(live.platform, organization=organization, after=after) as subscriber:
            heard = revisions(await subscriber.take(1))
            begun += 1
            if after is None:
                assert heard[0] > begin
            else:
                assert heard[0] == begin + 1
            while heard[-1] != end:
                heard += revisions(await subscriber.take(1))
            assert heard == list(range(heard[0], end + 1))

    async with over_websocket(live.platform, organization=organization, after="v1:1") as first:
        await asyncio.gather(write(), *(follow(number) for number in range(16)))
        assert revisions(await first.take(end - 1)) == list(range(2, end + 1))


async def test_what_fails_for_a_moment_is_nobodys_event(live: Live) -> None:
    """The tables behind an event are out of reach when it comes: it is tried again before it is told to all."""
    organization = await sign_up(live.platform)
    company = await create_company(live.platform, organization)
    async with AsyncExitStack() as stack:
        sockets = await sockets_on(live, stack, 5)
        for socket in sockets:
            await ask(socket, COMPANIES, o=organization, a="v1:1")
        await hear_all(sockets)
        async with held_lock(live.database, "companies"):
            await rename(live.platform, organization)
            await asyncio.sleep(2.5)  # longer than a statement waits for a lock
        for message in await hear_all(sockets):
            payload = json.loads(message)["payload"]
            assert payload == {
                "data": {"moduleEvents": {"revision": 3, "organization": {"companies": {"nodes": [{"id": company}]}}}}
            }
        await rename(live.platform, organization)
        told = [
            json.loads(message)["payload"]["data"]["moduleEvents"]["revision"] for message in await hear_all(sockets)
        ]
    assert told == [4] * 5


async def test_configurations_are_whole_for_each_and_then_the_same_patches(live: Live) -> None:
    code = await register(live.platform, unique("watched"), configuration={"defaults": {"a": 1}})
    organization = await sign_up(live.platform)
    await assign(live.platform, organization, code)
    async with AsyncExitStack() as stack:
        sockets = await sockets_on(live, stack, 4)
        for socket in sockets[:2]:
            await ask(socket, CONFIG, o=organization, m=code)
            assert json.loads(await hear(socket))["payload"]["data"]["effectiveConfigChanged"]["values"] == {"a": 1}
        await set_config(live.platform, organization, code, {"a": 2})
        assert len(set(await hear_all(sockets[:2]))) == 1
        for socket in sockets[2:]:
            await ask(socket, CONFIG, o=organization, m=code)
            assert json.loads(await hear(socket))["payload"]["data"]["effectiveConfigChanged"]["values"] == {"a": 2}
        for value in (3, 2, 3, 4):
            await set_config(live.platform, organization, code, {"a": value})
            (message,) = set(await hear_all(sockets))
            told = json.loads(message)["payload"]["data"]["effectiveConfigChanged"]
            assert told["patch"] == [{"op": "replace", "path": "/a", "value": value}]


async def test_an_invalid_twin_gets_its_own_answer(live: Live) -> None:
    """Refusals are never shared: each is made for who asked."""
    organization = await sign_up(live.platform)
    async with AsyncExitStack() as stack:
        good, bad, future = await sockets_on(live, stack, 3)
        await ask(good, EVENTS, o=organization, a="v1:1")
        await rename(live.platform, organization)
        await hear(good)
        await ask(bad, EVENTS, o=organization, a="nonsense")
        await ask(future, EVENTS, o=organization, a="v1:99")
        codes = [json.loads(await hear(socket))["payload"][0]["extensions"]["code"] for socket in (bad, future)]
        assert codes == ["BAD_USER_INPUT", "RESUME_GAP"]
        await rename(live.platform, organization)
        assert json.loads(await hear(good))["payload"]["data"]["moduleEvents"]["revision"] == 3
