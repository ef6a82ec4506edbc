"""Many organizations at once get exactly what each would get alone: rows, event, problems."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select

from auth.actor import PLATFORM
from commands.assigning import Tenant, Wanted, prepare
from commands.bulk.chunk import AT, assign_chunk
from commands.transaction import Scope, Transaction, Writer
from events.facts import Fact, assignment_state
from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import PLATFORM_ID
from queries.reader import among
from rules.errors import ConfigInvalid, Problem, Refusal
from rules.plans import PLANS
from tests.support.platform import Platform
from tests.support.stories import assign, register, set_config, sign_up, unique

SCHEMA = {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}}
TIMES = ("assigned_at", "updated_at")
Told = tuple[list[dict[str, Any]], list[Any], Sequence[Problem]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def modules(platform: Platform) -> dict[str, str]:
    """Modules that need each other, that cost something, that can't be switched on as they are."""
    base = await register(platform, unique("base"))
    await register(platform, base, "2.0.0")
    middle = await register(platform, unique("middle"), requires={base: "^1.0.0"})
    top = await register(platform, unique("top"), requires=[middle])
    modern = await register(platform, unique("modern"), requires={base: "^2.0.0"})
    paid = await register(platform, unique("paid"), subscription_tier="premium")
    lavish = await register(platform, unique("lavish"), requires=[paid])
    strict = await register(platform, unique("strict"), configuration={"defaults": {}, "schema": SCHEMA})
    asking = await register(platform, unique("asking"), requires=[strict])
    named = {"base": base, "middle": middle, "top": top, "modern": modern, "paid": paid}
    return {**named, "lavish": lavish, "strict": strict, "asking": asking}


@pytest.mark.parametrize("seed", range(4))
async def test_a_batch_is_as_one_by_one(platform: Platform, modules: dict[str, str], seed: int) -> None:
    draw = random.Random(seed)
    twins = [await furnished(platform, modules, draw) for _ in range(14)]
    wanted = sorted(modules[each] for each in draw.sample(sorted(modules), draw.randint(1, 4)))
    alone: dict[UUID, Told] = {}
    for each, _ in twins:
        async with transaction(platform) as tx:
            problems = await assign_one(tx, each, wanted)
        alone[each] = (await rows_of(platform, each), [plain(fact) for fact in tx.facts], problems)
    others = sorted(other for _, other in twins)
    async with transaction(platform) as tx:
        refused = await assign_chunk(tx, {"modules": wanted}, others)
    for each, other in twins:
        facts = [plain(fact) for fact in tx.facts if fact.organization_id == other]
        assert (await rows_of(platform, other), facts, refused.get(other, ())) == alone[each]
    assert len({fact.organization_id for fact in tx.facts}) == len(tx.facts)


async def test_what_is_only_installed_is_switched_on_for_each(platform: Platform, modules: dict[str, str]) -> None:
    """Three in the same situation but for a configuration: two get it, and the third is told what it lacks."""
    users = [await sign_up(platform) for _ in range(3)]
    for number, user in enumerate(users):
        assert (await assign(platform, user, modules["strict"], activate=False))["errors"] == []
        if number != 1:
            given = await set_config(platform, user, modules["strict"], {"key": str(number)})
            assert given["errors"] == []
    async with transaction(platform) as tx:
        refused = await assign_chunk(tx, {"modules": [modules["asking"]]}, sorted(map(UUID, users)))
    assert [(each, [(type(problem), problem.pointer) for problem in found]) for each, found in refused.items()] == [
        (UUID(users[1]), [(ConfigInvalid, "/key")])
    ]
    told = {str(fact.organization_id): fact for fact in tx.facts}
    for number, user in enumerate(users):
        states = [(row["module_id"], row["state"], row["revision"]) for row in await rows_of(platform, UUID(user))]
        if number == 1:
            assert (states, user in told) == ([(modules["strict"], "INSTALLED", 2)], False)
        else:
            assert sorted(states) == sorted([(modules["asking"], "ACTIVE", 4), (modules["strict"], "ACTIVE", 4)])
            woken, given = told[user].payload["assignments"]
            assert (woken["module"], woken["state"], woken["config"]) == (
                modules["strict"],
                "ACTIVE",
                {"key": str(number)},
            )
            assert (given["module"], given["revision"], told[user].revision) == (modules["asking"], 4, 4)


async def furnished(platform: Platform, modules: dict[str, str], draw: random.Random) -> tuple[UUID, UUID]:
    """Two organizations in the same situation."""
    plan, has = draw.choice(PLANS), draw.sample(sorted(modules), draw.choice((0, 0, 1, 2)))
    active = [draw.random() < 0.5 for _ in has]
    key = {"key": "k"} if draw.random() < 0.5 else None
    twins = []
    for _ in range(2):
        organization = await sign_up(platform, plan=plan)
        for each, is_active in zip(has, active, strict=True):
            given = await assign(platform, organization, modules[each], activate=is_active)
            if each == "strict" and not is_active and given["errors"] == [] and key:
                assert (await set_config(platform, organization, modules[each], key))["errors"] == []
        twins.append(UUID(organization))
    return twins[0], twins[1]


async def assign_one(tx: Transaction, organization_id: UUID, modules: Sequence[str]) -> Sequence[Problem]:
    """The same for one organization, by the steps that assignModule takes."""
    try:
        organization = await tx.lock_organization(organization_id)
        assigned = await tx.load_all_rows(organization_id)
        tenant = Tenant(organization_id, organization.plan)
        wanted = [Wanted(code) for code in modules if code not in assigned]
        if not wanted:
            return ()
        assigning = await prepare(tx, tenant, wanted, assigned=assigned, activate=True, at=AT)
    except Refusal as refusal:
        return refusal.problems
    (revision,) = await tx.advance(organization_id)
    assigning.number([revision] * len(assigning.written))
    tx.save(*assigning.written)
    written = assigning.written
    codes = [row.module_id for row in written]
    states = [assignment_state(row, assigning.catalog[row.module_id].tier) for row in written]
    payload = {"assignments": states, "modules": codes}
    kind = EventType.BULK_ASSIGNED
    tx.record(Fact(type=kind, organization_id=organization_id, revision=revision, payload=payload, modules=(*codes,)))
    return ()


@asynccontextmanager
async def transaction(platform: Platform) -> AsyncIterator[Transaction]:
    services = platform.services
    writer = Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)
    async with writer.transaction(Scope(PLATFORM_ID)) as tx:
        yield tx


async def rows_of(platform: Platform, organization: UUID) -> list[dict[str, Any]]:
    """All columns but whose it is and when."""
    statement = select(TenantModuleRow).where(among(TenantModuleRow.organization_id, [organization]))
    async with platform.services.database.platform_session() as session:
        rows = list(await session.scalars(statement.order_by(TenantModuleRow.module_id)))
    names = [each.key for each in TenantModuleRow.__table__.columns if each.key not in ("organization_id", *TIMES)]
    return [{name: without_times(getattr(row, name)) for name in names} for row in rows]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key != "set_at"}
    return value


def plain(fact: Fact) -> Any:
    states = [
        {name: each for name, each in state.items() if name not in TIMES} for state in fact.payload["assignments"]
    ]
    return fact.type, fact.revision, fact.module, fact.modules, states, fact.payload["modules"]
