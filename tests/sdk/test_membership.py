"""Joining a platform, staying, leaving: what a service does beside answering."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import strawberry
from modplane_sdk.bootstrap import make_api_key
from modplane_sdk.client import PlatformClient
from modplane_sdk.definition import ModuleDefinition
from modplane_sdk.membership import Membership
from modplane_sdk.service import ModuleService
from modplane_sdk.subgraph import OrganizationStub, module_schema

from tests.federation.install import require_composer
from tests.sdk.modules import billing
from tests.sdk.waiting import until
from tests.support.platform import Platform
from tests.support.stories import unique
from tests.support.subgraphs import composing, running_services

URL = "http://127.0.0.1:9"  # nobody is there: the platform says so, as a warning


@asynccontextmanager
async def membership_of(platform: Platform, service: ModuleService) -> AsyncIterator[Membership]:
    """A membership of a module with a code of its own."""
    url, named = platform.url.removesuffix("/graphql"), ModuleDefinition(code=unique("member"))
    key = await make_api_key(url, platform.admin, named, name="tests")
    service = dataclasses.replace(service, definition=named)
    async with PlatformClient(url, api_key=key) as client:
        yield Membership(client=client, service=service, url=URL, heartbeat_seconds=0.2)


async def instances(platform: Platform, code: str) -> Any:
    query = "query ($code: String!) { module(code: $code) { instances { url version } } }"
    return (await platform.data(query, {"code": code}))["module"]["instances"]


async def test_it_comes_again_when_it_was_forgotten_and_says_goodbye(platform: Platform) -> None:
    async with membership_of(platform, billing) as membership:
        code = membership.service.definition.code
        task = asyncio.create_task(membership.run())
        there = [{"url": URL, "version": "1.0.0"}]
        await until(lambda: instances(platform, code), there)
        await membership.client.deregister_instance(module=code, url=URL)
        await until(lambda: instances(platform, code), there)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await instances(platform, code) == []


async def test_what_failed_is_tried_again_and_instances_share_a_routing_url(platform: Platform) -> None:
    """A version that was there before its load balancer found it gets into the graph by itself; so do its instances."""
    require_composer()
    async with membership_of(platform, billing) as membership, composing(platform), running_services() as services:
        code = membership.service.definition.code
        routing_url = services.url(code).removesuffix("/graphql")
        first = dataclasses.replace(membership, routing_url=routing_url, again_seconds=0.2)
        task = asyncio.create_task(first.run())
        await until(lambda: codes_of(platform, code), ["SERVICE_UNAVAILABLE"])
        services.sdl[code] = billing.schema.as_str()
        await until(lambda: state_of(platform, code), "ACTIVE")
        second = dataclasses.replace(first, url="http://127.0.0.1:10")
        assert (await second.join()).state == "ACTIVE"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def state_of(platform: Platform, code: str) -> Any:
    query = "query ($code: String!) { module(code: $code) { subgraph { state } } }"
    found = (await platform.data(query, {"code": code}))["module"]["subgraph"]
    return None if found is None else found["state"]


async def codes_of(platform: Platform, code: str) -> list[str]:
    """Of the errors that the last activation or check has found."""
    query = "query ($code: String!) { module(code: $code) { subgraphs { nodes { findings { code severity } } } } }"
    found = (await platform.data(query, {"code": code}))["module"]["subgraphs"]["nodes"]
    return [each["code"] for one in found for each in one["findings"] if each["severity"] == "ERROR"]


@strawberry.federation.type(keys=["id"], name="Organization")
class Organization(OrganizationStub):
    @strawberry.field
    async def broken_total(self) -> int:
        return 1


@strawberry.type
class Query:
    @strawberry.field
    def broken_number(self) -> int:
        return 1


async def test_a_subgraph_that_is_refused_is_answered_with_its_findings(platform: Platform) -> None:
    require_composer()
    broken = dataclasses.replace(billing, schema=module_schema(query=Query, types=[Organization]))
    async with membership_of(platform, broken) as membership, composing(platform):
        version = await membership.join()
    assert version.state == "FAILED"
    wrong = {(finding.code, finding.coordinate) for finding in version.findings if finding.severity == "ERROR"}
    assert wrong == {("NON_NULL_FIELD", "Query.brokenNumber"), ("NON_NULL_FIELD", "Organization.brokenTotal")}
    lines = broken.schema.as_str().splitlines()
    said = {lines[(finding.line or 0) - 1].strip() for finding in version.findings if finding.severity == "ERROR"}
    assert said == {"brokenNumber: Int!", "brokenTotal: Int!"}
