"""The door for gateways: _service says what we are, _entities finds things by key and answers in place."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from graph.schema import schema
from models.ids import new_id
from tests.support.platform import Platform
from tests.support.stories import admin_of, create_company, sign_up

ENTITIES = """query($representations: [_Any!]!) { _entities(representations: $representations) { __typename
  ... on Module { code } ... on Industry { code } ... on Organization { id name } ... on Company { id name } } }"""
ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Things:
    organization: str
    company: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def things(platform: Platform) -> Things:
    organization = await sign_up(platform, industry="tech", name="Acme")
    return Things(organization=organization, company=await create_company(platform, organization, "Works"))


async def entities(platform: Platform, *representations: Any, **more: Any) -> Any:
    """The whole answer, errors included."""
    answer = await platform.post(ENTITIES, {"representations": list(representations)}, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_service_tells_the_schema_that_is_reviewed(platform: Platform) -> None:
    printed = (ROOT / "schema.graphql").read_text()
    assert schema.as_str() + "\n" == printed
    answer = await platform.data("{ _service { sdl } }", token=None)
    assert answer["_service"]["sdl"] + "\n" == printed


def test_the_schema_is_a_subgraph_of_federation_2_9() -> None:
    sdl = schema.as_str()
    assert '@link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])' in sdl
    keyed = [line for line in sdl.splitlines() if "@key" in line and line.startswith("type ")]
    assert keyed == [
        'type Company @key(fields: "id") {',
        'type Industry @key(fields: "code") {',
        'type Module @key(fields: "code") {',
        'type Organization @key(fields: "id") {',
    ]
    assert "union _Entity = Company | Industry | Module | Organization" in sdl


async def test_things_of_all_types_are_found_in_the_order_they_are_asked_for(
    platform: Platform, things: Things
) -> None:
    answer = await entities(
        platform,
        {"__typename": "Company", "id": things.company},
        {"__typename": "Module", "code": "crm"},
        {"__typename": "Organization", "id": things.organization},
        {"__typename": "Industry", "code": "tech"},
        {"__typename": "Module", "code": "crm"},
    )
    assert answer == {
        "data": {
            "_entities": [
                {"__typename": "Company", "id": things.company, "name": "Works"},
                {"__typename": "Module", "code": "crm"},
                {"__typename": "Organization", "id": things.organization, "name": "Acme"},
                {"__typename": "Industry", "code": "tech"},
                {"__typename": "Module", "code": "crm"},
            ]
        }
    }


async def test_what_is_unknown_is_null_in_its_place(platform: Platform) -> None:
    unknown = str(new_id())
    answer = await entities(
        platform,
        {"__typename": "Company", "id": unknown},
        {"__typename": "Module", "code": "crm"},
        {"__typename": "Organization", "id": unknown},
        {"__typename": "Organization", "id": "no id at all"},
        {"__typename": "Organization", "id": str(UUID(int=0))},
        {"__typename": "Industry", "code": "no-such"},
        {"__typename": "Module", "code": "no-such"},
        {"__typename": "Module", "code": ""},
    )
    assert answer == {"data": {"_entities": [None, {"__typename": "Module", "code": "crm"}, *[None] * 6]}}


@pytest.mark.parametrize(
    "representation",
    [
        {"__typename": "Nothing", "code": "crm"},
        {"__typename": "ModuleVersion", "number": "1.0.0"},
        {"__typename": "Query"},
        {"__typename": "String"},
        {"__typename": "__Schema"},
        {"__typename": None, "code": "crm"},
        {"__typename": ["Module"], "code": "crm"},
        {"__typename": {"a": 1}, "code": "crm"},
        {"code": "crm"},
        {},
        "Module",
        7,
        ["Module"],
        {"__typename": "Module"},
        {"__typename": "Module", "id": "crm"},
        {"__typename": "Module", "code": None},
        {"__typename": "Module", "code": 7},
        {"__typename": "Module", "code": {"a": 1}},
        {"__typename": "Module", "code": ["crm"]},
        {"__typename": "Industry"},
        {"__typename": "Organization"},
        {"__typename": "Organization", "id": {"a": 1}},
        {"__typename": "Company", "id": ["x"]},
    ],
    ids=json.dumps,
)
async def test_a_representation_that_makes_no_sense_fails_alone(platform: Platform, representation: Any) -> None:
    answer = await entities(platform, {"__typename": "Module", "code": "crm"}, representation)
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]) == (["_entities", 1], {"code": "BAD_USER_INPUT"})
    assert answer["data"] == {"_entities": [{"__typename": "Module", "code": "crm"}, None]}


@pytest.mark.parametrize("code", ["nul\u0000", "x" * 10_000, "' OR 1=1 --", "\ud83d\ude00"])
async def test_a_strange_key_is_never_a_fault(platform: Platform, code: str) -> None:
    answer = await platform.post(ENTITIES, {"representations": [{"__typename": "Module", "code": code}]})
    assert answer.status_code in (200, 400)
    codes = [error["extensions"]["code"] for error in answer.json().get("errors", [])]
    assert codes in ([], ["BAD_USER_INPUT"])


async def test_what_other_subgraphs_require_is_passed_over(platform: Platform, things: Things) -> None:
    extra = {"name": "Other", "info": 1, "cls": 2, "self": 3, "_": {"deep": [1]}, "plan": {"a": None}}
    answer = await entities(
        platform,
        {"__typename": "Organization", "id": things.organization, **extra},
        {"__typename": "Module", "code": "crm", **extra},
    )
    assert answer["data"]["_entities"] == [
        {"__typename": "Organization", "id": things.organization, "name": "Acme"},
        {"__typename": "Module", "code": "crm"},
    ]
    assert "errors" not in answer


async def test_a_key_opens_no_door_that_the_field_does_not(platform: Platform, things: Things) -> None:
    """By key one finds what one finds by name: industries without a token, the rest with one."""
    asked = [
        {"__typename": "Industry", "code": "tech"},
        {"__typename": "Module", "code": "crm"},
        {"__typename": "Organization", "id": things.organization},
        {"__typename": "Company", "id": things.company},
    ]
    answer = await entities(platform, *asked, token=None)
    assert answer["data"]["_entities"] == [{"__typename": "Industry", "code": "tech"}, None, None, None]
    assert [(error["path"][1], error["extensions"]["code"]) for error in answer["errors"]] == [
        (number, "UNAUTHENTICATED") for number in (1, 2, 3)
    ]
    answer = await entities(platform, *asked, token=admin_of(await sign_up(platform)))
    assert answer["data"]["_entities"][2:] == [None, None]
    assert "errors" not in answer
