"""One graph: what platform and modules know together, and what a tenant gets of it."""

import pytest
from sqlalchemy import text

from tests.gateway.world import World
from tests.support.platform import Platform, token

JOINED = """query($id: ID!) { organization(id: $id) { name warehouseStock { sku quantity }
  companies { nodes { id warehouseStock { sku quantity } } } } }"""


async def test_an_entity_has_the_fields_of_the_module(world: World) -> None:
    tenant = await world.tenant(has_warehouse=True)
    assert await world.receive(tenant, "bolt", 5) == {"receiveWarehouseGoods": {"sku": "bolt", "quantity": 5}}
    await world.receive(tenant, "bolt", -2)
    found = (await world.gateway.data(JOINED, {"id": tenant.organization}, token=tenant.token))["organization"]
    stock = [{"sku": "bolt", "quantity": 3}]
    assert found["warehouseStock"] == stock
    assert found["companies"]["nodes"] == [{"id": tenant.company, "warehouseStock": stock}]
    article = '{ warehouseArticle(sku: "bolt") { quantity } none: warehouseArticle(sku: "nut") { quantity } }'
    found = await world.gateway.data(article, token=tenant.token)
    assert found == {"warehouseArticle": {"quantity": 3}, "none": None}


async def test_the_module_shows_a_tenant_its_own_stock_only(world: World) -> None:
    theirs, mine = await world.tenant(has_warehouse=True), await world.tenant(has_warehouse=True)
    await world.receive(theirs, "theirs", 1)
    # the platform's administrator sees both organizations; the warehouse answers nobody without a tenant
    found = await world.gateway.data(JOINED, {"id": theirs.organization})
    assert found["organization"]["warehouseStock"] is None
    query = '{ warehouseArticle(sku: "theirs") { quantity } }'
    assert await world.gateway.data(query, token=mine.token) == {"warehouseArticle": None}


async def test_without_the_module_its_fields_are_null_and_say_why(world: World) -> None:
    tenant = await world.tenant(has_warehouse=False)
    before = await world.warehouse.requests()
    query = """query($id: ID!, $yes: Boolean!) {
      organization(id: $id) { id ...Stock companies { nodes { id stock: warehouseStock { sku } } } }
      unknown: organization(id: "00000000-0000-7000-8000-000000000000") { ...Stock }
      warehouseArticle(sku: "bolt") @include(if: $yes) { quantity }
      skipped: warehouseArticle(sku: "bolt") @skip(if: $yes) { quantity } }
      fragment Stock on Organization { warehouseStock { sku } }"""
    response = await world.gateway.post(query, {"id": tenant.organization, "yes": True}, token=tenant.token)
    answer = response.json()
    assert answer["data"] == {
        "organization": {
            "id": tenant.organization,
            "warehouseStock": None,
            "companies": {"nodes": [{"id": tenant.company, "stock": None}]},
        },
        "unknown": None,
        "warehouseArticle": None,
    }
    reason = {"code": "MODULE_NOT_ENTITLED", "module": "warehouse"}
    assert {".".join(map(str, each["path"])): each["extensions"] for each in answer["errors"]} == {
        "organization.warehouseStock": reason,
        "organization.companies.nodes.0.stock": reason,
        "warehouseArticle": reason,
    }
    assert await world.warehouse.requests() == before


async def test_a_mutation_of_a_module_is_not_run_without_it(world: World) -> None:
    tenant = await world.tenant(has_warehouse=False)
    before = await world.warehouse.requests()
    query = 'mutation($id: ID!) { receiveWarehouseGoods(companyId: $id, sku: "bolt", quantity: 1) { sku } }'
    answer = (await world.gateway.post(query, {"id": tenant.company}, token=tenant.token)).json()
    assert answer["data"] == {"receiveWarehouseGoods": None}
    assert [each["extensions"]["code"] for each in answer["errors"]] == ["MODULE_NOT_ENTITLED"]
    assert await world.warehouse.requests() == before


async def test_callers_are_who_their_token_says(world: World) -> None:
    assert await world.gateway.code("{ viewer { subject } }", token="nonsense") == "UNAUTHENTICATED"
    assert await world.gateway.code("{ viewer { subject } }", token=token(seconds=-60)) == "UNAUTHENTICATED"
    found = await world.gateway.data("{ viewer { subject roles } }")
    assert found == await world.platform.data("{ viewer { subject roles } }")
    answer = (await world.gateway.post('{ warehouseArticle(sku: "bolt") { sku } }', token=None)).json()
    assert answer["data"] == {"warehouseArticle": None}
    assert answer["errors"][0]["extensions"] == {"code": "MODULE_NOT_ENTITLED", "module": "warehouse"}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("{ __schema { queryType { name } } }", "introspection has been disabled"),
        ("{ warehouseArticel(sku: 1) { sku } }", "Cannot query field"),
        ("{ " + "organizations { nodes { companies { nodes { organization { " * 4 + "id" + " }" * 21, "depth"),
        ("{ " + " ".join(f"a{n}: viewer {{ subject }}" for n in range(101)) + " }", "Aliases limit of 100"),
        ("{ " + "__typename " * 5_001 + "}", "Token limit of 5000"),
        ("{ " + "__typename " * 400 + "}", "the limit for same name pairs: 79800, and at most 50000 allowed"),
        ("{ __typename }" + " " * 100_000, "the limit for document chars: 100014, and at most 100000 allowed"),
    ],
)
async def test_what_is_not_begun(world: World, query: str, says: str) -> None:
    errors = await world.gateway.errors(query)
    assert says in errors[0]["message"]
    assert "warehouseArticle" not in errors[0]["message"]


async def test_bodies_are_bounded(world: World) -> None:
    response = await world.gateway.post("{ __typename }" + " " * 1_100_000)
    assert (response.status_code, response.json()["errors"][0]["extensions"]) == (413, {"code": "PAYLOAD_TOO_LARGE"})


async def test_a_trace_goes_through(world: World) -> None:
    """The platform writes the trace of a request into the events that come of it."""
    tenant = await world.tenant(has_warehouse=False)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    mutation = """mutation($id: ID!) { assignModule(input: { organizationId: $id, module: "warehouse" }) {
      errors { code } } }"""
    response = await world.gateway.post(
        mutation, {"id": tenant.organization}, traceparent=trace, **{"x-request-id": "mine"}
    )
    assert response.json() == {"data": {"assignModule": {"errors": []}}}
    assert response.headers["x-request-id"] == "mine"
    assert await _traces(world.platform, tenant.organization) == {trace}


async def _traces(platform: Platform, organization: str) -> set[str]:
    statement = text("SELECT traceparent FROM event_log WHERE organization_id = :id AND 'warehouse' = ANY(modules)")
    async with platform.services.database.admin_engine.connect() as connection:
        return set((await connection.execute(statement, {"id": organization})).scalars())
