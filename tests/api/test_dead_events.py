"""Dead letters through the API: looking at them, and asking for one to be tried again."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from auth.actor import Role
from auth.tokens import TOKEN_ROLES
from tests.support.platform import Platform, token
from tests.support.stories import create_company, events_of, rename, sign_up, unique

LETTERS = """query($first: Int, $after: String, $status: DeadEventStatus, $consumer: String) {
  deadEvents(first: $first, after: $after, status: $status, consumer: $consumer) { totalCount
    nodes { eventId consumer organizationId revision topic partition offset errorClass errorText attempts firstAt
            publishedAt status }
    pageInfo { hasNextPage endCursor } } }"""
REPLAY = """mutation($input: ReplayDeadEventInput!) { replayDeadEvent(input: $input) {
  deadEvent { eventId consumer status } revision errors { __typename code message path } } }"""
WRITE = text(
    'INSERT INTO dead_event(consumer, event_id, organization_id, rev, topic, partition, "offset", error_class,'
    " error_text, attempts, first_at, last_at, status, value) VALUES (:consumer, :id, :organization, :rev,"
    " 'tenant.module.assigned', 2, 3000000000, 'UnreadablePayload', 'there is no assignment', 5,"
    " '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', :status, 'secret')"
)


@dataclass(frozen=True)
class Letter:
    """A row that a consumer has left."""

    consumer: str
    id: str

    @property
    def input(self) -> dict[str, Any]:
        return {"eventId": self.id, "consumer": self.consumer}


async def leave(platform: Platform, consumer: str, *, status: str = "parked", **event: Any) -> Letter:
    """Write a row as the event roles do."""
    given = {"id": uuid4(), "organization": uuid4(), "rev": 7, **event}
    async with platform.services.database.relay_engine.begin() as connection:
        await connection.execute(WRITE, {"consumer": consumer, "status": status, **given})
    return Letter(consumer=consumer, id=str(given["id"]))


async def letters(platform: Platform, **variables: Any) -> Any:
    return (await platform.data(LETTERS, variables))["deadEvents"]


async def replay(platform: Platform, input: dict[str, Any]) -> Any:
    return (await platform.data(REPLAY, {"input": input}))["replayDeadEvent"]


async def queued(platform: Platform, organization: str) -> list[int]:
    statement = text("SELECT rev FROM outbox WHERE organization_id = cast(:id AS uuid) ORDER BY seq")
    async with platform.services.database.platform_session() as session:
        return list(await session.scalars(statement, {"id": organization}))


async def test_a_dead_letter_says_whose_it_is_and_why_and_shows_no_record(platform: Platform) -> None:
    organization = uuid4()
    left = await leave(platform, unique("consumer"), organization=organization)
    found = await letters(platform, consumer=left.consumer)
    assert found["totalCount"] == 1
    assert found["nodes"] == [
        {
            "eventId": left.id,
            "consumer": left.consumer,
            "organizationId": str(organization),
            "revision": 7,
            "topic": "tenant.module.assigned",
            "partition": 2,
            "offset": "3000000000",
            "errorClass": "UnreadablePayload",
            "errorText": "there is no assignment",
            "attempts": 5,
            "firstAt": "2026-01-01T00:00:00+00:00",
            "publishedAt": None,
            "status": "PARKED",
        }
    ]


async def test_a_strangers_revision_may_be_larger_than_an_int(platform: Platform) -> None:
    left = await leave(platform, unique("consumer"), rev=2**63 - 1)
    (node,) = (await letters(platform, consumer=left.consumer))["nodes"]
    assert node["revision"] is None


async def test_pages_meet_and_do_not_overlap(platform: Platform) -> None:
    consumer = unique("consumer")
    left = {(await leave(platform, consumer)).id for _ in range(5)}
    seen, after = [], None
    for size in (2, 2, 1):
        page = await letters(platform, consumer=consumer, first=2, after=after)
        assert len(page["nodes"]) == size
        seen += [node["eventId"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert page["pageInfo"]["hasNextPage"] is False
    # all appeared at the same moment, so the order is that of the ids
    assert seen == sorted(left, reverse=True)


async def test_the_status_filters(platform: Platform) -> None:
    consumer = unique("consumer")
    parked = await leave(platform, consumer)
    replayed = await leave(platform, consumer, status="replayed")
    for status, expected in (("PARKED", [parked.id]), ("REPLAYED", [replayed.id]), ("REPLAY_REQUESTED", [])):
        page = await letters(platform, consumer=consumer, status=status)
        assert [node["eventId"] for node in page["nodes"]] == expected
        assert page["totalCount"] == len(expected)


@pytest.mark.parametrize("after", ["nonsense", "azE6", "azE6MjAyNi0wMS0wMSB4IHk", "azE6MjAyNi0wMS0wMQ"])
async def test_a_cursor_of_something_else_is_refused(platform: Platform, after: str) -> None:
    assert await platform.code(LETTERS, {"after": after}) == "BAD_USER_INPUT"


async def test_a_consumer_that_no_text_can_name_is_refused(platform: Platform) -> None:
    asked = {"input": {"eventId": str(uuid4()), "consumer": "a\0b"}}
    for query, variables in ((LETTERS, {"consumer": "a\0b"}), (REPLAY, asked)):
        assert (await platform.post(query, variables)).status_code == 400
    literal = '{ deadEvents(consumer: "a\\u0000b") { nodes { eventId } } }'
    assert await platform.code(literal) == "BAD_USER_INPUT"


async def test_a_replay_is_asked_for_once(platform: Platform) -> None:
    left = await leave(platform, unique("consumer"))
    first = await replay(platform, {**left.input, "idempotencyKey": left.id})
    assert first["errors"] == []
    assert first["deadEvent"] == {"eventId": left.id, "consumer": left.consumer, "status": "REPLAY_REQUESTED"}
    assert await replay(platform, {**left.input, "idempotencyKey": left.id}) == first
    assert await replay(platform, left.input) == first
    (node,) = (await letters(platform, consumer=left.consumer))["nodes"]
    assert (node["status"], node["attempts"]) == ("REPLAY_REQUESTED", 5)


async def test_what_was_replayed_stays_so(platform: Platform) -> None:
    left = await leave(platform, unique("consumer"), status="replayed")
    answered = await replay(platform, left.input)
    assert answered["errors"] == []
    assert answered["deadEvent"]["status"] == "REPLAYED"


@pytest.mark.parametrize("given", [str(uuid4()), "17", "", "x" * 300])
async def test_an_unknown_event_and_a_malformed_id_answer_alike(platform: Platform, given: str) -> None:
    answered = await replay(platform, {"eventId": given, "consumer": "modplane-reactions"})
    assert answered["deadEvent"] is None
    assert answered["revision"] is None
    assert answered["errors"] == [
        {
            "__typename": "NotFoundError",
            "code": "NOT_FOUND",
            "message": f"no dead event {given[:100]}",
            "path": ["input", "eventId"],
        }
    ]


async def test_anothers_consumer_has_no_such_letter(platform: Platform) -> None:
    left = await leave(platform, unique("consumer"))
    answered = await replay(platform, {**left.input, "consumer": "another"})
    assert [error["code"] for error in answered["errors"]] == ["NOT_FOUND"]
    (node,) = (await letters(platform, consumer=left.consumer))["nodes"]
    assert node["status"] == "PARKED"


async def test_what_the_relay_parked_is_queued_again(platform: Platform) -> None:
    organization = await sign_up(platform)
    await rename(platform, organization)
    event = (await events_of(platform, organization))[1]
    assert await queued(platform, organization) == [1, 2]
    left = await leave(platform, "relay", id=UUID(event["id"]), organization=UUID(organization), rev=2)
    answered = await replay(platform, left.input)
    assert answered["errors"] == []
    assert answered["deadEvent"]["status"] == "REPLAYED"
    assert await queued(platform, organization) == [1, 2, 2]
    assert (await replay(platform, left.input))["errors"] == []
    assert await queued(platform, organization) == [1, 2, 2]


async def test_what_the_log_has_forgotten_cannot_be_sent_again(platform: Platform) -> None:
    left = await leave(platform, "relay")
    answered = await replay(platform, left.input)
    assert answered["errors"] == [
        {
            "__typename": "StateTransitionError",
            "code": "STATE_TRANSITION",
            "message": f"the event log no longer has event {left.id}",
            "path": ["input", "eventId"],
        }
    ]
    (node,) = [each for each in (await letters(platform, consumer="relay"))["nodes"] if each["eventId"] == left.id]
    assert node["status"] == "PARKED"


@pytest.mark.parametrize("role", sorted(TOKEN_ROLES - {Role.SUPER_ADMIN}))
async def test_dead_letters_are_for_platform_administrators(platform: Platform, role: Role) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization) if role is Role.COMPANY_ADMIN else None
    bearer = token(role, organization=organization, company=company)
    assert await platform.code(LETTERS, token=bearer) == "FORBIDDEN"
    variables = {"input": {"eventId": str(uuid4()), "consumer": "relay"}}
    assert await platform.code(REPLAY, variables, token=bearer) == "FORBIDDEN"
