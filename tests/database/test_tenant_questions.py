"""Questions of many tenants in one statement: everybody is answered as if alone, and nobody fails for another."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.migrate import connect_owner
from auth.actor import Role
from models.tenant_questions import Question
from queries.assignment import OF_TENANTS as ASSIGNMENTS
from queries.assignment import load_tenants_assignments
from queries.effective_config import OF_TENANTS as LAYERS
from queries.organization import COMPANIES_OF_TENANTS, load_tenants_organizations
from queries.organization import OF_TENANTS as ORGANIZATIONS
from tests.support.platform import Platform, token
from tests.support.stories import assign, create_company, register, set_company_config, set_config, sign_up, unique

QUESTIONS = (ORGANIZATIONS, ASSIGNMENTS, COMPANIES_OF_TENANTS, LAYERS)
SEEN = """query($id: ID!) { organization(id: $id) { name modules { module { code } config }
  companies { nodes { name effectiveConfigs { module { code } values } } } } }"""


async def tenants_of(platform: Platform, count: int) -> tuple[str, list[str]]:
    """A module, and organizations that have it, each with a company; everything carries the organization's id."""
    code = await register(platform, unique("asked-by-many"))
    users = [await sign_up(platform) for _ in range(count)]
    for each in users:
        company = await create_company(platform, each, f"Company of {each}")
        await assign(platform, each, code, config={"organization": each})
        await set_company_config(platform, company, code, {"company": each})
    return code, users


def as_tenant(organization: str) -> str:
    return token(Role.ORGANIZATION_ADMIN, organization=organization)


async def test_many_at_once_are_one_statement_and_each_sees_its_own(platform: Platform) -> None:
    code, users = await tenants_of(platform, 12)
    reads = platform.services.database.tenant_reads
    with platform.statements() as sent:
        found = await asyncio.gather(*(load_tenants_assignments(reads, UUID(each), [UUID(each)]) for each in users))
    assert sent.texts == ["SELECT * FROM tenants_assignments($1::uuid[])"]
    for user, mine in zip(users, found, strict=True):
        ((organization, rows),) = mine.items()
        assert (str(organization), [(str(row.organization_id), row.configuration) for row in rows]) == (
            user,
            [(user, {"organization": user})],
        )
        assert [row.module_id for row in rows] == [code]


async def test_what_they_see_over_http_is_what_each_sees_alone(platform: Platform) -> None:
    code, users = await tenants_of(platform, 8)
    alone = [await platform.data(SEEN, {"id": each}, token=as_tenant(each)) for each in users]
    # a comment makes it another document: nothing that was kept may answer it
    together = await asyncio.gather(
        *(platform.data(f"{SEEN} # {unique('again')}", {"id": each}, token=as_tenant(each)) for each in users)
    )
    assert together == alone
    for user, seen in zip(users, together, strict=True):
        (company,) = seen["organization"]["companies"]["nodes"]
        assert seen["organization"]["modules"] == [{"module": {"code": code}, "config": {"organization": user}}]
        assert company == {
            "name": f"Company of {user}",
            "effectiveConfigs": [{"module": {"code": code}, "values": {"organization": user, "company": user}}],
        }


async def test_a_tenant_that_asks_for_another_gets_nothing(platform: Platform) -> None:
    _, (mine, other) = await tenants_of(platform, 2)
    reads = platform.services.database.tenant_reads
    assert await load_tenants_organizations(reads, UUID(mine), [UUID(other)]) == {}
    companies = await platform.data(
        "query($id: ID!) { organization(id: $id) { companies { nodes { id } } } }", {"id": other}
    )
    (theirs,) = companies["organization"]["companies"]["nodes"]
    asked = [(UUID(mine), None, UUID(theirs["id"])), (UUID(mine), None, None)]
    found = await reads.questions.ask(LAYERS, asked)
    assert asked[0] not in found
    assert [row["configuration"] for row in found[asked[1]]] == [{"organization": mine}]


async def test_who_shares_a_statement_is_given_no_rows_of_the_others(platform: Platform) -> None:
    _, users = await tenants_of(platform, 3)
    questions = platform.services.database.tenant_reads.questions
    answers = await asyncio.gather(*(questions.ask(ASSIGNMENTS, [(UUID(each),)]) for each in users))
    assert [[str(tenant) for (tenant,) in answer] for answer in answers] == [[each] for each in users]


async def test_who_asks_for_what_fails_fails_alone(platform: Platform) -> None:
    _, users = await tenants_of(platform, 3)
    questions = platform.services.database.tenant_reads.questions
    asked: list[tuple[Any, ...]] = [(UUID(each), None, None, 5) for each in users]
    asked[1] = (*asked[1][:3], -1)
    asking = (questions.ask(COMPANIES_OF_TENANTS, [each]) for each in asked)
    answers: list[Any] = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[1], asyncpg.PostgresError)
    for each in (0, 2):
        assert [row["name"] for row in answers[each][asked[each]]] == [f"Company of {users[each]}"]


async def test_who_is_cancelled_takes_nobody_along(platform: Platform) -> None:
    _, users = await tenants_of(platform, 3)
    questions = platform.services.database.tenant_reads.questions
    asking = [asyncio.create_task(questions.ask(ORGANIZATIONS, [(UUID(each),)])) for each in users]
    await asyncio.sleep(0)
    asking[1].cancel()
    answers: list[Any] = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert [str(answers[each][(UUID(users[each]),)][0]["organization_id"]) for each in (0, 2)] == [users[0], users[2]]


async def test_an_organization_that_is_not_there_has_nothing(platform: Platform) -> None:
    questions, nobody = platform.services.database.tenant_reads.questions, uuid4()
    more = {COMPANIES_OF_TENANTS: (None, None, 5), LAYERS: (None, None)}
    for question in QUESTIONS:
        asked = (nobody, *more.get(question, ()))
        assert await questions.ask(question, [asked]) == {}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.function)
async def test_one_call_reads_one_snapshot_as_the_caller(platform: Platform, question: Question) -> None:
    connection = await connect_owner(platform.backends.database.admin)
    try:
        row = await connection.fetchrow(
            "SELECT provolatile::text, prosecdef, has_function_privilege('modplane_app', oid, 'EXECUTE') AS tenants,"
            " has_function_privilege('modplane_relay', oid, 'EXECUTE') AS others FROM pg_proc WHERE proname = $1",
            question.function,
        )
    finally:
        await connection.close()
    assert dict(row) == {"provolatile": "s", "prosecdef": False, "tenants": True, "others": False}


async def test_a_change_is_seen_at_once(platform: Platform) -> None:
    code, (user,) = await tenants_of(platform, 1)
    reads = platform.services.database.tenant_reads
    for number in range(3):
        await set_config(platform, user, code, {"number": number})
        (rows,) = (await load_tenants_assignments(reads, UUID(user), [UUID(user)])).values()
        assert rows[0].configuration["number"] == number
