"""Events as a promise: schemas are published, kept, and true of what is really sent."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy import text

from events.contract import asyncapi, body_schema
from events.envelope import event_of_record
from events.types import EventType
from tests.events.compatibility import breaking_changes
from tests.events.whole_story import whole_story
from tests.support.platform import Platform

HERE = Path(__file__).parent
SCHEMAS = HERE.parent.parent / "events" / "schemas"


@pytest.mark.parametrize("kind", list(EventType), ids=lambda kind: kind.name)
def test_the_schema_file_is_what_the_code_says(kind: EventType) -> None:
    """`modplane asyncapi --schemas events/schemas` writes them; the difference is for a reviewer."""
    assert json.loads((SCHEMAS / f"{kind.cloud_event_type}.json").read_text()) == body_schema(kind)
    assert jsonschema_rs.meta.is_valid(body_schema(kind))


def test_there_is_no_schema_without_a_type() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == {kind.cloud_event_type for kind in EventType}


@pytest.mark.parametrize("path", sorted((HERE / "published").glob("*.json")), ids=lambda path: path.stem)
def test_nothing_published_is_broken(path: Path) -> None:
    """`published` holds each schema as it first went out; a version is never changed there, only added."""
    today = json.loads((SCHEMAS / path.name).read_text())
    assert list(breaking_changes(json.loads(path.read_text()), today)) == []


def _assignment_schema(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"]["payload"]["properties"]["assignment"]
    return found


def test_the_gate_sees_removed_retyped_and_uncertain_members() -> None:
    old = body_schema(EventType.ASSIGNED)
    removed, retyped, uncertain, widened = (copy.deepcopy(old) for _ in range(4))
    del _assignment_schema(removed)["properties"]["state"]
    _assignment_schema(retyped)["properties"]["revision"] = {"type": "string"}
    _assignment_schema(uncertain)["required"].remove("version")
    _assignment_schema(widened)["properties"]["state"]["enum"].append("PAUSED")
    at = "/payload/assignment"
    assert list(breaking_changes(old, removed)) == [f"{at}/state: was removed"]
    assert list(breaking_changes(old, retyped)) == [f"{at}/revision: type was 'integer' and is 'string'"]
    assert list(breaking_changes(old, uncertain)) == [f"{at}/version: was certain, and is no longer"]
    assert list(breaking_changes(old, widened)) == [f"{at}/state: 'PAUSED' is a new value, which consumers do not know"]


def test_the_gate_lets_optional_members_in() -> None:
    new = copy.deepcopy(body_schema(EventType.ASSIGNED))
    _assignment_schema(new)["properties"]["note"] = {"type": "string"}
    assert list(breaking_changes(body_schema(EventType.ASSIGNED), new)) == []


@pytest.mark.parametrize("path", sorted((HERE / "corpus").glob("*.json")), ids=lambda path: path.stem)
def test_every_event_of_the_past_is_read(path: Path) -> None:
    """`corpus` holds one message of every type and version there ever was, as it lay on the topic."""
    message = json.loads(path.read_text())
    value = json.dumps(message["value"]).encode()
    event = event_of_record([(name, each.encode()) for name, each in message["headers"].items()], value)
    assert event.type.cloud_event_type == message["headers"]["ce_type"]
    assert event.payload == message["value"]["payload"]
    schema = json.loads((SCHEMAS / f"{message['headers']['ce_type']}.json").read_text())
    jsonschema_rs.validate(schema, message["value"])


def test_the_corpus_has_every_type() -> None:
    assert {path.stem for path in (HERE / "corpus").glob("*.json")} == {kind.cloud_event_type for kind in EventType}


def test_the_asyncapi_document_names_every_topic() -> None:
    document = asyncapi("1.2.3")
    assert document["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in document["channels"].values()} == {kind.topic for kind in EventType}
    assert set(document["components"]["messages"]) == set(document["channels"])


async def test_every_event_that_is_sent_fits_its_schema(platform: Platform) -> None:
    await whole_story(platform)
    async with platform.services.database.platform_session() as session:
        rows = (await session.execute(text("SELECT type, payload FROM event_log"))).all()
    assert {row.type for row in rows} == {kind.cloud_event_type for kind in EventType}
    schemas = {kind.cloud_event_type: jsonschema_rs.validator_for(body_schema(kind)) for kind in EventType}
    for row in rows:
        assert [error.message for error in schemas[row.type].iter_errors(row.payload)] == []
