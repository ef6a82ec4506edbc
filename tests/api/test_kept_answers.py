"""Kept answers over two replicas: used while nothing has changed, never older than what has been told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from redis.asyncio import Redis

from app.embedded.supervisor import Endpoints
from auth.actor import Role
from tests.conftest import Databases
from tests.support.platform import Platform, token
from tests.support.replicas import READ, Pair, running_pair
from tests.support.stories import assign, change_module, create_company, register, sign_up, unique

MODULES = "{ modules(first: 200) { nodes { code name } } }"
UPDATE = "mutation($input: UpdateModuleInput!) { updateModule(input: $input) { errors { message } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(databases: Databases, servers: Endpoints) -> AsyncIterator[Pair]:
    async with running_pair(await databases.create(), servers) as running:
        yield running


async def is_kept(platform: Platform, query: str, variables: dict[str, Any], bearer: str) -> bool:
    """Whether the answer is a kept one, and comes without a statement; the first time may be the one that fills."""
    for _ in range(5):
        before = await hits(platform)
        with platform.statements() as counted:
            await platform.data(query, variables, token=bearer)
        if counted.texts == [] and await hits(platform) > before:
            return True
    return False


async def hits(platform: Platform) -> float:
    """How many answers were kept ones."""
    lines = (await platform.client.get(platform.url.replace("/graphql", "/metrics"))).text.splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("modplane_answers_hits_total ")]
    return float(found)


async def statements_of(platform: Platform, pair: Pair, **headers: str) -> int:
    with platform.statements() as counted:
        await pair.read(platform, **headers)
    return counted.count


async def test_asked_again_no_statement_is_sent_and_the_bytes_are_the_same(pair: Pair) -> None:
    variables = {"id": pair.organization, "module": pair.module}
    first = await pair.one.post(READ, variables, token=pair.member)
    assert await is_kept(pair.one, READ, variables, pair.member)
    again = await pair.one.post(READ, variables, token=pair.member)
    assert again.content == first.content
    assert again.headers["x-org-revision"] == str(first.json()["data"]["organization"]["revision"])


async def test_a_write_through_the_other_replica_is_read_at_once(pair: Pair) -> None:
    for number in range(20):
        writer, reader = (pair.one, pair.other) if number % 2 else (pair.other, pair.one)
        revision = await pair.configure(writer, number)
        for platform in (reader, writer):
            seen = await pair.read(platform)
            assert (seen["effectiveConfig"]["values"]["n"], seen["revision"]) == (number, revision)


async def test_every_kind_of_change_of_an_organization_is_read_at_once(pair: Pair) -> None:
    before = await pair.read(pair.other)
    rename = "mutation($i: UpdateOrganizationInput!) { updateOrganization(input: $i) { errors { message } } }"
    await pair.one.data(rename, {"i": {"organizationId": pair.organization, "name": "Renamed"}})
    assert (await pair.read(pair.other))["name"] == "Renamed"
    await create_company(pair.one, pair.organization)
    assert len((await pair.read(pair.other))["companies"]["nodes"]) == len(before["companies"]["nodes"]) + 1
    another = await register(pair.one, unique("kept"))
    await assign(pair.one, pair.organization, another)
    codes = [each["module"]["code"] for each in (await pair.read(pair.other))["modules"]]
    assert another in codes


async def test_a_change_of_the_registry_is_read_at_once_by_everybody(pair: Pair) -> None:
    code = pair.module
    for number in range(5):
        for read in (pair.one, pair.other):
            await read.data(MODULES, token=pair.member)
        name = f"Name {number}"
        await pair.one.data(UPDATE, {"input": {"code": code, "name": name}})
        for reader in (pair.other, pair.one):
            for bearer in (pair.member, "", token(Role.MEMBER, organization=await sign_up(reader))):
                nodes = (await reader.data(MODULES, token=bearer))["modules"]["nodes"]
                assert {"code": code, "name": name} in nodes
    await change_module(pair.one, "deactivateModule", code)
    states = {each["module"]["code"]: each["module"]["isActive"] for each in (await pair.read(pair.other))["modules"]}
    assert states[code] is False
    await change_module(pair.one, "activateModule", code)


async def test_rights_do_not_share_answers(pair: Pair) -> None:
    company = await create_company(pair.one, pair.organization)
    await create_company(pair.one, pair.organization)
    variables = {"id": pair.organization, "module": pair.module}
    foreign = token(Role.MEMBER, organization=await sign_up(pair.one))
    bound = token(Role.MEMBER, organization=pair.organization, company=company)
    for _ in range(2):
        mine = await pair.one.post(READ, variables, token=pair.member)
        theirs = await pair.one.post(READ, variables, token=foreign)
        bounds = await pair.one.post(READ, variables, token=bound)
        nobodys = await pair.one.post(READ, variables, token=None)
        assert len(mine.json()["data"]["organization"]["companies"]["nodes"]) > 1
        assert theirs.json() == {"data": {"organization": None}}
        assert len(bounds.json()["data"]["organization"]["companies"]["nodes"]) == 1
        assert nobodys.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_revoked_token_gets_no_kept_answer(pair: Pair) -> None:
    variables = {"id": pair.organization, "module": pair.module}
    bearer = token(Role.MEMBER, organization=pair.organization, subject="fired", seconds=3600)
    assert (await pair.one.post(READ, variables, token=bearer)).status_code == 200
    revoke = "mutation($i: RevokeTokensInput!) { revokeTokens(input: $i) { errors { message } } }"
    await pair.one.data(revoke, {"i": {"organizationId": pair.organization, "subject": "fired"}})
    assert (await pair.one.post(READ, variables, token=bearer)).status_code == 401


async def test_whoever_has_seen_more_than_the_floor_gets_nothing_older(pair: Pair, servers: Endpoints) -> None:
    """The floor goes back, as it would if Redis lost its memory and told an old one: the client's token sees to it."""
    await pair.configure(pair.one, "old")
    await pair.read(pair.other)
    async with Redis.from_url(servers.redis) as redis:
        (key,) = [each async for each in redis.scan_iter(f"*{pair.organization}*:f*")]
        old = await redis.get(key)
        assert isinstance(old, bytes)
        revision = await pair.configure(pair.one, "new")
        await redis.set(key, old)
        fresh = await pair.read(pair.other, **{"x-min-revision": str(revision)})
        assert fresh["effectiveConfig"]["values"]["n"] == "new"
        await redis.delete(key)
    assert (await pair.read(pair.other))["effectiveConfig"]["values"]["n"] == "new"


async def test_a_revision_that_is_yet_to_come_is_answered_from_the_database(pair: Pair) -> None:
    variables = {"id": pair.organization, "module": pair.module}
    assert await is_kept(pair.one, READ, variables, pair.member)
    assert await statements_of(pair.one, pair, **{"x-min-revision": "999999999999"}) > 0


async def test_a_floor_that_redis_has_forgotten_is_found_again(pair: Pair, servers: Endpoints) -> None:
    await pair.read(pair.one)
    async with Redis.from_url(servers.redis) as redis:
        for number in range(3):
            await redis.flushall()
            revision = await pair.configure(pair.other, f"flushed {number}")
            await redis.flushall()
            seen = await pair.read(pair.one)
            assert (seen["effectiveConfig"]["values"]["n"], seen["revision"]) == (f"flushed {number}", revision)
            variables = {"id": pair.organization, "module": pair.module}
            assert await is_kept(pair.one, READ, variables, pair.member)


async def test_what_has_no_revision_is_never_kept(pair: Pair) -> None:
    volatile = [
        "{ viewer { subject } }",
        f'{{ events(organizationId: "{pair.organization}", first: 2) {{ nodes {{ id }} }} }}',
        f'{{ organization(id: "{pair.organization}") {{ name }} viewer {{ subject }} }}',
    ]
    for query in volatile:
        for subject in ("ann", "bob"):
            bearer = token(Role.ORGANIZATION_ADMIN, organization=pair.organization, subject=subject)
            first = await pair.one.post(query, token=bearer)
            assert "errors" not in first.json(), first.text
            assert "x-org-revision" not in first.headers
            if "subject" in query:
                assert first.json()["data"]["viewer"]["subject"] == subject
    admins = (
        f'{{ organization(id: "{pair.organization}") {{ effectiveConfig(module: "{pair.module}") {{ values }} }} }}'
    )
    for number in range(3):
        await pair.configure(pair.other, f"admin {number}")
        seen = (await pair.one.data(admins))["organization"]["effectiveConfig"]["values"]
        assert seen == {"n": f"admin {number}"}


async def test_errors_are_not_kept(pair: Pair) -> None:
    asked = f'effectiveConfig(module: "{pair.module}") {{ value(pointer: "x") }}'
    query = f'{{ organization(id: "{pair.organization}") {{ {asked} }} }}'
    before = await hits(pair.one)
    for _ in range(3):
        response = await pair.one.post(query, token=pair.member)
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert await hits(pair.one) == before


async def test_a_revision_that_is_none_is_refused_by_name(pair: Pair) -> None:
    for bad in ("-1", "1.5", "abc", "9" * 30, "1 2"):
        response = await pair.one.post(MODULES, {}, token=pair.member, **{"x-min-revision": bad})
        assert response.status_code == 400
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert "X-Min-Revision" in error["message"]


async def test_many_who_ask_the_same_at_once_cost_one_execution(pair: Pair) -> None:
    await pair.configure(pair.other, "for many")
    with pair.one.statements() as counted:
        seen = await asyncio.gather(*(pair.read(pair.one) for _ in range(100)))
    assert {json.dumps(each) for each in seen} == {json.dumps(seen[0])}
    assert seen[0]["effectiveConfig"]["values"]["n"] == "for many"
    alone = await statements_of(pair.one, pair, **{"x-min-revision": "999999999999"})
    assert counted.count <= 2 * alone


async def test_a_get_is_not_answered_with_what_a_post_was(pair: Pair) -> None:
    """The same bytes mean something else in a body than in an address."""
    body = b'{"query": "{ __typename }"}'
    sent = {"content-type": "application/json"}
    assert (await pair.one.client.post(pair.one.url, content=body, headers=sent)).json() == {
        "data": {"__typename": "Query"}
    }
    response = await pair.one.client.get(f"{pair.one.url}?{body.decode()}")
    assert response.status_code == 400


async def test_registry_revisions_count_for_those_without_an_organization(pair: Pair) -> None:
    query = "{ industries(first: 200) { nodes { code name } } }"
    create = "mutation($i: CreateIndustryInput!) { createIndustry(input: $i) { errors { message } } }"
    for number in range(3):
        for platform in (pair.one, pair.other):
            assert "errors" not in (await platform.post(query, token=None)).json()
        code = unique("kept-industry")
        await pair.one.data(create, {"i": {"code": code, "name": f"Kept {number}", "modules": []}})
        nodes = (await pair.other.post(query, token=None)).json()["data"]["industries"]["nodes"]
        assert code in [each["code"] for each in nodes]
