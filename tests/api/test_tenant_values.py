"""What tenants ask for comes out of Redis where that is new enough: under the documented keys, and never older."""

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.embedded.supervisor import Endpoints
from auth.actor import Role
from cache.keys import floor_key
from models.base import PLATFORM_ID
from queries.tenant_values import TenantValues
from tests.conftest import Databases
from tests.support.platform import Platform, token
from tests.support.replicas import Pair, running_pair
from tests.support.stories import create_company, register, set_company_config, sign_up, unique

CONFIGS = """query($id: ID!, $module: String!, $company: ID!) { organization(id: $id) { name revision
  modules { version state assignedAt module { code } config }
  effectiveConfig(module: $module) { values revision leaves { pointer value layer setBy } }
  of: effectiveConfig(module: $module, companyId: $company) { values company { id } organization { id } }
  effectiveConfigs(companyId: $company) { module { code } values } } }"""
_documents = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(databases: Databases, servers: Endpoints) -> AsyncIterator[Pair]:
    async with running_pair(await databases.create(), servers) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def company(pair: Pair) -> str:
    made = await create_company(pair.one, pair.organization)
    await set_company_config(pair.one, made, pair.module, {"of": "the company"})
    return made


@pytest_asyncio.fixture
async def redis(servers: Endpoints) -> AsyncIterator[Any]:
    client = Redis.from_url(servers.redis)
    yield client
    await client.aclose()


async def ask(platform: Platform, pair: Pair, company: str, **headers: str) -> Any:
    """By a document that nobody has asked before: no kept answer fits, so that values have to be read."""
    document = f"{CONFIGS} # {next(_documents)}"
    variables = {"id": pair.organization, "module": pair.module, "company": company}
    for _ in range(2):  # the first time it is not known how new it must be: only what is asked again is worth a lease
        response = await platform.post(document, variables, token=pair.member, **headers)
        assert response.status_code == 200, response.text
    found: Any = response.json()["data"]["organization"]
    return found


async def test_values_are_kept_under_their_documented_keys(pair: Pair, company: str, redis: Any) -> None:
    seen = await ask(pair.one, pair, company)
    organization = f"org:{pair.organization}"
    config = f"{organization}:module:{pair.module}:effective"
    keys = {key.decode() async for key in redis.scan_iter(f"{organization}:*") if b":floor:" not in key}
    others = {f"{organization}:module:{each['module']['code']}:effective:{company}" for each in seen["modules"]}
    assert keys == {f"{organization}:info", f"{organization}:modules", config, *others}
    for key in keys:
        assert 0.85 * 300 - 5 <= await redis.ttl(key) <= 1.15 * 300
    stamp, version, _, content = (await redis.get(config)).split(b"|", 3)
    assert (int(stamp.split(b",")[0]), version) == (seen["revision"], b"1")
    assert json.loads(content) == [seen["effectiveConfig"]["revision"], seen["effectiveConfig"]["values"]]


async def test_the_other_replica_needs_no_statement_for_them(pair: Pair, company: str) -> None:
    expected = await ask(pair.one, pair, company)
    document = f"{CONFIGS} # {next(_documents)}"
    variables = {"id": pair.organization, "module": pair.module, "company": company}
    await ask(pair.other, pair, company)
    with pair.other.statements() as sent:
        response = await pair.other.post(document, variables, token=pair.member)
    assert response.json()["data"]["organization"] == expected
    # provenance is not kept, and what a company is called is read each time
    assert {each.split("(")[0] for each in sent.texts} <= {
        "SELECT * FROM tenants_config_layers",
        "SELECT companies.organization_id, companies.id, companies.name \nFROM companies \nWHERE companies.id = ANY ",
    }


async def test_a_write_is_read_at_once_whatever_the_document(pair: Pair, company: str) -> None:
    for number in range(15):
        writer, reader = (pair.one, pair.other) if number % 2 else (pair.other, pair.one)
        if number % 3:
            revision = await pair.configure(writer, number)
        else:
            payload = await set_company_config(writer, company, pair.module, {"of": number})
            revision = payload["revision"]
        for platform in (reader, writer):
            seen = await ask(platform, pair, company)
            assert seen["revision"] == revision
            value = seen["effectiveConfig"]["values"]["n"] if number % 3 else seen["of"]["values"]["of"]
            assert value == number


async def test_who_has_seen_more_than_redis_knows_reads_the_database(pair: Pair, company: str, redis: Any) -> None:
    """As if the commit's raise had been lost: then the floor, and with it the values, are of before it."""
    await pair.configure(pair.one, "before")
    await ask(pair.one, pair, company)
    (floor,) = [key async for key in redis.scan_iter(floor_key(UUID(pair.organization), "*"))]
    old = await redis.get(floor)
    kept = {key: await redis.get(key) async for key in redis.scan_iter(f"org:{pair.organization}:*")}
    revision = await pair.configure(pair.one, "after")
    for key, value in kept.items():
        await redis.set(key, value, ex=300)
    assert await redis.get(floor) == old
    seen = await ask(pair.other, pair, company, **{"x-min-revision": str(revision)})
    assert (seen["effectiveConfig"]["values"]["n"], seen["revision"]) == ("after", revision)
    await redis.delete(*kept)


async def test_a_floor_that_is_missing_becomes_what_was_read_after_that_and_not_before(
    pair: Pair, company: str, redis: Any
) -> None:
    """An answer knows revs from its beginning; a commit may have passed them, and its floor be evicted, meanwhile."""
    tenant, services = UUID(pair.organization), pair.one.services
    current = await pair.configure(pair.one, "later")
    await redis.flushall()
    values = TenantValues(
        services.values, services.database.tenant_reads, tenant, seen={tenant: current - 1, PLATFORM_ID: 1}
    )
    assert (await values.organizations([tenant]))[tenant].revision == current
    (floor,) = [key async for key in redis.scan_iter(floor_key(tenant, "*"))]
    assert await redis.get(floor) == str(current).encode()


async def test_what_others_wrote_under_a_key_is_no_value(pair: Pair, company: str, redis: Any) -> None:
    expected = await ask(pair.one, pair, company)
    keys = [key async for key in redis.scan_iter(f"org:{pair.organization}:*") if b":floor:" not in key]
    assert keys
    for key in keys:
        await redis.set(key, b"9999999,9999999|1|00000000|[]")
    assert await ask(pair.other, pair, company) == expected


async def test_another_tenants_values_under_a_key_are_none(pair: Pair, company: str, redis: Any) -> None:
    expected = await ask(pair.one, pair, company)
    neighbour = await sign_up(pair.one, name="Neighbour")
    query = "query($id: ID!) { organization(id: $id) { name modules { version } } }"
    bearer = token(Role.MEMBER, organization=neighbour)
    for number in range(3):
        await pair.one.data(f"{query} # {number}", {"id": neighbour}, token=bearer)
        await pair.one.data(f"{query} # {number}", {"id": neighbour}, token=bearer)
    for name in ("info", "modules"):
        await redis.set(f"org:{pair.organization}:{name}", await redis.get(f"org:{neighbour}:{name}"), ex=300)
    assert await ask(pair.other, pair, company) == expected


async def test_what_does_not_exist_leaves_no_key(pair: Pair, redis: Any) -> None:
    for missing in (unique("nothing"), await register(pair.one, unique("not-assigned"))):
        found = await ask_config(pair, missing, str(uuid4()))
        assert found == {"effectiveConfig": None, "of": None}
        assert [key async for key in redis.scan_iter(f"org:{pair.organization}:module:{missing}:*")] == []


async def ask_config(pair: Pair, module: str, company: str) -> Any:
    document = f"""query($id: ID!, $module: String!, $company: ID!) {{ organization(id: $id) {{
      effectiveConfig(module: $module) {{ values }}
      of: effectiveConfig(module: $module, companyId: $company) {{ values }} }} }} # {next(_documents)}"""
    variables = {"id": pair.organization, "module": module, "company": company}
    for _ in range(2):
        found = await pair.one.data(document, variables, token=pair.member)
    return found["organization"]


@pytest.mark.parametrize("role", [Role.ORGANIZATION_ADMIN, Role.COMPANY_ADMIN, Role.MEMBER])
async def test_who_shares_a_value_keeps_to_its_own_rights(pair: Pair, company: str, role: Role) -> None:
    await ask(pair.one, pair, company)
    other = await create_company(pair.one, pair.organization)
    bearer = token(role, organization=pair.organization, company=other if role is Role.COMPANY_ADMIN else None)
    query = "query($c: ID!, $m: String!) { company(id: $c) { effectiveConfig(module: $m) { values } } }"
    for _ in range(2):
        found = await pair.one.data(query, {"c": company, "m": pair.module}, token=bearer)
    assert (found["company"] is None) == (role is Role.COMPANY_ADMIN)


async def test_all_is_right_after_a_flush(pair: Pair, company: str, redis: Any) -> None:
    expected = await ask(pair.one, pair, company)
    await redis.flushall()
    assert await ask(pair.one, pair, company) == await ask(pair.other, pair, company) == expected
