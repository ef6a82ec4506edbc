"""Giving modules to many organizations at once: planned once per situation, written in one statement.

Decides nothing of its own: each plan is commands/assigning.py's, made for one of those it fits.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, text

from commands.assigning import Assigning, Tenant, Wanted, prepare
from commands.transaction import Transaction, no_organization
from events.facts import Fact, assignment_state
from events.types import EventType
from models.assignment import TenantModuleRow
from models.base import JsonObject
from models.organization import OrganizationRow
from models.tenant_module import COLUMNS, Held, columns_of
from queries.reader import among
from rules.errors import Problem, Refusal

AT = ("input", "modules")
NUMBERED = {"organization_id": "w.organization_id", "revision": "w.revision", "config_revision": "w.revision"}

# What a plan gives is sent once, and multiplied by the organizations here. COPY would be no quicker for so few rows,
# and PostgreSQL refuses it to a role that row-level security holds for.
INSERT = text(
    "WITH planned AS MATERIALIZED (SELECT x.plan, t.* FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS x(plan int,"
    "  given jsonb), jsonb_populate_record(NULL::tenant_modules, x.given) t)"
    f" INSERT INTO tenant_modules({', '.join(COLUMNS)})"
    f" SELECT {', '.join(NUMBERED.get(column, f'p.{column}') for column in COLUMNS)}"
    " FROM unnest(cast(:ids AS uuid[]), cast(:revisions AS bigint[]), cast(:plans AS int[]))"
    "  AS w(organization_id, revision, plan) JOIN planned p ON p.plan = w.plan ORDER BY w.organization_id, p.module_id"
)


@dataclass(frozen=True)
class Situation:
    """All of an organization that a plan depends on: those in the same one get the same plan.

    What is installed would be switched on, and then its own configuration counts: such an organization is `alone`.
    """

    plan: str
    industry_code: str | None
    assigned: frozenset[tuple[str, str, str]]  # module, version, state
    alone: UUID | None = None


@dataclass(frozen=True)
class Group:
    """Organizations in one situation, and what they get. The rows stand for all of them, numbered for none."""

    organizations: Sequence[UUID]
    assigning: Assigning

    def states(self) -> list[JsonObject]:
        catalog = self.assigning.catalog
        return [assignment_state(row, catalog[row.module_id].tier) for row in self.assigning.written]


async def assign_chunk(
    tx: Transaction, request: JsonObject, organizations: Sequence[UUID]
) -> dict[UUID, Sequence[Problem]]:
    """Each organization gets all of the modules and one event, or none: the problems of those that are refused."""
    modules: Sequence[str] = request["modules"]
    situations = await _lock(tx, organizations)
    refused: dict[UUID, Sequence[Problem]] = {
        each: [no_organization(each)] for each in organizations if each not in situations
    }
    groups: list[Group] = []
    for alike, planned in await _plans(tx, situations, modules):
        if isinstance(planned, Refusal):
            refused.update(dict.fromkeys(alike, planned.problems))
        elif planned.written:
            groups.append(Group(alike, planned))
    await _write(tx, groups)
    return refused


async def _lock(tx: Transaction, organizations: Sequence[UUID]) -> dict[UUID, Situation]:
    """The situation of each organization that there is, locked in the order of ids."""
    statement = select(OrganizationRow.organization_id, OrganizationRow.plan, OrganizationRow.industry_code)
    statement = statement.where(among(OrganizationRow.organization_id, organizations))
    statement = statement.order_by(OrganizationRow.organization_id).with_for_update()
    locked = (await tx.session.execute(statement)).all()
    columns = (TenantModuleRow.module_id, TenantModuleRow.version, TenantModuleRow.state)
    has = select(TenantModuleRow.organization_id, *columns)
    assigned: dict[UUID, list[tuple[str, str, str]]] = {each: [] for each, _, _ in locked}
    for each, *row in await tx.session.execute(has.where(among(TenantModuleRow.organization_id, list(assigned)))):
        assigned[each].append((row[0], row[1], row[2]))
    return {
        each: Situation(
            plan=plan,
            industry_code=industry_code,
            assigned=frozenset(assigned[each]),
            alone=each if any(state == "INSTALLED" for _, _, state in assigned[each]) else None,
        )
        for each, plan, industry_code in locked
    }


async def _plans(
    tx: Transaction, situations: Mapping[UUID, Situation], modules: Sequence[str]
) -> list[tuple[Sequence[UUID], Assigning | Refusal]]:
    """Organizations in the same situation, with what they get or why not; those that have everything are left out."""
    groups: dict[Situation, list[UUID]] = {}
    for each, situation in situations.items():
        groups.setdefault(situation, []).append(each)
    wanted = {situation: _missing(situation, modules) for situation in groups}
    planned: list[tuple[Sequence[UUID], Assigning | Refusal]] = []
    for situation, alike in groups.items():
        if not wanted[situation]:
            continue
        tenant = Tenant(alike[0], situation.plan)
        assigned = {code: Held(version, state) for code, version, state in situation.assigned}
        await asyncio.sleep(0)  # planning waits for nothing, and an API in the same process wants its turns
        try:
            assigning = await prepare(tx, tenant, wanted[situation], assigned=assigned, activate=True, at=AT)
            planned.append((alike, assigning))
        except Refusal as refusal:
            planned.append((alike, refusal))
    return planned


def _missing(situation: Situation, modules: Sequence[str]) -> list[Wanted]:
    has = {code for code, _, _ in situation.assigned}
    return [Wanted(code) for code in modules if code not in has]


async def _write(tx: Transaction, groups: Sequence[Group]) -> None:
    """One rev for each organization, its rows with it, and one fact that says them all."""
    counts = {each: 1 for group in groups for each in group.organizations}
    if not counts:
        return
    revisions = {each: taken for each, (taken,) in (await tx.advance_many(counts)).items()}
    for group in groups:
        for row in group.assigning.woken:  # of the only organization in its group
            row.revision = revisions[row.organization_id]
        tx.save(*group.assigning.woken)
        tx.record(*_facts(group, revisions))
    await tx.session.execute(INSERT, _parameters(groups, revisions))


def _parameters(groups: Sequence[Group], revisions: Mapping[UUID, int]) -> dict[str, Any]:
    given = [(plan, row) for plan, group in enumerate(groups) for row in group.assigning.rows]
    # a layer's sources would have to say the rev of each organization: nothing here gives a configuration
    assert not any(row.config_sources or row.industry_source for _, row in given)
    rows = [{"plan": plan, "given": columns_of(row)} for plan, row in given]
    members = [(each, revisions[each], plan) for plan, group in enumerate(groups) for each in group.organizations]
    ids, revs, plans = zip(*members, strict=True)
    return {
        "rows": orjson.dumps(rows, default=str).decode(),
        "ids": list(ids),
        "revisions": list(revs),
        "plans": list(plans),
    }


def _facts(group: Group, revisions: Mapping[UUID, int]) -> Iterator[Fact]:
    states = group.states()
    codes = [state["module"] for state in states]
    for each in group.organizations:
        revision = revisions[each]
        yield Fact(
            type=EventType.BULK_ASSIGNED,
            organization_id=each,
            revision=revision,
            payload={"assignments": [{**state, "revision": revision} for state in states], "modules": codes},
            modules=tuple(codes),
        )
