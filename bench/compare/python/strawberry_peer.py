"""Strawberry the way its documentation shows it: FastAPI's router, DataLoaders, SQLAlchemy's ORM, under uvicorn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, cast

import strawberry
from fastapi import FastAPI
from strawberry.fastapi import BaseContext, GraphQLRouter
from strawberry.scalars import JSON

from bench.compare.python import orm
from bench.compare.python.rules import Refused
from bench.compare.python.tables import Module, TenantModule


class Context(BaseContext):
    def __init__(self) -> None:
        super().__init__()
        self.module = orm.loader(orm.load_modules)
        self.organization = orm.loader(orm.load_organizations)
        self.industry = orm.loader(orm.load_industries)
        self.assignments = orm.loader(orm.load_assignments)
        self.configs = orm.loader(orm.load_configs)


Info = strawberry.Info[Context, None]


@strawberry.enum(name="ModuleTier")
class ModuleTier(Enum):
    CORE = "CORE"
    OPTIONAL = "OPTIONAL"
    INTERNAL = "INTERNAL"


@strawberry.enum(name="AssignmentState")
class AssignmentState(Enum):
    INSTALLED = "INSTALLED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    UPDATING = "UPDATING"
    FAILED = "FAILED"


@strawberry.type(name="Module")
class ModuleType:
    code: str
    name: str
    description: str
    category: str
    tier: ModuleTier

    @staticmethod
    def of(row: Module) -> "ModuleType":
        return ModuleType(
            code=row.module_id,
            name=row.module_name,
            description=row.description,
            category=row.category,
            tier=ModuleTier(row.tier),
        )


async def _module(info: Info, code: str) -> ModuleType:
    return ModuleType.of(await info.context.module.load(code))


@strawberry.type(name="Industry")
class IndustryType:
    code: str
    name: str


@strawberry.type(name="ModuleAssignment")
class AssignmentType:
    module_code: strawberry.Private[str]
    version: str
    state: AssignmentState
    config: JSON

    @strawberry.field
    async def module(self, info: Info) -> ModuleType:
        return await _module(info, self.module_code)

    @staticmethod
    def of(row: TenantModule) -> "AssignmentType":
        return AssignmentType(
            module_code=row.module_id,
            version=row.version,
            state=AssignmentState(row.state),
            config=cast("JSON", row.configuration),
        )


@strawberry.type(name="EffectiveConfig")
class EffectiveConfigType:
    module_code: strawberry.Private[str]
    values: JSON

    @strawberry.field
    async def module(self, info: Info) -> ModuleType:
        return await _module(info, self.module_code)


@strawberry.type(name="Company")
class CompanyType:
    organization_id: strawberry.Private[str]
    id: strawberry.ID
    name: str

    @strawberry.field
    async def effective_configs(self, info: Info) -> list[EffectiveConfigType]:
        found = await info.context.configs.load((self.organization_id, self.id))
        return [EffectiveConfigType(module_code=code, values=values) for code, values in found]


@strawberry.type
class CompanyConnection:
    nodes: list[CompanyType]


@strawberry.type(name="Organization")
class OrganizationType:
    industry_code: strawberry.Private[str | None]
    id: strawberry.ID
    name: str
    plan: str
    revision: int

    @strawberry.field
    async def industry(self, info: Info) -> IndustryType | None:
        row = None if self.industry_code is None else await info.context.industry.load(self.industry_code)
        return None if row is None else IndustryType(code=row.industry_code, name=row.industry_name)

    @strawberry.field
    async def modules(self, info: Info) -> list[AssignmentType]:
        return [AssignmentType.of(row) for row in await info.context.assignments.load(self.id)]

    @strawberry.field
    async def companies(self, first: int = 50) -> CompanyConnection:
        rows = await orm.company_page(str(self.id), first)
        nodes = [CompanyType(organization_id=self.id, id=strawberry.ID(row.id), name=row.name) for row in rows]
        return CompanyConnection(nodes=nodes)


@strawberry.type
class ModuleConnection:
    nodes: list[ModuleType]


@strawberry.type
class Query:
    @strawberry.field
    async def modules(self, first: int = 50) -> ModuleConnection:
        return ModuleConnection(nodes=[ModuleType.of(row) for row in await orm.module_page(first)])

    @strawberry.field
    async def organization(self, info: Info, id: strawberry.ID) -> OrganizationType | None:  # noqa: A002
        found = await info.context.organization.load(str(id))
        if found is None:
            return None
        row, rev = found
        return OrganizationType(
            industry_code=row.industry_code, id=strawberry.ID(id), name=row.name, plan=row.plan, revision=rev
        )


@strawberry.input
class AssignModuleInput:
    organization_id: strawberry.ID
    module: str
    config: JSON | None = None


@strawberry.type
class UserError:
    code: str
    message: str


@strawberry.type
class AssignmentsPayload:
    errors: list[UserError]
    revision: int | None
    assignments: list[AssignmentType]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def assign_module(self, input: AssignModuleInput) -> AssignmentsPayload:  # noqa: A002
        config: Any = input.config or {}
        try:
            async with orm.session_of() as session, session.begin():
                row = await orm.assign(session, str(input.organization_id), input.module, config)
        except Refused as refused:
            errors = [UserError(code=refused.code, message=refused.message)]
            return AssignmentsPayload(errors=errors, revision=None, assignments=[])
        return AssignmentsPayload(errors=[], revision=row.revision, assignments=[AssignmentType.of(row)])


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    print("ready", flush=True)
    yield
    await orm.engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(GraphQLRouter(strawberry.Schema(Query, Mutation), context_getter=Context), prefix="/graphql")
