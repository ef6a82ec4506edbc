"""The graphs composed so far, as the API shows them."""

from datetime import datetime

import strawberry

from graph.context import Info
from graph.masking import ApiError
from models.supergraph import SupergraphRow
from queries.supergraph import SupergraphTexts
from rules.plans import is_plan


@strawberry.type(description="A subgraph in a supergraph: `platform`, or a module by its code.")
class SupergraphInput:
    name: str
    subgraph_id: strawberry.ID | None = strawberry.field(description="Null for the platform's own.")
    version: str | None = strawberry.field(description="The module's; null for the platform's own.")
    url: str
    sha256: str = strawberry.field(description="Of the SDL as composed, in hexadecimal.")


@strawberry.type(description="An immutable result of composition.")
class Supergraph:
    row: strawberry.Private[SupergraphRow]
    version: int
    sha256: str = strawberry.field(description="Of the SDL, in hexadecimal; its ETag.")
    composer: str
    inputs: list[SupergraphInput]
    created_at: datetime
    created_by: str = strawberry.field(description="Who asked for the activation that led to it.")

    @strawberry.field(description="What gateways execute.")
    async def sdl(self, info: Info) -> str:
        return (await _texts(info, self.row)).sdl

    @strawberry.field(description="What clients see.")
    async def public_sdl(self, info: Info) -> str:
        return (await _texts(info, self.row)).public_sdl

    @strawberry.field(description="Whether it is the one that is served.")
    async def is_current(self, info: Info) -> bool:
        return await info.context.loaders.supergraph_head.load(None) == self.row.version

    @strawberry.field(
        description="What clients of a plan see: without modules that it does not include, and without those that are"
        " not public. For documentation. Null for a plan that there is not."
    )
    async def contract(self, info: Info, plan: str) -> str | None:
        if not is_plan(plan):
            return None
        return (await _texts(info, self.row)).contract(plan)

    @staticmethod
    def from_row(row: SupergraphRow) -> "Supergraph":
        return Supergraph(
            row=row,
            version=row.version,
            sha256=row.sha256.hex(),
            composer=row.composer,
            inputs=[SupergraphInput(**each) for each in row.inputs],
            created_at=row.created_at,
            created_by=row.created_by,
        )


async def _texts(info: Info, row: SupergraphRow) -> SupergraphTexts:
    texts = await info.context.loaders.supergraph_texts.load(row.version)
    if texts is None:
        raise ApiError("NOT_FOUND", f"supergraph {row.version} is gone")
    return texts
