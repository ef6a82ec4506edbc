"""revokeTokens: who may take whose access back, and what the tokens answer afterwards."""

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.embedded.supervisor import Endpoints
from app.revocation import KEPT_SECONDS, RevocationWatch
from auth.actor import Role
from auth.tokens import LEEWAY_SECONDS, TOKEN_SECONDS_MAX
from commands.token_revocation import REVOCATIONS_MAX
from graph.context import Services
from models.base import PLATFORM_ID
from tests.api.test_bad_token import signed
from tests.conftest import Databases, backends_on
from tests.support.platform import Platform, running_platform, token
from tests.support.proxy import proxy
from tests.support.stopwatch import stopwatch
from tests.support.stories import admin_of, create_company, organization_revision, sign_up, unique
from tests.tenancy.calls import NOBODY

REVOKE = """mutation($input: RevokeTokensInput!) { revokeTokens(input: $input) {
  revokedAt revision errors { __typename code message path } } }"""
VIEWER = "{ viewer { subject } }"
KNOWN_SECONDS = 5.0  # until every process refuses


async def revoke(platform: Platform, subject: str, *, by: str = "", **more: Any) -> Any:
    """The payload of revokeTokens; by the platform's administrator unless told otherwise."""
    data = await platform.data(REVOKE, {"input": {"subject": subject, **more}}, token=by)
    return data["revokeTokens"]


async def revoked(platform: Platform, subject: str, *, by: str = "", **more: Any) -> Any:
    """The payload of one that was done."""
    payload = await revoke(platform, subject, by=by, **more)
    assert payload["errors"] == []
    return payload


async def is_let_in(platform: Platform, bearer: str) -> bool:
    response = await platform.post(VIEWER, token=bearer)
    if response.status_code == 401:
        (error,) = response.json()["errors"]
        assert error == {
            "message": "token revoked; ask for a new one",
            "extensions": {"code": "UNAUTHENTICATED"},
        }
        return False
    assert response.json()["data"]["viewer"]["subject"], response.text
    return True


async def refused_by(platform: Platform, bearer: str) -> None:
    """Once the process has heard of it, which has its time."""
    with stopwatch() as watch:
        while await is_let_in(platform, bearer):
            await asyncio.sleep(0.02)
    assert watch.seconds < KNOWN_SECONDS


async def test_tokens_are_refused_at_once_and_a_new_one_gets_in(platform: Platform) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    bearers = [
        token(Role.MEMBER, organization=organization, subject="leaver"),
        token(Role.COMPANY_ADMIN, organization=organization, company=company, subject="leaver"),
        token(Role.ORGANIZATION_ADMIN, organization=organization, subject="leaver"),
    ]
    assert [await is_let_in(platform, each) for each in bearers] == [True] * 3
    before = datetime.now(UTC)
    payload = await revoked(platform, "leaver", organizationId=organization)
    assert before <= datetime.fromisoformat(payload["revokedAt"]) <= datetime.now(UTC)
    assert payload["revision"] == await organization_revision(platform, organization) == 2
    assert [await is_let_in(platform, each) for each in bearers] == [False] * 3
    # the first second that begins after it
    issued = math.ceil(datetime.fromisoformat(payload["revokedAt"]).timestamp())
    for iat, is_new in ((issued - 1, False), (issued, True)):
        assert await is_let_in(platform, of_member(organization, "leaver", iat=iat)) is is_new
    assert [await is_let_in(platform, each) for each in bearers] == [False] * 3


async def test_nobody_else_is_touched(platform: Platform) -> None:
    one, other = await sign_up(platform), await sign_up(platform)
    untouched = [
        token(Role.MEMBER, organization=one, subject="colleague"),
        token(Role.MEMBER, organization=other, subject="leaver"),
        token(Role.MEMBER, organization=one, subject="Leaver"),
        token(Role.MEMBER, organization=one, subject="leaver "),
        token(Role.SUPER_ADMIN, subject="leaver"),
    ]
    gone = token(Role.MEMBER, organization=one, subject="leaver")
    await revoked(platform, "leaver", by=admin_of(one))
    assert not await is_let_in(platform, gone)
    assert [await is_let_in(platform, each) for each in untouched] == [True] * len(untouched)


async def test_a_platform_administrators_tokens_are_the_platforms(platform: Platform) -> None:
    organization = await sign_up(platform)
    subject = unique("operator")
    at_platform = token(subject=subject)
    naming_one = token(Role.SUPER_ADMIN, organization=organization, subject=subject)
    as_member = token(Role.MEMBER, organization=organization, subject=subject)
    await revoked(platform, subject, by=admin_of(organization))
    assert [await is_let_in(platform, each) for each in (at_platform, naming_one, as_member)] == [True, True, False]
    payload = await revoked(platform, subject)
    assert [await is_let_in(platform, each) for each in (at_platform, naming_one, as_member)] == [False] * 3
    assert payload["revision"] == (await revoked(platform, unique("somebody")))["revision"]


async def test_one_may_revoke_ones_own(platform: Platform) -> None:
    organization = await sign_up(platform)
    own = token(Role.ORGANIZATION_ADMIN, organization=organization, subject="chief")
    await revoked(platform, "chief", by=own)
    assert not await is_let_in(platform, own)
    assert await is_let_in(platform, admin_of(organization))


async def test_an_administrator_of_an_organization_can_do_it_nowhere_else(platform: Platform) -> None:
    mine, other = await sign_up(platform), await sign_up(platform)
    theirs = token(Role.MEMBER, organization=other, subject="target")
    for named in (other, NOBODY, str(PLATFORM_ID)):
        payload = await revoke(platform, "target", by=admin_of(mine), organizationId=named)
        assert payload == {
            "revokedAt": None,
            "revision": None,
            "errors": [
                {
                    "__typename": "NotFoundError",
                    "code": "NOT_FOUND",
                    "message": f"no organization {named}",
                    "path": ["input", "organizationId"],
                }
            ],
        }
    await revoked(platform, "target", by=admin_of(mine), organizationId=mine)
    assert await is_let_in(platform, theirs)


@pytest.mark.parametrize("role", [Role.COMPANY_ADMIN, Role.MEMBER, Role.MODULE])
async def test_others_may_not(platform: Platform, role: Role) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization) if role is Role.COMPANY_ADMIN else None
    bearer = token(role, organization=organization, company=company)
    assert await platform.code(REVOKE, {"input": {"subject": "tester"}}, token=bearer) == "FORBIDDEN"
    assert await is_let_in(platform, bearer)


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"subject": ""}, "INVALID_INPUT", ["input", "subject"]),
        ({"subject": "x" * 8193}, "INVALID_INPUT", ["input", "subject"]),
        ({"subject": "x", "organizationId": "x"}, "NOT_FOUND", ["input", "organizationId"]),
        ({"subject": "x", "organizationId": ""}, "NOT_FOUND", ["input", "organizationId"]),
        ({"subject": "x", "organizationId": NOBODY}, "NOT_FOUND", ["input", "organizationId"]),
        ({"subject": "x", "organizationId": str(PLATFORM_ID)}, "NOT_FOUND", ["input", "organizationId"]),
        ({"subject": "x", "idempotencyKey": ""}, "INVALID_INPUT", ["input", "idempotencyKey"]),
    ],
)
async def test_bad_input_is_refused_by_its_name(
    platform: Platform, given: dict[str, Any], code: str, path: list[str]
) -> None:
    payload = await revoke(platform, **given)
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [(code, path)]
    assert (payload["revokedAt"], payload["revision"]) == (None, None)


async def test_the_longest_subject_of_a_token_can_be_revoked(platform: Platform) -> None:
    subject = "ü" * 900
    bearer = token(subject=subject)
    assert await is_let_in(platform, bearer)
    await revoked(platform, subject)
    assert not await is_let_in(platform, bearer)


async def test_the_same_key_revokes_once(platform: Platform) -> None:
    organization = await sign_up(platform)
    first = await revoked(platform, "leaver", organizationId=organization, idempotencyKey="k")
    fresh = of_member(organization, "leaver", iat=math.ceil(datetime.fromisoformat(first["revokedAt"]).timestamp()))
    again = await revoked(platform, "leaver", organizationId=organization, idempotencyKey="k")
    assert again == first
    assert await is_let_in(platform, fresh)
    other = await revoke(platform, "other", organizationId=organization, idempotencyKey="k")
    assert [error["code"] for error in other["errors"]] == ["IDEMPOTENCY_KEY_REUSED"]


async def test_who_revoked_what_is_kept(platform: Platform) -> None:
    organization = await sign_up(platform)
    payload = await revoked(platform, "leaver", by=admin_of(organization))
    await revoked(platform, "leaver", organizationId=organization)
    rows = await rows_of(platform.services, organization)
    assert [(row.subject, row.revoked_by) for row in rows] == [("leaver", "tester"), ("leaver", "tester")]
    assert rows[0].revoked_at == datetime.fromisoformat(payload["revokedAt"])
    assert all(0 < (row.not_before - row.revoked_at).total_seconds() <= 1 for row in rows)
    assert all(row.not_before.microsecond == 0 for row in rows)


async def test_another_process_knows_within_seconds_and_a_new_one_from_its_start(platform: Platform) -> None:
    organization = await sign_up(platform)
    bearer = token(Role.MEMBER, organization=organization, subject="leaver")
    async with running_platform(platform.backends) as replica:
        assert await is_let_in(replica, bearer)
        await revoked(platform, "leaver", organizationId=organization)
        await refused_by(replica, bearer)
        async with running_platform(platform.backends) as newcomer:
            assert not await is_let_in(newcomer, bearer)
            assert await is_let_in(newcomer, admin_of(organization))


async def test_one_that_commits_late_is_not_overlooked(platform: Platform) -> None:
    """Its time is that of its beginning: another that came later has been told by then."""
    organization = await sign_up(platform)
    other = token(Role.MEMBER, organization=organization, subject="quicker")
    bearer = token(Role.MEMBER, organization=organization, subject="leaver")
    async with running_platform(platform.backends) as replica:
        async with platform.services.database.platform_session() as session:
            await session.execute(
                text(
                    "INSERT INTO token_revocations(organization_id, id, subject, not_before, revoked_by, revoked_at)"
                    " VALUES (:id, gen_random_uuid(), 'leaver', now() + interval '1 second', 'tester', now())"
                ),
                {"id": UUID(organization)},
            )
            await revoked(platform, "quicker", organizationId=organization)
            await refused_by(replica, other)
            assert await is_let_in(replica, bearer)
            await session.commit()
        await refused_by(replica, bearer)


async def test_without_a_database_what_is_known_stays_known(databases: Databases, servers: Endpoints) -> None:
    database = await databases.create()
    async with proxy(lambda: database.port) as between:
        backends = backends_on(database.set(port=between.port), servers)
        async with running_platform(backends) as alone:
            gone, staying = token(subject="leaver"), token(subject="stayer")
            await revoked(alone, "leaver")
            between.cut()
            assert await alone.code("{ modules { totalCount } }", token=staying) == "UNAVAILABLE"
            refused = between.refused
            async with asyncio.timeout(20):
                while between.refused < refused + 2:  # it asks for news, and gets none
                    await asyncio.sleep(0.05)
            assert not await is_let_in(alone, gone)
            assert await is_let_in(alone, staying)


async def test_no_more_are_kept_than_memory_is_meant_for(platform: Platform) -> None:
    full, other = await sign_up(platform), await sign_up(platform)
    await insert(platform.services, full, count=REVOCATIONS_MAX - 1)
    await revoked(platform, "last", organizationId=full)
    payload = await revoke(platform, "one too many", organizationId=full)
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [("QUOTA", ["input", "subject"])]
    await revoked(platform, "first", organizationId=other)


async def test_what_no_token_can_be_old_enough_for_is_forgotten(platform: Platform) -> None:
    organization = await sign_up(platform)
    await insert(platform.services, organization, subject="old", seconds_ago=KEPT_SECONDS + 60)
    await insert(platform.services, organization, subject="kept", seconds_ago=KEPT_SECONDS - 60)
    await RevocationWatch(platform.services).start()
    assert [row.subject for row in await rows_of(platform.services, organization)] == ["kept"]


@pytest.mark.parametrize(("seconds_left", "status"), [(-LEEWAY_SECONDS - 1, 401), (60, 200)])
async def test_no_token_outlives_its_revocation(platform: Platform, seconds_left: int, status: int) -> None:
    now = int(time.time())
    bearer = signed(iat=now - TOKEN_SECONDS_MAX + seconds_left, exp=now + 365 * 24 * 3600)
    assert (await platform.post(VIEWER, token=bearer)).status_code == status


@pytest.mark.parametrize("claims", [{"iat": "yesterday"}, {"iat": str(int(time.time()))}, {"sub": ""}, {"sub": "a\0b"}])
async def test_a_token_that_could_not_be_revoked_is_none(platform: Platform, claims: dict[str, Any]) -> None:
    assert (await platform.post(VIEWER, token=signed(**claims))).status_code == 401


def of_member(organization: str, subject: str, *, iat: int) -> str:
    """A token issued in a certain second; clocks may differ, so it may be the next one."""
    return signed(sub=subject, roles=["MEMBER"], org=organization, iat=iat)


async def rows_of(services: Services, organization: str) -> list[Any]:
    statement = text("SELECT * FROM token_revocations WHERE organization_id = :id ORDER BY revoked_at, id")
    async with services.database.platform_session() as session:
        return list(await session.execute(statement, {"id": UUID(organization)}))


async def insert(
    services: Services, organization: str, *, subject: str = "x", count: int = 1, seconds_ago: float = 100
) -> None:
    """Rows as revocations of the past have left them."""
    statement = text(
        "INSERT INTO token_revocations(organization_id, id, subject, not_before, revoked_by, revoked_at)"
        " SELECT :id, gen_random_uuid(), :subject, now(), 'tester', now() - make_interval(secs => :seconds)"
        " FROM generate_series(1, :count)"
    )
    row = {"id": UUID(organization), "subject": subject, "count": count, "seconds": seconds_ago}
    async with services.database.platform_session() as session:
        await session.execute(statement, row)
        await session.commit()
