"""Module, its versions and dependencies, as the API shows them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from graph.context import Info
from graph.masking import ApiError
from graph.plan.batch import batched
from graph.types.adoption import ModuleAdoption
from graph.types.connection import After, Connection, First, page_request
from graph.types.instance import ModuleInstance, away
from graph.types.scalars import JSON
from models.module import ModuleRow, ModuleVersionRow
from queries.instance import InstancesAway
from queries.registry import Registry
from rules.dependency_graph import transitive_dependencies
from rules.manifest import Requirement

if TYPE_CHECKING:
    from graph.types.api_key import ModuleApiKey
    from graph.types.assignment import ModuleAssignment
    from graph.types.subgraph import SubgraphVersion


@strawberry.enum(description="CORE: everybody's, always. OPTIONAL: assigned. INTERNAL: administrators only.")
class ModuleTier(Enum):
    CORE = "CORE"
    OPTIONAL = "OPTIONAL"
    INTERNAL = "INTERNAL"


@strawberry.enum(description="SHARED and PRIVATE modules are seen by the organizations that have them.")
class ModuleVisibility(Enum):
    PUBLIC = "PUBLIC"
    SHARED = "SHARED"
    PRIVATE = "PRIVATE"


@strawberry.type(description="An immutable version of a module.")
class ModuleVersion:
    row: strawberry.Private[ModuleVersionRow]
    number: str = strawberry.field(description="SemVer 2.0.0")
    manifest: JSON
    config_schema: JSON | None = strawberry.field(description="JSON Schema 2020-12")
    default_config: JSON
    permissions: list[str]
    features: list[str]
    published_at: datetime

    @strawberry.field
    async def module(self, info: Info) -> "Module":
        return await load_module(info, self.row.module_id)

    @strawberry.field(description="The lowest plan that includes it; null: every plan.")
    def required_plan(self) -> str | None:
        return self.row.required_plan

    @staticmethod
    def from_row(row: ModuleVersionRow) -> "ModuleVersion":
        return ModuleVersion(
            row=row,
            number=row.number,
            manifest=row.manifest,
            config_schema=row.config_schema,
            default_config=row.default_config,
            permissions=row.permissions,
            features=row.features,
            published_at=row.published_at,
        )


@strawberry.type(description="What a module's latest version requires.")
class ModuleDependency:
    module: "Module"
    range: str = strawberry.field(description="npm range syntax")
    optional: bool


@strawberry.federation.type(keys=["code"], description="A module of the registry.")
class Module:
    row: strawberry.Private[ModuleRow]
    code: str
    name: str
    description: str
    category: str
    tags: list[str]
    tier: ModuleTier
    visibility: ModuleVisibility
    is_active: bool = strawberry.field(description="The system-wide switch.")
    service_name: str | None
    api_endpoint: str | None
    metadata: JSON
    revision: int = strawberry.field(description="Rev of the platform stream that last touched it.")
    created_at: datetime
    updated_at: datetime

    @strawberry.field
    async def latest_version(self, info: Info) -> ModuleVersion | None:
        row = await info.context.loaders.version.load((self.row.module_id, self.row.version))
        return None if row is None else ModuleVersion.from_row(row)

    @strawberry.field(description="Newest first, by SemVer.")
    async def versions(self, info: Info, first: First = None, after: After = None) -> Connection[ModuleVersion]:
        request = page_request(first, after)
        page = await info.context.loaders.versions.load((self.row.module_id, request))
        return Connection[ModuleVersion].of(page, request, ModuleVersion.from_row)

    @strawberry.field(description="What the latest version requires; transitively, each module once.")
    async def dependencies(self, info: Info, transitive: bool | None = False) -> list[ModuleDependency]:
        requirements = await info.context.loaders.requirements.load(None)
        found = _reached(requirements, self.row.module_id, is_transitive=bool(transitive))
        rows = await info.context.loaders.module.load_many([each.module for each in found])
        return [
            ModuleDependency(module=Module.from_row(row), range=each.range, optional=each.is_optional)
            for each, row in zip(found, rows, strict=True)
            if row is not None
        ]

    @strawberry.field(description="The modules whose latest version requires this one.")
    async def dependents(self, info: Info, transitive: bool | None = False) -> list["Module"]:
        dependents = await info.context.loaders.dependents.load(None)
        if transitive:
            codes = sorted(transitive_dependencies(dependents, self.row.module_id))
        else:
            codes = sorted(dependents.get(self.row.module_id, ()))
        rows = await info.context.loaders.module.load_many(codes)
        return [Module.from_row(row) for row in rows if row is not None]

    @strawberry.field(description="Who uses it. Platform administrators only.")
    async def assignments(
        self, info: Info, first: First = None, after: After = None
    ) -> Connection[Annotated["ModuleAssignment", strawberry.lazy("graph.types.assignment")]]:
        from graph.types.assignment import ModuleAssignment  # noqa: PLC0415  # the two types show each other

        if not info.context.actor.is_platform_admin:
            raise ApiError("FORBIDDEN", "Module.assignments is for platform administrators")
        loaders, code, request = info.context.loaders, self.row.module_id, page_request(first, after)
        page = await loaders.module_assignments.load((code, request))
        return Connection[ModuleAssignment].of(
            page, request, ModuleAssignment.from_row, count=lambda: loaders.assignment_count.load(code)
        )

    @strawberry.field(
        description="How far it has spread, folded from the events and so a moment behind."
        " Platform administrators only; null for everybody else."
    )
    async def adoption(self, info: Info) -> ModuleAdoption | None:
        if not info.context.actor.is_platform_admin:
            return None
        return ModuleAdoption.of(await info.context.loaders.adoption.load(self.row.module_id))

    @strawberry.field(description="The newest first, revoked ones too. Platform administrators only; null for others.")
    async def api_keys(
        self, info: Info
    ) -> list[Annotated["ModuleApiKey", strawberry.lazy("graph.types.api_key")]] | None:
        from graph.types.api_key import ModuleApiKey  # noqa: PLC0415  # the two types show each other

        if not info.context.actor.is_platform_admin:
            return None
        rows = await info.context.loaders.api_keys.load(self.row.module_id)
        return [ModuleApiKey.from_row(row) for row in rows]

    @strawberry.field(description="The version that is in the graph. For its own service and the platform; else null.")
    async def subgraph(
        self, info: Info
    ) -> Annotated["SubgraphVersion", strawberry.lazy("graph.types.subgraph")] | None:
        from graph.types.subgraph import SubgraphVersion  # noqa: PLC0415  # the two types show each other

        if not info.context.actor.may_keep_module(self.row.module_id):
            return None
        row = await info.context.loaders.subgraph.load(self.row.module_id)
        return None if row is None else SubgraphVersion.from_row(row)

    @strawberry.field(description="The latest registered first. For its own service and the platform; else none.")
    async def subgraphs(
        self, info: Info, first: First = None, after: After = None
    ) -> Connection[Annotated["SubgraphVersion", strawberry.lazy("graph.types.subgraph")]]:
        from graph.types.subgraph import SubgraphVersion  # noqa: PLC0415  # the two types show each other

        request = page_request(first, after)
        page = await info.context.loaders.subgraphs.load((self.row.module_id, request))
        return Connection[SubgraphVersion].of(page, request, SubgraphVersion.from_row)

    @strawberry.field(
        description="Where its service runs. Platform administrators and that service only; null for others."
    )
    async def instances(self, info: Info) -> list[ModuleInstance] | None:
        if not info.context.actor.may_keep_module(self.row.module_id):
            return None
        try:
            found = await info.context.loaders.instances.load(self.row.module_id)
        except InstancesAway:
            raise away() from None
        return [ModuleInstance.of(each) for each in found]

    @classmethod
    async def resolve_reference(cls, info: Info, code: str, **_: object) -> "Module | None":
        row = await info.context.loaders.module.load(code)
        return None if row is None else Module.from_row(row)

    @staticmethod
    def from_row(row: ModuleRow) -> "Module":
        return Module(
            row=row,
            code=row.module_id,
            name=row.module_name,
            description=row.description,
            category=row.category,
            tags=row.tags,
            tier=ModuleTier(row.tier),
            visibility=ModuleVisibility(row.visibility),
            is_active=row.is_active,
            service_name=row.service_name,
            api_endpoint=row.api_endpoint,
            metadata=row.module_metadata,
            revision=row.revision,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


def _reached(
    requirements: Mapping[str, tuple[Requirement, ...]], code: str, *, is_transitive: bool
) -> list[Requirement]:
    """Direct requirements, or all of them breadth first; optional ones are not followed further."""
    found: dict[str, Requirement] = {}
    waiting = list(requirements.get(code, ()))
    while waiting:
        each = waiting.pop(0)
        if each.module in found or each.module == code:
            continue
        found[each.module] = each
        if is_transitive and not each.is_optional:
            waiting.extend(requirements.get(each.module, ()))
    return list(found.values())


async def load_module(info: Info, code: str) -> Module:
    """A module that must be there: what refers to it is visible, so it is too."""
    row = await info.context.loaders.module.load(code)
    if row is None:
        raise ApiError("NOT_FOUND", f"module {code} is gone")
    return Module.from_row(row)


async def load_modules(info: Info, codes: Sequence[str]) -> list[Module]:
    """Modules that must be there, in order. One that is asked for several times is one object."""
    wanted = list(dict.fromkeys(codes))
    rows = await info.context.loaders.module.load_many(wanted)
    registry = info.context.registry_at_hand()
    shown: Mapping[object, Module] = {} if registry is None else registry.shown
    found = {code: shown.get(row) or _show(registry, code, row) for code, row in zip(wanted, rows, strict=True)}
    return [found[code] for code in codes]


def _show(registry: Registry | None, code: str, row: ModuleRow | None) -> Module:
    """What the row looks like: of the registry's rows made once, and for everybody, so that nobody may change it."""
    if row is None:
        raise ApiError("NOT_FOUND", f"module {code} is gone")
    module = Module.from_row(row)
    if registry is not None and registry.modules.get(code) is row:
        registry.shown[row] = module
    return module


@batched(Module.latest_version)
async def latest_versions(modules: list[Module], info: Info) -> list[ModuleVersion | None]:
    keys = [(module.row.module_id, module.row.version) for module in modules]
    rows = await info.context.loaders.version.load_many(keys)
    return [None if row is None else ModuleVersion.from_row(row) for row in rows]


@batched(ModuleVersion.module)
async def modules_of_versions(versions: list[ModuleVersion], info: Info) -> list[Module]:
    return await load_modules(info, [version.row.module_id for version in versions])
