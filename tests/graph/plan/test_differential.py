"""Plans answer what graphql-core answers, byte for byte: random operations over the whole schema, on a real world.

PLAN_SEED repeats a run, all but the world's ids; PLAN_OPERATIONS changes its length.
"""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import pytest_asyncio
from strawberry.schema import BaseSchema
from strawberry.types.graphql import OperationType

from app.embedded.supervisor import Endpoints
from app.transport.body import GraphQLRequest
from app.transport.execution import Service, encode, execute, payload
from auth.actor import ANONYMOUS, Actor, Role
from graph import masking
from graph.context import RequestContext
from graph.limits import Limits
from graph.schema import build_schema
from graph.store import DocumentStore
from queries.page import encode_cursor
from tests.conftest import Databases, backends_on
from tests.graph.plan.operations import Generator, Operation, fields_below
from tests.graph.worlds import World, build_world
from tests.support.platform import Platform, running_platform

SEED = int(os.environ.get("PLAN_SEED") or Random().randrange(2**32))
OPERATIONS = int(os.environ.get("PLAN_OPERATIONS") or 10_000)
# made or read anew by every operation, unlike what loaders have loaded
LISTS = {
    "Module": "modules",
    "Organization": "organizations",
    "Industry": "industries",
    "DeadEvent": "deadEvents",
    "Supergraph": "supergraphs",
}
READ_ANEW = {f"Query.{name}" for name in ("_service", "events", "operation", "supergraph", *LISTS.values())} | {
    f"{name}Connection.totalCount" for name in LISTS
}
# wide enough for what the generator makes
LIMITS = Limits(aliases=10_000, root_fields=1_000, directives=10_000, fragments=1_000, cost=1_000_000)

CANCELLED = b"cancelled"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """Without a worker, whose looking for work would take its part of the time."""
    async with running_platform(backends_on(await databases.create(), servers), is_patient=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(platform: Platform) -> AsyncIterator[World]:
    yield await build_world(platform.services.database, 3)


def actors(world: World) -> dict[Actor, int]:
    """Who asks, and how often: who may see little meets errors at once, and nothing behind them."""
    big, company = UUID(world.big), UUID(world.companies[0])
    return {
        Actor(subject="platform", roles=frozenset({Role.SUPER_ADMIN})): 16,
        Actor(subject="owner", roles=frozenset({Role.ORGANIZATION_ADMIN}), organization_id=big): 4,
        Actor(subject="member", roles=frozenset({Role.MEMBER}), organization_id=big, company_id=company): 2,
        Actor(subject="service", roles=frozenset({Role.MODULE}), organization_id=UUID(world.small[0])): 1,
        ANONYMOUS: 1,
    }


def values(world: World) -> dict[str, list[Any]]:
    """What arguments say, by their names."""
    organizations = [world.big, world.big, *world.small[:2]]
    companies = [*world.companies[:2], world.small_companies[0]]
    modules = [*world.leaves[:2], f"hub-{world.size}", f"base-{world.size}", "no-such"]
    manifest = {"name": "checked", "version": "1.0.0", "display_name": "Checked"}
    entities = [
        *[{"__typename": "Module", "code": code} for code in modules] * 4,
        *[{"__typename": "Organization", "id": each, "name": "passed over"} for each in organizations] * 4,
        *[{"__typename": "Company", "id": each} for each in companies] * 4,
        *[{"__typename": "Industry", "code": code} for code in (f"industry-{world.size}", "no-such")] * 4,
        {"__typename": "Module", "id": 7},
        {"__typename": "Query"},
        {"code": "none"},
    ]
    picked = Random(SEED)
    return {
        "Query.organization.id": [*organizations * 3, companies[0], str(uuid4()), "no id"],
        "Query.company.id": [*companies * 3, organizations[0], str(uuid4()), "no id"],
        "Query.operation.id": [world.operation, str(uuid4()), "no id"],
        "Query.industry.code": [f"industry-{world.size}"] * 3 + [f"industry-{world.size}-1", "no-such"],
        "organizationId": [*organizations, "no id"],
        "companyId": [*companies, str(uuid4()), "no id"],
        "code": modules,
        "module": modules,
        "moduleCode": modules,
        "industryCode": [f"industry-{world.size}", "no-such"],
        "first": [1, 2, 3] * 6 + [50, 0, 201],
        "after": [encode_cursor(world.companies[0])] * 10 + ["no cursor"],
        "pointer": ["", "/a", "/key1", "/no"] * 5 + ["no pointer"],
        "pointerPrefix": ["", "/a"] * 10 + ["no pointer"],
        "category": [f"size-{world.size}", "x"],
        "search": [f"of {world.size}", "hub"],
        "plan": ["free", "premium"],
        "consumer": [f"world-{world.size}", "x"],
        "manifest": [manifest, {**manifest, "version": "x", "permissions": [1]}, {}, "text", [1, {"a": None}]],
        "representations": [picked.choices(entities, k=picked.randint(0, 5)) for _ in range(30)],
    }


class Compared:
    """The same schema twice: by plans, and by graphql-core alone."""

    def __init__(self, platform: Platform) -> None:
        self.services = platform.services
        self.store = DocumentStore()
        # parsed and validated once for both: what is compared is how they execute
        self.planned = build_schema(LIMITS, store=self.store)
        self.reference = build_schema(LIMITS, store=self.store, is_planning=False)
        self.raced = 0

    async def check(self, operation: Operation, variables: dict[str, Any], contexts: Sequence[RequestContext]) -> None:
        request = GraphQLRequest(
            query=operation.text, variables=variables, operation_name=operation.name, extensions={}
        )
        expected = await self.answer(self.reference, request, contexts[0])
        found = await self.answer(self.planned, request, contexts[1])
        asked = f"seed {SEED}, {contexts[0].actor.subject}\n{operation.text}\n{variables}"
        assert b'"code":"INTERNAL"' not in expected, asked
        if found == expected != CANCELLED:
            return
        self.raced += 1
        if CANCELLED not in {found, expected}:
            assert settled(found) == settled(expected), f"{asked}\n{found[:500]!r}\n{expected[:500]!r}"

    async def answer(self, schema: BaseSchema, request: GraphQLRequest, context: RequestContext) -> bytes:
        service = Service(schema=schema, authenticate=lambda _: None, context_for=lambda *_: None, limits=LIMITS)
        try:
            result = await execute(service, request, context=context, allowed=[OperationType.QUERY])
        except asyncio.CancelledError:
            # graphql-core cancelled a resolver for an error elsewhere, and with it a load that another one waits for
            context.refresh()
            return CANCELLED
        if any(nulled(result.data, error.path) for error in result.errors or ()):
            # graphql-core cancelled what was for nothing then, and a cancelled loader is of no further use
            context.refresh()
        return encode(payload(result))


def settled(answer: bytes) -> tuple[bytes, set[bytes]]:
    """An answer without what hangs on how fast the server is: the order of errors, and where several of them would
    null the same object, which of them was the first.
    """
    parsed = orjson.loads(answer)
    data, errors = parsed.get("data"), parsed.get("errors", ())
    return orjson.dumps(data), {orjson.dumps(nulled(data, error.get("path")) or error) for error in errors}


def nulled(data: Any, path: Sequence[str | int] | None) -> Sequence[str | int] | None:
    """Where the null is, if the error at this path has nulled more than its own field."""
    place = data
    for depth, key in enumerate(path or ()):
        if place is None:
            return ["nulled", *(path or ())[:depth]]
        place = place[key]
    return None


@pytest.mark.timeout(600)
# graphql-core cancels resolvers before they have begun
@pytest.mark.filterwarnings("ignore:.*was never awaited", "ignore:Exception ignored in")
async def test_plans_answer_what_graphql_core_answers(
    platform: Platform, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"PLAN_SEED={SEED}")
    # which of many errors are the first ten hangs on the server's speed, too
    monkeypatch.setattr(masking, "ERRORS_MAX", 10_000)
    compared = Compared(platform)
    random = Random(SEED)
    generator = Generator(compared.reference._schema, values(world), READ_ANEW, random)
    # Loaders are shared by most operations of an actor: the world does not change, and this reads it once.
    shared = {actor: RequestContext(actor=actor, services=platform.services) for actor in actors(world)}
    often = list(actors(world).values())
    executed = 0
    while executed < OPERATIONS:
        operation = generator.operation()
        for number, variables in enumerate(operation.variables):
            contexts = random.choices(list(shared.values()), often) * 2
            if number == 0 and random.random() < 0.25:
                contexts = [RequestContext(actor=each.actor, services=platform.services) for each in contexts]
            await compared.check(operation, variables, contexts)
            executed += 1
    gc.collect()  # resolvers that graphql-core never began, while their warnings are still passed over
    runs = compared.store.runs
    print(f"{executed} operations: {runs}, {compared.raced} with errors in a race")
    every = fields_below(compared.reference._schema)
    assert len(generator.asked & every) > min(0.95, executed / 10_000) * len(every)
    assert runs.by_plan > 0.6 * executed
    assert runs.abnormal > 0.02 * executed
    assert compared.raced < 0.02 * executed
    assert 0 < runs.unplanned < 0.2 * executed
