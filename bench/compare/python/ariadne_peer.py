"""Ariadne on asyncpg, under uvicorn, batching by aiodataloader."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiodataloader import DataLoader  # type: ignore[import-not-found]
from ariadne import ObjectType, load_schema_from_path, make_executable_schema  # type: ignore[import-not-found]
from ariadne.asgi import GraphQL  # type: ignore[import-not-found]
from starlette.applications import Starlette
from starlette.routing import Route

from bench.compare.python.rules import Refused
from bench.compare.python.store import Store, open_pool


class Loaders:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.module: Any = DataLoader(store.modules)
        self.organization: Any = DataLoader(store.organizations)
        self.industry: Any = DataLoader(store.industries)
        self.assignments: Any = DataLoader(store.assignments)
        self.configs: Any = DataLoader(store.configs)


async def resolve_modules(_: Any, info: Any, first: int) -> Any:
    return await info.context["loaders"].store.module_page(first)


async def resolve_organization(_: Any, info: Any, id: str) -> Any:  # noqa: A002  # as the schema calls it
    return await info.context["loaders"].organization.load(id)


async def resolve_industry(obj: Any, info: Any) -> Any:
    return await info.context["loaders"].industry.load(obj["industry_code"])


async def resolve_assignments(obj: Any, info: Any) -> Any:
    return await info.context["loaders"].assignments.load(obj["id"])


async def resolve_companies(obj: Any, info: Any, first: int) -> Any:
    return await info.context["loaders"].store.companies(obj["id"], first)


async def resolve_configs(obj: Any, info: Any) -> Any:
    return await info.context["loaders"].configs.load((obj["organization_id"], obj["id"]))


async def resolve_module(obj: Any, info: Any) -> Any:
    return await info.context["loaders"].module.load(obj["module_code"])


async def resolve_assign(_: Any, info: Any, input: dict[str, Any]) -> Any:  # noqa: A002
    store = info.context["loaders"].store
    try:
        return await store.assign(input["organizationId"], input["module"], input.get("config") or {})
    except Refused as refused:
        return {"errors": [{"code": refused.code, "message": refused.message}], "revision": None, "assignments": []}


stores: list[Store] = []


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    pool = await open_pool(os.environ["DATABASE_URL"])
    stores.append(Store(pool))
    print("ready", flush=True)
    yield
    await pool.close()


RESOLVERS: dict[str, dict[str, Any]] = {
    "Query": {"modules": resolve_modules, "organization": resolve_organization},
    "Mutation": {"assignModule": resolve_assign},
    "Organization": {
        "industry": resolve_industry,
        "modules": resolve_assignments,
        "companies": resolve_companies,
    },
    "ModuleAssignment": {"module": resolve_module},
    "Company": {"effectiveConfigs": resolve_configs},
    "EffectiveConfig": {"module": resolve_module},
}


def _bound(name: str) -> Any:
    found = ObjectType(name)
    for field, resolver in RESOLVERS[name].items():
        found.set_field(field, resolver)
    return found


SCHEMA = Path(__file__).parents[1] / "node" / "schema.graphql"
schema = make_executable_schema(load_schema_from_path(str(SCHEMA)), [_bound(name) for name in RESOLVERS])
graphql = GraphQL(schema, context_value=lambda request, data: {"request": request, "loaders": Loaders(stores[0])})
app = Starlette(routes=[Route("/graphql", graphql.handle_request, methods=["POST"])], lifespan=lifespan)
