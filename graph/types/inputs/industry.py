"""The inputs of fields about industries, and the requests that they become."""

import strawberry

from commands.industry import CreateIndustry, DeleteIndustry, TemplateItem, UpdateIndustry
from graph.types.scalars import JSON


@strawberry.input
class IndustryModuleInput:
    module: str
    is_required: bool | None = False
    default_config: JSON | None = None
    display_order: int | None = None

    def item(self) -> TemplateItem:
        return TemplateItem(
            module=self.module,
            is_required=bool(self.is_required),
            default_config=self.default_config,
            display_order=self.display_order,
        )


@strawberry.input
class CreateIndustryInput:
    code: str
    name: str
    description: str | None = None
    modules: list[IndustryModuleInput]
    idempotency_key: str | None = None

    def request(self) -> CreateIndustry:
        return CreateIndustry(
            code=self.code,
            name=self.name,
            description=self.description or "",
            modules=[each.item() for each in self.modules],
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UpdateIndustryInput:
    code: str
    name: str | None = None
    description: str | None = None
    is_active: bool | None = None
    modules: list[IndustryModuleInput] | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UpdateIndustry:
        return UpdateIndustry(
            code=self.code,
            name=self.name,
            description=self.description,
            is_active=self.is_active,
            modules=None if self.modules is None else [each.item() for each in self.modules],
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class IndustryRefInput:
    code: str
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> DeleteIndustry:
        return DeleteIndustry(
            code=self.code,
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )
