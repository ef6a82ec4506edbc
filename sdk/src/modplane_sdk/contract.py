"""What every module has to keep, whatever it does. Collected by pytest_plugin.py.

The application is served from this process, on its own database, behind a platform that is only keys (testing.py).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from modplane_sdk.identity import IDENTITY_HEADER, PASSAGE_HEADER
from modplane_sdk.keys import Signer
from modplane_sdk.lint import lint_sdl
from modplane_sdk.manifest import check_manifest
from modplane_sdk.service import ModuleService, Sample, create_app
from modplane_sdk.subgraph import NOT_ENTITLED
from modplane_sdk.testing import LocalPlatform, Served, served

ENTITIES = "query ($representations: [_Any!]!) {{ _entities(representations: $representations) {{ {selection} }} }}"


@dataclass(frozen=True)
class World:
    """A module that runs, and a platform in front of it."""

    service: ModuleService
    sample: Sample
    platform: LocalPlatform
    client: httpx.Client
    served: Served

    def ask(self, identity: str, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = self.platform.headers(identity, body)
        response = self.client.post(self.service.doors.graphql, content=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def entities(self, identity: str, representations: list[dict[str, Any]]) -> Any:
        query = ENTITIES.format(selection=self.sample.selection)
        return self.ask(identity, query, representations=representations)

    def arrange(self, organization: str) -> list[dict[str, Any]]:
        made = self.served.call(self.sample.arrange(organization))
        assert len(made) >= 10, "Sample.arrange has to answer ten representations or more"
        return made


@pytest.fixture(scope="module")
def world(modplane_service: ModuleService) -> Iterator[World]:
    assert modplane_service.sample, "the contract suite needs ModuleService.sample"
    platform = LocalPlatform(modplane_service.definition.code)
    with (
        served(create_app(modplane_service, platform)) as running,
        httpx.Client(base_url=running.url, timeout=30, trust_env=False) as client,
    ):
        yield World(modplane_service, modplane_service.sample, platform, client, running)


def test_the_manifest_is_in_order(modplane_service: ModuleService) -> None:
    assert check_manifest(modplane_service.definition.to_manifest()) == []


def test_the_sdl_would_be_taken(modplane_service: ModuleService) -> None:
    assert lint_sdl(modplane_service.schema.as_str(), modplane_service.definition.code) == []


def test_it_says_that_it_is_well(world: World) -> None:
    assert world.client.get(world.service.doors.health).status_code == 200


def test_the_platform_can_read_its_sdl(world: World) -> None:
    response = world.client.post(world.service.doors.graphql, json={"query": "{ _service { sdl } }"})
    assert response.json() == {"data": {"_service": {"sdl": world.service.schema.as_str()}}}


def test_a_call_that_bypasses_the_gateway_is_refused(world: World) -> None:
    body = json.dumps({"query": world.sample.query}).encode()
    whole = world.platform.headers(world.platform.identity(str(uuid4())), body)
    plain = {"content-type": "application/json"}
    wrong = {
        "nothing": plain,
        "no passage": {**plain, IDENTITY_HEADER: whole[IDENTITY_HEADER]},
        "no identity": {**plain, PASSAGE_HEADER: world.platform.passage(body)},
        "for another body": {**whole, PASSAGE_HEADER: world.platform.passage(b"{}")},
        "signed by another": {**whole, PASSAGE_HEADER: world.platform.passage(body, Signer.PLATFORM)},
        "of another platform": LocalPlatform(world.service.definition.code).headers(whole[IDENTITY_HEADER], body),
    }
    answered = {
        name: world.client.post(world.service.doors.graphql, content=body, headers=headers).status_code
        for name, headers in wrong.items()
    }
    assert answered == dict.fromkeys(wrong, 401)


def test_a_request_cannot_be_sent_twice(world: World) -> None:
    body = json.dumps({"query": world.sample.query}).encode()
    headers = world.platform.headers(world.platform.identity(str(uuid4())), body)
    answers = [world.client.post(world.service.doors.graphql, content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]


def test_who_has_not_got_the_module_gets_null_and_the_reason(world: World) -> None:
    answer = world.ask(world.platform.identity(str(uuid4()), modules=()), world.sample.query)
    assert set(answer["data"].values()) == {None}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {NOT_ENTITLED}


def test_an_entity_is_refused_without_the_module_too(world: World) -> None:
    """A field of another module's may lead to it, which the gateway lets everybody have who has that one."""
    owner = str(uuid4())
    made = world.arrange(owner)
    answer = world.entities(world.platform.identity(owner, modules=()), made)
    assert {error["extensions"]["code"] for error in answer.get("errors", [])} == {NOT_ENTITLED}
    assert answer["data"] != world.entities(world.platform.identity(owner), made)["data"]


def test_another_tenant_sees_nothing(world: World) -> None:
    """Not even that there is something: what is another's is answered like what nobody has."""
    owner, other = str(uuid4()), str(uuid4())
    theirs = world.arrange(owner)
    unknown = [{key: value if key == "__typename" else str(uuid4()) for key, value in one.items()} for one in theirs]
    stranger = world.platform.identity(other)
    assert world.entities(stranger, theirs) == world.entities(stranger, unknown)
    assert world.entities(world.platform.identity(owner), theirs) != world.entities(stranger, theirs)
    seen = world.ask(world.platform.identity(owner), world.sample.query)
    assert "errors" not in seen
    assert world.ask(stranger, world.sample.query) != seen


def test_many_entities_cost_as_many_statements_as_one(world: World) -> None:
    organization = str(uuid4())
    made = world.arrange(organization)
    identity = world.platform.identity(organization)
    costs = []
    for asked in (made[:1], made):
        before = world.sample.statements()
        assert "errors" not in world.entities(identity, asked)
        costs.append(world.sample.statements() - before)
    assert costs[0] == costs[1] > 0
