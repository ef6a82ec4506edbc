"""The platform client, on a real platform: few requests, typed refusals, tried again while the platform is away."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from modplane_sdk.api import Denied, PlatformAway, PlatformError, Refused
from modplane_sdk.bootstrap import make_api_key
from modplane_sdk.client import Company, EffectiveConfig, Organization, PlatformClient
from modplane_sdk.definition import ModuleDefinition
from starlette.types import Message, Receive, Scope, Send

from auth.actor import Role
from tests.services.services import create_key, serving
from tests.support.platform import Platform, token
from tests.support.stories import assign, create_company, register, sign_up, unique

SDL = """extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])
type Query {{ field{number}: Int }}"""


@dataclass
class Front:
    """In front of the platform: counts what passes, and answers the next ones itself with these statuses."""

    platform: Platform
    passed: list[Any] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    loses: str = ""  # the mutation whose next answer does not arrive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name != b"host"}
        if self.statuses:
            await _answer(send, self.statuses.pop(0), b"not now")
            return
        self.passed.append(json.loads(body))
        response = await self.platform.client.post(self.platform.url, content=body, headers=headers)
        if self.loses and self.loses in self.passed[-1]["query"]:
            self.loses = ""
            await _answer(send, 502, b"lost")
            return
        await _answer(send, response.status_code, response.content)


async def _body(receive: Receive) -> bytes:
    body, is_whole = b"", False
    while not is_whole:
        message: Message = await receive()
        body += message["body"]
        is_whole = not message.get("more_body")
    return body


async def _answer(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"retry-after", b"0")]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def client_of(platform: Platform, **credentials: Any) -> AsyncIterator[tuple[PlatformClient, Front]]:
    front = Front(platform)
    async with serving(front) as url, PlatformClient(url, **credentials) as client:
        yield client, front


def reader(organization: str) -> str:
    return token(Role.MODULE, organization=organization)


async def module_with_key(platform: Platform) -> tuple[ModuleDefinition, str]:
    definition = ModuleDefinition(code=await register(platform, unique("joined")))
    return definition, (await create_key(platform, definition.code))["secret"]


async def test_many_reads_of_a_tick_are_one_request(platform: Platform) -> None:
    organization = await sign_up(platform, name="Acme")
    module = await register(platform, unique("read"), configuration={"defaults": {"page": 20}})
    await assign(platform, organization, module, config={"page": 30})
    companies = [await create_company(platform, organization, f"Company {number}") for number in range(5)]
    async with client_of(platform, tenant_token=reader(organization)) as (client, front):
        found = await asyncio.gather(
            client.get_organization(organization),
            *(client.get_company(company) for company in [*companies, *companies]),
            client.get_effective_config(module, organization_id=organization),
            client.get_effective_config(module, organization_id=organization, company_id=companies[0]),
        )
        assert found[0] == Organization(organization, "Acme", "free")
        each = [Company(company, f"Company {number}", organization) for number, company in enumerate(companies)]
        assert list(found[1:11]) == [*each, *each]
        assert [config.values for config in found[11:] if isinstance(config, EffectiveConfig)] == [{"page": 30}] * 2
        (request,) = front.passed
        asked = [len(variable) for name, variable in request["variables"].items() if name.startswith("r")]
        assert sorted(asked) == [1, 1, 1, 5]


async def test_what_is_anothers_is_not_there(platform: Platform) -> None:
    own, other = await sign_up(platform), await sign_up(platform)
    company = await create_company(platform, other)
    async with client_of(platform, tenant_token=reader(own)) as (client, _):
        assert await client.get_organization(other) is None
        assert await client.get_company(company) is None
        assert await client.get_company("no id") is None
        assert await client.get_effective_config("hr", organization_id=other) is None


async def test_more_than_a_request_takes_is_several(platform: Platform) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization, "Known")
    unknown = [f"00000000-0000-7000-8000-{number:012}" for number in range(1200)]
    async with client_of(platform, tenant_token=reader(organization)) as (client, front):
        found = await asyncio.gather(*(client.get_company(each) for each in [*unknown, company]))
        assert found == [None] * 1200 + [Company(company, "Known", organization)]
        assert len(front.passed) == 2


async def test_an_api_key_reads_no_tenant(platform: Platform) -> None:
    definition, key = await module_with_key(platform)
    async with client_of(platform, api_key=key) as (client, front):
        with pytest.raises(Denied, match="tenant_token"):
            await client.get_company("00000000-0000-7000-8000-000000000001")
        assert (front.passed, definition.version) == ([], "1.0.0")


async def test_a_fault_is_told_to_all_who_wait(platform: Platform) -> None:
    async with client_of(platform, tenant_token="no token") as (client, front):
        answers = await asyncio.gather(client.get_company("1"), client.get_organization("2"), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Denied, Denied]
        assert {answer.code for answer in answers if isinstance(answer, Denied)} == {"UNAUTHENTICATED"}
        assert len(front.passed) == 1


async def test_a_module_is_registered_once_and_refused_for_another_code(platform: Platform) -> None:
    definition, key = await module_with_key(platform)
    later = ModuleDefinition(code=definition.code, version="1.1.0")
    async with client_of(platform, api_key=key) as (client, _):
        revision = await client.register_module(later)
        assert await client.register_module(later) == revision
        with pytest.raises(Refused) as raised:
            await client.register_module(ModuleDefinition(code=unique("foreign")))
        assert raised.value.code == "NOT_FOUND"


async def test_a_subgraph_is_registered_and_seen(platform: Platform) -> None:
    definition, key = await module_with_key(platform)
    url = "http://127.0.0.1:8001/graphql"
    async with client_of(platform, api_key=key) as (client, _):
        version = await client.register_subgraph(
            module=definition.code, version="1.0.0", sdl=SDL.format(number=1), routing_url=url
        )
        assert (version.state, version.version) == ("CHECKING", "1.0.0")
        assert (await client.get_subgraph(version.id)).id == version.id
        with pytest.raises(Refused) as raised:
            await client.register_subgraph(
                module=definition.code, version="1.0.0", sdl=SDL.format(number=2), routing_url=url
            )
        assert raised.value.code == "ALREADY_EXISTS"
        with pytest.raises(Denied) as denied:
            await client.get_subgraph("00000000-0000-7000-8000-000000000001")
        assert denied.value.code == "NOT_FOUND"


async def test_an_instance_comes_beats_and_goes(platform: Platform) -> None:
    definition, key = await module_with_key(platform)
    here = {"module": definition.code, "url": "http://127.0.0.1:8001"}
    async with client_of(platform, api_key=key) as (client, _):
        with pytest.raises(Refused) as raised:
            await client.heartbeat_instance(**here)
        assert raised.value.code == "NOT_FOUND"
        await client.register_instance(**here, health_check_url="http://127.0.0.1:8001/health", version="1.0.0")
        await client.heartbeat_instance(**here)
        query = "query ($code: String!) { module(code: $code) { instances { url } } }"
        assert (await platform.data(query, {"code": definition.code}))["module"]["instances"] == [{"url": here["url"]}]
        await client.deregister_instance(**here)
        assert (await platform.data(query, {"code": definition.code}))["module"]["instances"] == []


async def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_key(platform: Platform) -> None:
    definition, key = await module_with_key(platform)
    async with client_of(platform, api_key=key) as (client, front):
        front.loses = "registerModule"
        await client.register_module(ModuleDefinition(code=definition.code, version="2.0.0"))
        keys = [request["variables"]["input"]["idempotencyKey"] for request in front.passed]
        assert (len(keys), len(set(keys))) == (2, 1)


async def test_a_key_whose_answer_is_lost_is_told_of(platform: Platform) -> None:
    """It is shown once: asked for again with the same idempotencyKey, the platform has nothing to show."""
    front = Front(platform, loses="createModuleApiKey")
    async with serving(front) as url:
        with pytest.raises(PlatformError, match=r"revoke mpk_") as raised:
            await make_api_key(url, platform.admin, ModuleDefinition(code=unique("lost")), name="tests")
    assert raised.value.code == "SECRET_LOST"


async def test_a_read_that_fails_takes_no_other_with_it(platform: Platform) -> None:
    organization = await sign_up(platform, name="Acme")
    async with client_of(platform, tenant_token=reader(organization)) as (client, _):
        answers = await asyncio.gather(
            client.get_organization(organization),
            client.get_effective_config("no-such-module", organization_id=organization),
            client.get_effective_config("NO CODE", organization_id=organization),
            client.get_company("no id"),
            client.get_organization("no id"),
            return_exceptions=True,
        )
        assert list(answers) == [Organization(organization, "Acme", "free"), None, None, None, None]


async def test_a_caller_that_gives_up_takes_no_other_with_it(platform: Platform) -> None:
    organization = await sign_up(platform, name="Acme")
    async with client_of(platform, tenant_token=reader(organization)) as (client, front):
        tasks = [asyncio.create_task(client.get_organization(organization)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [asyncio.CancelledError, Organization, Organization]
        assert len(front.passed) == 1


@pytest.mark.parametrize(("modules", "companies", "requests"), [(10, 100, 1), (2, 500, 1), (10, 500, 5), (21, 1, 3)])
async def test_as_much_as_the_platform_takes_is_one_request(
    platform: Platform, modules: int, companies: int, requests: int
) -> None:
    organization = await sign_up(platform)
    ids = [f"00000000-0000-7000-8000-{number:012}" for number in range(companies)]
    async with client_of(platform, tenant_token=reader(organization)) as (client, front):
        found = await asyncio.gather(
            *(
                client.get_effective_config(f"module-{number}", organization_id=organization, company_id=company)
                for number in range(modules)
                for company in ids
            )
        )
        assert (found, len(front.passed)) == ([None] * modules * companies, requests)


async def test_an_id_that_fills_a_request_is_not_asked_for(platform: Platform) -> None:
    organization = await sign_up(platform, name="Acme")
    async with client_of(platform, tenant_token=reader(organization)) as (client, _):
        own, long = await asyncio.gather(client.get_organization(organization), client.get_company("x" * 300_000))
        assert (own, long) == (Organization(organization, "Acme", "free"), None)


async def test_a_platform_that_is_busy_is_asked_again(platform: Platform) -> None:
    organization = await sign_up(platform, name="Busy")
    async with client_of(platform, tenant_token=reader(organization)) as (client, front):
        front.statuses = [503, 502, 504]
        found = await client.get_organization(organization)
        assert (found, len(front.passed)) == (Organization(organization, "Busy", "free"), 1)


async def test_a_platform_that_stays_away_is_given_up_at_the_deadline() -> None:
    async with PlatformClient("http://127.0.0.1:9", tenant_token="x", seconds=0.5) as client:
        with pytest.raises(PlatformAway, match=r"does not answer.*for 0\.5 s"):
            await client.get_organization("1")


async def test_what_is_no_graphql_is_not_asked_again(platform: Platform) -> None:
    async with client_of(platform, tenant_token="x") as (client, front):
        front.statuses = [404]
        with pytest.raises(Denied) as denied:
            await client.get_organization("1")
        assert (denied.value.code, front.statuses) == ("NOT_GRAPHQL", [])
