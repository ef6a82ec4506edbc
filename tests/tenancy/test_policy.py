"""Who may call what: every root field has a row in auth/policy.py, and the row is what callers meet."""

import json

import pytest
from sqlalchemy import text

from auth.actor import Role
from auth.policy import POLICY, PUBLIC
from auth.tokens import TOKEN_ROLES
from tests.support.platform import Platform, token
from tests.support.stories import create_company, sign_up
from tests.tenancy.calls import answer, codes, root_fields

READERS = (Role.MEMBER, Role.MODULE)


def test_every_root_field_has_a_row_and_every_row_a_field() -> None:
    assert sorted(POLICY) == root_fields()


def test_only_industries_need_no_token() -> None:
    assert [field for field, roles in POLICY.items() if roles == PUBLIC] == ["Query.industry", "Query.industries"]


def test_members_and_modules_read_and_never_write() -> None:
    for field, roles in POLICY.items():
        if field.startswith("Mutation."):
            assert not roles & set(READERS), field
            assert roles != PUBLIC, field


@pytest.mark.parametrize("field", root_fields())
async def test_without_a_token_only_what_is_public_answers(platform: Platform, field: str) -> None:
    before = await revisions(platform)
    body = json.loads(await answer(platform, field, None, token=None))
    assert codes(body) == ([] if POLICY[field] == PUBLIC else ["UNAUTHENTICATED"])
    assert await revisions(platform) == before


@pytest.mark.parametrize("role", sorted(TOKEN_ROLES))
async def test_a_role_is_refused_what_its_row_does_not_give(platform: Platform, role: Role) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    bearer = token(role, organization=organization, company=company if role is Role.COMPANY_ADMIN else None)
    before = await revisions(platform)
    for field, roles in POLICY.items():
        if roles != PUBLIC and role not in roles:
            body = json.loads(await answer(platform, field, None, token=bearer))
            assert codes(body) == ["FORBIDDEN"], field
            assert not any((body.get("data") or {}).values()), field
    assert await revisions(platform) == before


@pytest.mark.parametrize("role", sorted(TOKEN_ROLES))
async def test_a_role_may_call_what_its_row_gives(platform: Platform, role: Role) -> None:
    organization = await sign_up(platform)
    company = await create_company(platform, organization)
    bearer = token(role, organization=organization, company=company if role is Role.COMPANY_ADMIN else None)
    for field, roles in POLICY.items():
        if role in roles and not field.startswith("Subscription."):
            body = json.loads(await answer(platform, field, None, token=bearer))
            assert codes(body) == [], field


async def revisions(platform: Platform) -> tuple[int, int, int]:
    """How far all streams have come, and how much is logged and being worked on: any change moves one of them."""
    async with platform.services.database.platform_session() as session:
        found = await session.execute(
            text(
                "SELECT (SELECT sum(rev) FROM org_revision), (SELECT count(*) FROM event_log),"
                " (SELECT count(*) FROM operations)"
            )
        )
        streams, logged, operations = found.one()
        return int(streams), int(logged), int(operations)
