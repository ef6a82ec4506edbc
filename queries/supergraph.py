"""Questions about the graphs composed so far, and about the one that is served."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, any_, func, literal, select
from sqlalchemy.orm import undefer

from models.module import ModuleRow, ModuleVersionRow
from models.subgraph import SubgraphVersionRow
from models.supergraph import SupergraphHeadRow, SupergraphRow
from queries.page import Page, PageRequest, page_of
from queries.reader import Reader, among
from queries.subgraph import load_in_graph
from rules.errors import InvalidInput, Refusal
from rules.plans import LOWEST_PLAN, includes
from rules.subgraph import IN_GRAPH


@dataclass(frozen=True)
class SupergraphTexts:
    """What is not read with a row unless it is asked for."""

    sdl: str
    public_sdl: str
    contracts: dict[str, str | None]

    def contract(self, plan: str) -> str | None:
        """The public schema for a plan; None when there is none that would not name what it must not."""
        return self.contracts.get(plan, self.public_sdl)


@dataclass(frozen=True)
class Standing:
    """What a composition was made of. Before it is published, it has to be so still."""

    head: int | None
    members: tuple[tuple[str, UUID], ...]  # module and subgraph, by module


@dataclass(frozen=True)
class Graph:
    """What is served, and what that consists of."""

    head: SupergraphRow | None  # with its texts
    members: tuple[SubgraphVersionRow, ...]  # with their stamped SDL

    @property
    def standing(self) -> Standing:
        head = None if self.head is None else self.head.version
        return Standing(head=head, members=tuple((row.module_id, row.id) for row in self.members))


async def find_head(reader: Reader) -> int | None:
    """The number of the artifact that is served."""
    version: int | None = await reader.session.scalar(select(SupergraphHeadRow.version))
    return version


async def load_heads(reader: Reader, keys: Collection[None]) -> dict[None, int]:
    """The same as a batch: there is one for all who ask."""
    head = await find_head(reader)
    return {} if head is None else dict.fromkeys(keys, head)


async def load_graph(reader: Reader) -> Graph:
    texts = (undefer(column) for column in (SupergraphRow.sdl, SupergraphRow.public_sdl, SupergraphRow.platform_sdl))
    statement = select(SupergraphRow).join(SupergraphHeadRow, SupergraphHeadRow.version == SupergraphRow.version)
    head = await reader.session.scalar(statement.options(*texts, undefer(SupergraphRow.contracts)))
    return Graph(head=head, members=tuple(await load_in_graph(reader)))


async def load_standing(reader: Reader) -> Standing:
    statement = select(SubgraphVersionRow.module_id, SubgraphVersionRow.id).where(
        SubgraphVersionRow.state.in_(IN_GRAPH)
    )
    members = await reader.session.execute(statement.order_by(SubgraphVersionRow.module_id))
    return Standing(head=await find_head(reader), members=tuple((module, each) for module, each in members))


def _among_versions(versions: Collection[int]) -> ColumnElement[bool]:
    """One statement text however many versions, as `among` has it for texts and ids."""
    return SupergraphRow.version == any_(literal(list(versions), ARRAY(Integer())))


async def load_supergraphs(reader: Reader, versions: Collection[int]) -> dict[int, SupergraphRow]:
    statement = select(SupergraphRow).where(_among_versions(versions))
    return {row.version: row for row in await reader.session.scalars(statement)}


async def load_supergraph_texts(reader: Reader, versions: Collection[int]) -> dict[int, SupergraphTexts]:
    columns = (SupergraphRow.version, SupergraphRow.sdl, SupergraphRow.public_sdl, SupergraphRow.contracts)
    found = await reader.session.execute(select(*columns).where(_among_versions(versions)))
    return {
        version: SupergraphTexts(sdl=sdl, public_sdl=public_sdl, contracts=contracts)
        for version, sdl, public_sdl, contracts in found
    }


async def list_supergraphs(reader: Reader, page: PageRequest) -> Page[SupergraphRow]:
    """Artifacts, the latest first."""
    statement = select(SupergraphRow)
    if page.after is not None:
        statement = statement.where(SupergraphRow.version < _number(page.after))
    statement = statement.order_by(SupergraphRow.version.desc()).limit(page.first + 1)
    rows = list(await reader.session.scalars(statement))
    return page_of(rows, page, key=lambda row: row.version)


async def count_supergraphs(reader: Reader) -> int:
    return await reader.session.scalar(select(func.count()).select_from(SupergraphRow)) or 0


async def next_version(reader: Reader) -> int:
    latest: int | None = await reader.session.scalar(select(func.max(SupergraphRow.version)))
    return (latest or 0) + 1


async def load_hidden_modules(
    reader: Reader, members: Collection[tuple[str, str]], plans: Collection[str]
) -> dict[str, set[str]]:
    """Of modules with their versions, those that a plan's documentation must not name.

    They are those that are not for everybody's eyes and, by plan, those that need a higher one.
    """
    statement = select(
        ModuleRow.module_id,
        ModuleVersionRow.number,
        ModuleRow.tier,
        ModuleRow.visibility,
        ModuleVersionRow.required_plan,
    ).join(ModuleVersionRow, ModuleVersionRow.module_id == ModuleRow.module_id)
    statement = statement.where(among(ModuleRow.module_id, [module for module, _ in members]))
    hidden: dict[str, set[str]] = {plan: set() for plan in plans}
    for module, number, tier, visibility, required_plan in await reader.session.execute(statement):
        if (module, number) not in members:
            continue
        is_secret = tier == "INTERNAL" or visibility != "PUBLIC"
        for plan, codes in hidden.items():
            if is_secret or not includes(plan, required_plan or LOWEST_PLAN):
                codes.add(module)
    return hidden


def _number(key: str) -> int:
    if not key.isascii() or not key.isdigit() or len(key) > 9:
        raise Refusal(InvalidInput(message="after is not a cursor of this list", path=("after",)))
    return int(key)
