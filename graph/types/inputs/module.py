"""The inputs of fields about modules, and the requests that they become."""

import strawberry

from commands.module.change import ModuleRef, UpdateModule
from commands.module.register import RegisterModule
from graph.types.inputs.shared import Cascade, name_of
from graph.types.module import ModuleTier, ModuleVisibility
from graph.types.scalars import JSON
from queries.module import ModuleFilter as ModulesWanted


@strawberry.input
class ModuleFilter:
    search: str | None = None
    category: str | None = None
    tag: str | None = None
    tier: ModuleTier | None = None
    is_active: bool | None = None

    def wanted(self) -> ModulesWanted:
        return ModulesWanted(
            search=self.search,
            category=self.category,
            tag=self.tag,
            tier=name_of(self.tier),
            is_active=self.is_active,
        )


@strawberry.input
class RegisterModuleInput:
    manifest: JSON
    visibility: ModuleVisibility | None = None
    tier: ModuleTier | None = None
    idempotency_key: str | None = None

    def request(self) -> RegisterModule:
        return RegisterModule(
            manifest=self.manifest,
            visibility=name_of(self.visibility),
            tier=name_of(self.tier),
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UpdateModuleInput:
    code: str
    name: str | None = None
    description: str | None = None
    category: str | None = None
    tags: list[str] | None = None
    metadata: JSON | None = None
    visibility: ModuleVisibility | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UpdateModule:
        return UpdateModule(
            code=self.code,
            name=self.name,
            description=self.description,
            category=self.category,
            tags=self.tags,
            metadata=self.metadata,
            visibility=name_of(self.visibility),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class ModuleRefInput:
    code: str
    cascade: Cascade | None = Cascade.REFUSE
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> ModuleRef:
        return ModuleRef(
            code=self.code,
            cascade=(self.cascade or Cascade.REFUSE).value,
            dry_run=bool(self.dry_run),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )
