"""Changing what the registry says of a module."""

from typing import Any

import pytest

from tests.support.platform import Platform
from tests.support.stories import events_about, find_module, platform_revision, register, unique

FIELDS = "name description category tags metadata visibility revision"
UPDATE = f"""mutation($input: UpdateModuleInput!) {{ updateModule(input: $input) {{
  module {{ {FIELDS} }} revision affected {{ action module organizationId cause }}
  errors {{ __typename message code path pointer ... on RevisionConflictError {{ currentRevision }} }} }} }}"""


async def update(platform: Platform, code: str, **fields: Any) -> Any:
    return (await platform.data(UPDATE, {"input": {"code": code, **fields}}))["updateModule"]


async def assert_refused(platform: Platform, code: str, error: dict[str, Any], **fields: Any) -> None:
    """The update is refused with exactly this error, its message aside, and nothing changed."""
    before, module = await platform_revision(platform), await find_module(platform, code, FIELDS)
    payload = await update(platform, code, **fields)
    (found,) = payload["errors"]
    assert {key: value for key, value in found.items() if key != "message"} == error
    assert (payload["module"], payload["revision"], payload["affected"]) == (None, None, [])
    assert await find_module(platform, code, FIELDS) == module
    assert await platform_revision(platform) == before


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("name", "  New name ", "New name"),
        ("description", "", ""),
        ("description", "Two\nlines.", "Two\nlines."),
        ("category", "New category", "New category"),
        ("tags", ["z", "a"], ["z", "a"]),
        ("tags", [], []),
        ("metadata", {"icon": {"name": "star", "size": 2}}, {"icon": {"name": "star", "size": 2}}),
        ("metadata", {}, {}),
        ("visibility", "PRIVATE", "PRIVATE"),
    ],
)
async def test_each_field_changes_alone(platform: Platform, field: str, value: Any, shown: Any) -> None:
    code = await register(
        platform, unique("mutable"), description="Old.", category="Old", tags=["old"], metadata={"old": True}
    )
    before = await find_module(platform, code, FIELDS)
    payload = await update(platform, code, **{field: value})
    revision = before["revision"] + 1
    assert payload["errors"] == []
    assert payload["module"] == {**before, field: shown, "revision": revision}
    assert payload["revision"] == revision
    assert payload["affected"] == [{"action": "UPDATE", "module": code, "organizationId": None, "cause": "REQUESTED"}]
    assert await find_module(platform, code, FIELDS) == payload["module"]
    event = (await events_about(platform, code))[-1]
    assert (event["type"], event["organizationId"], event["revision"]) == ("UPDATED", None, revision)
    assert event["payload"]["module"][field] == shown


async def test_what_is_left_out_or_null_stays(platform: Platform) -> None:
    code = await register(platform, unique("mutable"), description="Old.", category="Old", tags=["old"])
    payload = await update(platform, code, name="New", description=None, category=None, tags=None, metadata=None)
    assert payload["errors"] == []
    assert payload["module"] == {
        "name": "New",
        "description": "Old.",
        "category": "Old",
        "tags": ["old"],
        "metadata": {},
        "visibility": "PUBLIC",
        "revision": payload["revision"],
    }


async def test_a_stale_revision_is_refused_with_the_current_one(platform: Platform) -> None:
    code = await register(platform, unique("mutable"))
    seen = (await find_module(platform, code, "revision"))["revision"]
    current = (await update(platform, code, name="Somebody else's"))["revision"]
    conflict = {
        "__typename": "RevisionConflictError",
        "code": "REVISION_CONFLICT",
        "path": ["input", "expectedRevision"],
        "pointer": None,
        "currentRevision": current,
    }
    await assert_refused(platform, code, conflict, name="Mine", expectedRevision=seen)
    payload = await update(platform, code, name="Mine", expectedRevision=current)
    assert payload["errors"] == []
    assert (payload["module"]["name"], payload["revision"]) == ("Mine", current + 1)


async def test_a_revision_that_never_was_is_refused(platform: Platform) -> None:
    code = await register(platform, unique("mutable"))
    revision = (await find_module(platform, code, "revision"))["revision"]
    conflict = {
        "__typename": "RevisionConflictError",
        "code": "REVISION_CONFLICT",
        "path": ["input", "expectedRevision"],
        "pointer": None,
        "currentRevision": revision,
    }
    await assert_refused(platform, code, conflict, name="Mine", expectedRevision=revision + 1000)


async def test_changes_of_other_modules_do_not_make_a_revision_stale(platform: Platform) -> None:
    code, other = await register(platform, unique("mutable")), await register(platform, unique("mutable"))
    seen = (await find_module(platform, code, "revision"))["revision"]
    await update(platform, other, name="Other")
    assert (await update(platform, code, name="Mine", expectedRevision=seen))["errors"] == []


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("name", "", None),
        ("name", "   ", None),
        ("name", "a\nb", None),
        ("name", "x" * 201, None),
        ("category", "", None),
        ("category", "x" * 201, None),
        ("description", "x" * 4001, None),
        ("tags", [""], None),
        ("tags", ["x" * 65], None),
        ("tags", [str(number) for number in range(101)], None),
        ("metadata", [], ""),
        ("metadata", "text", ""),
        ("metadata", 7, ""),
        ("metadata", {"a": {"b": 2**63}}, "/a/b"),
    ],
)
async def test_a_bad_value_is_refused_by_its_field(platform: Platform, field: str, value: Any, pointer: Any) -> None:
    code = await register(platform, unique("mutable"), metadata={"kept": 1})
    error = {
        "__typename": "InvalidInputError",
        "code": "INVALID_INPUT",
        "path": ["input", field],
        "pointer": pointer,
    }
    await assert_refused(platform, code, error, **{field: value})


async def test_an_unknown_module_is_not_found(platform: Platform) -> None:
    before = await platform_revision(platform)
    payload = await update(platform, "no-such", name="New")
    assert payload["errors"] == [
        {
            "__typename": "NotFoundError",
            "message": "no module 'no-such'",
            "code": "NOT_FOUND",
            "path": ["input", "code"],
            "pointer": None,
        }
    ]
    assert await platform_revision(platform) == before
