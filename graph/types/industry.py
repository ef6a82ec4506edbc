"""Industry templates, as the API shows them."""

import strawberry

from graph.context import Info
from graph.types.module import Module
from graph.types.scalars import JSON
from models.industry import IndustryModuleRow, IndustryRow
from queries.registry import Registry


@strawberry.type(description="A module of an industry's template.")
class IndustryModule:
    module: Module
    is_required: bool
    default_config: JSON = strawberry.field(description="The base of the organization's layer.")
    display_order: int

    @staticmethod
    def of(row: IndustryModuleRow, module: Module) -> "IndustryModule":
        return IndustryModule(
            module=module,
            is_required=row.is_required,
            default_config=row.default_config,
            display_order=row.display_order,
        )


@strawberry.federation.type(keys=["code"], description="A template of modules, applied at signup or later.")
class Industry:
    code: str
    name: str
    description: str
    is_active: bool
    revision: int = strawberry.field(description="Rev of the platform stream that last touched it.")

    @strawberry.field(description="By display order.")
    async def modules(self, info: Info) -> list[IndustryModule]:
        loaders = info.context.loaders
        rows = await loaders.industry_modules.load(self.code) or []
        modules = await loaders.module.load_many([row.module_id for row in rows])
        return [
            IndustryModule.of(row, Module.from_row(module))
            for row, module in zip(rows, modules, strict=True)
            if module is not None
        ]

    @classmethod
    async def resolve_reference(cls, info: Info, code: str, **_: object) -> "Industry | None":
        row = await info.context.loaders.industry.load(code)
        return None if row is None else Industry.from_row(row)

    @staticmethod
    def from_row(row: IndustryRow) -> "Industry":
        return Industry(
            code=row.industry_code,
            name=row.industry_name,
            description=row.description,
            is_active=row.is_active,
            revision=row.revision,
        )


def shown_industry(registry: Registry | None, code: str, row: IndustryRow) -> Industry:
    """What the row looks like: of the registry's rows made once, and for everybody, so that nobody may change it."""
    if registry is None or registry.industries.get(code) is not row:
        return Industry.from_row(row)
    found: Industry | None = registry.shown.get(row)
    if found is None:
        found = registry.shown[row] = Industry.from_row(row)
    return found
