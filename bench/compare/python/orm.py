"""What the Strawberry peer reads and writes: SQLAlchemy's ORM, a session for each question."""

import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload
from strawberry.dataloader import DataLoader

from bench.compare.python.rules import (
    ACTOR,
    DATASCHEMA,
    TYPE,
    Refused,
    event_body,
    merge,
    now_utc,
    sources_of,
    traceparent,
)
from bench.compare.python.tables import (
    Company,
    CompanyModule,
    EventLog,
    Industry,
    Module,
    ModuleVersion,
    Organization,
    OrgRevision,
    Outbox,
    TenantModule,
)

url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1)
engine = create_async_engine(url, pool_size=10, max_overflow=0)
session_of = async_sessionmaker(engine, expire_on_commit=False)
# as every statement here wants it: not deleted, and nothing that only administrators may see
VISIBLE = and_(Module.deleted_at.is_(None), Module.tier != "INTERNAL")
Load = Callable[[AsyncSession, list[Any]], Awaitable[list[Any]]]


def loader(load: Load) -> DataLoader[Any, Any]:
    async def batch(keys: list[Any]) -> list[Any]:
        async with session_of() as session:
            return await load(session, keys)

    return DataLoader(load_fn=batch)


async def load_modules(session: AsyncSession, codes: list[str]) -> list[Any]:
    rows = await session.scalars(select(Module).where(Module.module_id.in_(codes), VISIBLE))
    found = {row.module_id: row for row in rows}
    return [found.get(code) for code in codes]


async def load_organizations(session: AsyncSession, ids: list[str]) -> list[Any]:
    statement = select(Organization, OrgRevision.rev).join(
        OrgRevision, OrgRevision.organization_id == Organization.organization_id
    )
    rows = await session.execute(statement.where(Organization.organization_id.in_(ids)))
    found = {row.organization_id: (row, rev) for row, rev in rows}
    return [found.get(each) for each in ids]


async def load_industries(session: AsyncSession, codes: list[str]) -> list[Any]:
    wanted = and_(Industry.industry_code.in_(codes), Industry.deleted_at.is_(None), Industry.is_active)
    found = {row.industry_code: row for row in await session.scalars(select(Industry).where(wanted))}
    return [found.get(code) for code in codes]


async def load_assignments(session: AsyncSession, ids: list[str]) -> list[Any]:
    statement = select(TenantModule).join(TenantModule.module).where(VISIBLE).order_by(TenantModule.module_id)
    found: dict[str, list[TenantModule]] = {each: [] for each in ids}
    for row in await session.scalars(statement.where(TenantModule.organization_id.in_(ids))):
        found[row.organization_id].append(row)
    return [found[each] for each in ids]


async def load_configs(session: AsyncSession, companies: list[tuple[str, str]]) -> list[Any]:
    """By (organization, company): what the organization has, once, and what its companies put on top."""
    organizations = {organization for organization, _ in companies}
    statement = select(TenantModule).join(TenantModule.module).where(VISIBLE).order_by(TenantModule.module_id)
    statement = statement.options(selectinload(TenantModule.defaults).load_only(ModuleVersion.default_config))
    rows = list(await session.scalars(statement.where(TenantModule.organization_id.in_(organizations))))
    own = select(CompanyModule).where(
        CompanyModule.organization_id.in_(organizations), CompanyModule.company_id.in_([each for _, each in companies])
    )
    layers = {(row.company_id, row.module_id): row.configuration for row in await session.scalars(own)}
    return [
        [
            (
                row.module_id,
                merge(
                    row.defaults.default_config,
                    row.industry_config,
                    row.configuration,
                    layers.get((company, row.module_id), {}),
                ),
            )
            for row in rows
            if row.organization_id == organization
        ]
        for organization, company in companies
    ]


async def assign(session: AsyncSession, organization_id: str, code: str, config: dict[str, Any]) -> TenantModule:
    """State, counter, event log and outbox in one transaction, in the order Modplane takes its locks in."""
    locked = select(Organization).where(Organization.organization_id == organization_id).with_for_update()
    organization = await session.scalar(locked)
    module = await session.scalar(select(Module).where(Module.module_id == code, VISIBLE, Module.is_active))
    has = select(TenantModule.module_id).where(TenantModule.organization_id == organization_id)
    assigned = set(await session.scalars(has))
    if organization is None or module is None:
        raise Refused("NOT_FOUND", "no such thing")
    if code in assigned:
        raise Refused("ALREADY_EXISTS", "it has it already")
    advance = update(OrgRevision).where(OrgRevision.organization_id == organization_id).values(rev=OrgRevision.rev + 1)
    rev = await session.scalar(advance.returning(OrgRevision.rev).execution_options(synchronize_session=False))
    assert rev is not None
    now = now_utc()
    row = TenantModule(
        organization_id=organization_id,
        module_id=code,
        version=module.version,
        state="ACTIVE",
        is_required=False,
        is_requested=True,
        industry_config={},
        industry_source={},
        configuration=config,
        config_sources=sources_of(config, rev, now),
        config_revision=rev,
        enabled_features=[],
        disabled_features=[],
        revision=rev,
        assigned_at=now,
        assigned_by=ACTOR,
        updated_at=now,
    )
    body = event_body(organization_id, code, tier=module.tier, version=module.version, config=config, rev=rev, now=now)
    event = EventLog(
        organization_id=organization_id,
        rev=rev,
        occurred_at=now,
        id=str(uuid4()),
        aggregatetype="module.assigned",
        aggregateid=organization_id,
        type=TYPE,
        subject=code,
        subject_rev=rev,
        modules=[code],
        payload=body,
        source=f"/organizations/{organization_id}",
        time=now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        dataschema=DATASCHEMA,
        traceparent=traceparent(),
        actor=ACTOR,
    )
    shard = UUID(organization_id).bytes[15] % 64
    session.add_all([row, event, Outbox(shard=shard, organization_id=organization_id, rev=rev, occurred_at=now)])
    return row


async def module_page(first: int) -> list[Module]:
    statement = select(Module).where(VISIBLE, Module.visibility == "PUBLIC").order_by(Module.module_id)
    async with session_of() as session:
        return list(await session.scalars(statement.limit(first + 1)))[:first]


async def company_page(organization_id: str, first: int) -> list[Company]:
    statement = select(Company).where(Company.organization_id == organization_id).order_by(Company.id)
    async with session_of() as session:
        return list(await session.scalars(statement.limit(first + 1)))[:first]
