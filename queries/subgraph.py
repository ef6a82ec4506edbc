"""Questions about subgraphs. The platform's administrators see all, a module's service its own, tenants none."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import undefer

from models.subgraph import SubgraphVersionRow
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader, among
from rules.errors import InvalidInput, Refusal
from rules.subgraph import IN_GRAPH, SubgraphState


@dataclass(frozen=True)
class SubgraphTexts:
    """What is not read with a row unless it is asked for."""

    sdl: str
    stamped_sdl: str | None


def _is_visible(reader: Reader) -> ColumnElement[bool]:
    if reader.actor.is_platform_admin:
        return true()
    return SubgraphVersionRow.module_id == reader.actor.module_code  # NULL, and so nothing, for everybody else


def _is_in_graph() -> ColumnElement[bool]:
    return SubgraphVersionRow.state.in_(IN_GRAPH)


async def load_subgraphs_by_ids(reader: Reader, ids: Collection[UUID]) -> dict[UUID, SubgraphVersionRow]:
    statement = select(SubgraphVersionRow).where(among(SubgraphVersionRow.id, list(ids)), _is_visible(reader))
    return {row.id: row for row in await reader.session.scalars(statement)}


async def load_active_subgraphs(reader: Reader, codes: Collection[str]) -> dict[str, SubgraphVersionRow]:
    """Of each module the version that is in the graph."""
    statement = select(SubgraphVersionRow).where(
        among(SubgraphVersionRow.module_id, list(codes)), _is_in_graph(), _is_visible(reader)
    )
    return {row.module_id: row for row in await reader.session.scalars(statement)}


async def load_subgraph_texts(reader: Reader, ids: Collection[UUID]) -> dict[UUID, SubgraphTexts]:
    columns = (SubgraphVersionRow.id, SubgraphVersionRow.sdl, SubgraphVersionRow.stamped_sdl)
    statement = select(*columns).where(among(SubgraphVersionRow.id, list(ids)), _is_visible(reader))
    found = await reader.session.execute(statement)
    return {each: SubgraphTexts(sdl=sdl, stamped_sdl=stamped) for each, sdl, stamped in found}


async def load_subgraph_pages(
    reader: Reader, codes: Sequence[str], page: PageRequest
) -> dict[str, Page[SubgraphVersionRow]]:
    """The subgraphs of each module, the latest registered first: pages of many modules in one statement."""
    place = func.row_number().over(partition_by=SubgraphVersionRow.module_id, order_by=SubgraphVersionRow.id.desc())
    wanted = select(SubgraphVersionRow.id, place.label("place")).where(
        among(SubgraphVersionRow.module_id, list(codes)), _is_visible(reader)
    )
    if page.after is not None:
        wanted = wanted.where(SubgraphVersionRow.id < _uuid(page.after))
    ranked = wanted.subquery()
    statement = select(SubgraphVersionRow).join(ranked, ranked.c.id == SubgraphVersionRow.id)
    statement = statement.where(ranked.c.place <= page.first + 1).order_by(SubgraphVersionRow.id.desc())
    rows: dict[str, list[SubgraphVersionRow]] = {code: [] for code in codes}
    for row in await reader.session.scalars(statement):
        rows[row.module_id].append(row)
    return {code: page_of(found, page, key=lambda row: row.id) for code, found in rows.items()}


async def find_registered(reader: Reader, module: str, version: str) -> SubgraphVersionRow | None:
    statement = select(SubgraphVersionRow).where(
        SubgraphVersionRow.module_id == module, SubgraphVersionRow.version == version, _is_visible(reader)
    )
    row: SubgraphVersionRow | None = await reader.session.scalar(statement)
    return row


async def load_unsettled(reader: Reader, module: str) -> list[SubgraphVersionRow]:
    """What of the module is in the graph, or on its way into it or out of it."""
    is_on_its_way = SubgraphVersionRow.state == SubgraphState.ACTIVATING
    statement = select(SubgraphVersionRow).where(
        SubgraphVersionRow.module_id == module, or_(_is_in_graph(), is_on_its_way)
    )
    return list(await reader.session.scalars(statement.order_by(SubgraphVersionRow.revision)))


async def load_in_graph(reader: Reader) -> list[SubgraphVersionRow]:
    """All that the graph consists of besides the platform, with its stamped SDL, by module."""
    statement = select(SubgraphVersionRow).where(_is_in_graph()).options(undefer(SubgraphVersionRow.stamped_sdl))
    return list(await reader.session.scalars(statement.order_by(SubgraphVersionRow.module_id)))


async def find_next_publication(reader: Reader) -> SubgraphVersionRow | None:
    """What is to go into the graph or out of it, in the order in which that was asked for."""
    is_due = or_(SubgraphVersionRow.lease_until.is_(None), SubgraphVersionRow.lease_until < func.clock_timestamp())
    states = (SubgraphState.ACTIVATING, SubgraphState.RETIRING)
    statement = select(SubgraphVersionRow).where(and_(SubgraphVersionRow.state.in_(states), is_due))
    statement = statement.options(undefer(SubgraphVersionRow.sdl)).order_by(SubgraphVersionRow.revision).limit(1)
    row: SubgraphVersionRow | None = await reader.session.scalar(statement)
    return row


def _uuid(key: str) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",))) from None
