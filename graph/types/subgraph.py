"""What a version of a module brings into the graph, and what the checks say of it, as the API shows them."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from graph.context import Info
from graph.masking import ApiError
from graph.plan.batch import batched
from graph.types.module import Module, load_module, load_modules
from models.subgraph import SubgraphVersionRow
from queries.subgraph import SubgraphTexts


@strawberry.enum(
    description="CHECKING, then FAILED, NEEDS_APPROVAL or CHECKED; ACTIVATING, then ACTIVE; RETIRING, then RETIRED."
)
class SubgraphState(Enum):
    CHECKING = "CHECKING"
    FAILED = "FAILED"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"
    CHECKED = "CHECKED"
    ACTIVATING = "ACTIVATING"
    ACTIVE = "ACTIVE"
    RETIRING = "RETIRING"
    RETIRED = "RETIRED"


@strawberry.enum(description="An ERROR keeps it out of the graph.")
class FindingSeverity(Enum):
    ERROR = "ERROR"
    WARNING = "WARNING"


@strawberry.enum(
    description="What a change does to clients: BREAKING ones fail, DANGEROUS ones may behave differently."
)
class ChangeCriticality(Enum):
    BREAKING = "BREAKING"
    DANGEROUS = "DANGEROUS"
    SAFE = "SAFE"


@strawberry.type(description="What a check has to say. Lines and columns count from 1, in the SDL as registered.")
class SubgraphFinding:
    severity: FindingSeverity
    code: str
    message: str
    line: int | None
    column: int | None
    coordinate: str | None = strawberry.field(description="`Type`, `Type.field`, `Type.field(argument:)`.")

    @staticmethod
    def of(stored: Mapping[str, Any]) -> "SubgraphFinding":
        return SubgraphFinding(
            severity=FindingSeverity(stored["severity"]),
            code=stored["code"],
            message=stored["message"],
            line=stored["line"],
            column=stored["column"],
            coordinate=stored["coordinate"],
        )


@strawberry.type(description="What would be different in the public schema.")
class SchemaChange:
    criticality: ChangeCriticality
    code: str
    path: str
    message: str

    @staticmethod
    def of(stored: Mapping[str, Any]) -> "SchemaChange":
        return SchemaChange(
            criticality=ChangeCriticality(stored["criticality"]),
            code=stored["code"],
            path=stored["path"],
            message=stored["message"],
        )


@strawberry.type(
    description="What a version of a module brings into the graph. Seen by its own service and the platform."
)
class SubgraphVersion:
    row: strawberry.Private[SubgraphVersionRow]
    id: strawberry.ID
    version: str
    sdl_sha256: str = strawberry.field(description="Of the SDL as registered, in hexadecimal.")
    routing_url: str
    state: SubgraphState
    findings: list[SubgraphFinding]
    changes: list[SchemaChange] = strawberry.field(description="Against the graph served when it was checked last.")
    requested_by: str
    approved_by: str | None
    created_at: datetime
    updated_at: datetime
    revision: int = strawberry.field(description="Rev of the platform stream that last touched it.")

    @strawberry.field
    async def module(self, info: Info) -> Module:
        return await load_module(info, self.row.module_id)

    @strawberry.field(description="As registered.")
    async def sdl(self, info: Info) -> str:
        return (await _texts(info, self.row)).sdl

    @strawberry.field(description="As composed: with the module's own policy and tag. Null before it was checked.")
    async def stamped_sdl(self, info: Info) -> str | None:
        return (await _texts(info, self.row)).stamped_sdl

    @staticmethod
    def from_row(row: SubgraphVersionRow) -> "SubgraphVersion":
        return SubgraphVersion(
            row=row,
            id=strawberry.ID(str(row.id)),
            version=row.version,
            sdl_sha256=row.sdl_sha256.hex(),
            routing_url=row.routing_url,
            state=SubgraphState(row.state),
            findings=[SubgraphFinding.of(each) for each in row.findings],
            changes=[SchemaChange.of(each) for each in row.changes],
            requested_by=row.requested_by,
            approved_by=row.approved_by,
            created_at=row.created_at,
            updated_at=row.updated_at,
            revision=row.revision,
        )


@batched(Module.subgraph)
async def subgraphs_of_modules(modules: list[Module], info: Info) -> list[SubgraphVersion | None]:
    may_keep = info.context.actor.may_keep_module
    kept = [module.row.module_id for module in modules if may_keep(module.row.module_id)]
    rows = dict(zip(kept, await info.context.loaders.subgraph.load_many(kept), strict=True))
    found = [rows.get(module.row.module_id) for module in modules]
    return [None if row is None else SubgraphVersion.from_row(row) for row in found]


@batched(SubgraphVersion.module)
async def modules_of_subgraphs(subgraphs: list[SubgraphVersion], info: Info) -> list[Module]:
    return await load_modules(info, [subgraph.row.module_id for subgraph in subgraphs])


async def _texts(info: Info, row: SubgraphVersionRow) -> SubgraphTexts:
    texts = await info.context.loaders.subgraph_texts.load(row.id)
    if texts is None:
        raise ApiError("NOT_FOUND", f"subgraph {row.id} is gone")
    return texts
