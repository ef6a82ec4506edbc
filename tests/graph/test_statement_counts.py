"""How many statements a query needs does not depend on how many things it answers with: 1, 10 or 1,000."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_composite_type,
)

from app.embedded.supervisor import Endpoints
from auth.actor import Role
from graph.schema import schema
from tests.conftest import Databases, backends_on
from tests.graph.worlds import World, build_world
from tests.support.platform import Platform, running_platform, token
from tests.support.stories import sign_up

SIZES = (1, 10, 1_000)
# Two branches of a query share a statement when they ask the same loader in the same tick, and need two when one of
# them waited longer for the server: chance, bounded by the number of branches, and never by the number of things.
CHANCE = 2
MODULE = "code name latestVersion { number module { code } }"
ASSIGNMENT = f"version isAvailable organization {{ name }} module {{ {MODULE} }} dependencyOf {{ code }}"
CONFIG = "values revision module { code } organization { id } company { id } leaves { pointer shadowed { layer } }"

# What each query is for: the list fields in it, and the query. Pages are as long as the world is large, up to 200.
QUERIES: dict[str, tuple[set[str], str]] = {
    "modules, each with what it requires and who requires it": (
        {"Query.modules", "Module.dependencies", "Module.dependents"},
        f"query($category: String, $first: Int) {{ modules(filter: {{category: $category}}, first: $first) {{ "
        f" totalCount nodes {{ {MODULE} dependencies {{ range module {{ code dependencies {{ module {{ code }} }} }} }}"
        " dependents { code latestVersion { number } } } edges { node { code } } } }",
    ),
    "modules, each with the closure of what it requires": (
        {"Query.modules", "Module.dependencies", "Module.dependents"},
        "query($category: String, $first: Int) { modules(filter: {category: $category}, first: $first) { nodes { code"
        " dependencies(transitive: true) { module { code } } dependents(transitive: true) { code } } } }",
    ),
    "modules, each with pages of versions and assignments": (
        {"Query.modules", "Module.versions", "Module.assignments", "ModuleAssignment.dependencyOf"},
        "query($category: String, $first: Int) { modules(filter: {category: $category}, first: $first) { nodes { code"
        " versions(first: 2) { totalCount nodes { number module { code } } }"
        f" assignments(first: 2) {{ totalCount nodes {{ {ASSIGNMENT} }} }} }} }} }}",
    ),
    "modules, each with how far it has spread": (
        {"Query.modules", "ModuleAdoption.versions"},
        "query($category: String, $first: Int) { modules(filter: {category: $category}, first: $first) { nodes { code"
        " adoption { organizations active versions { version organizations } } } } }",
    ),
    "one module that has spread in many versions": (
        {"ModuleAdoption.versions"},
        "query($hub: String!) { module(code: $hub) { adoption { organizations versions { version } } } }",
    ),
    "modules, each with what it brings into the graph": (
        {"Query.modules", "Module.subgraphs", "SubgraphVersion.findings", "SubgraphVersion.changes"},
        "query($category: String, $first: Int) { modules(filter: {category: $category}, first: $first) { nodes {"
        " subgraph { stampedSdl } subgraphs(first: 2) { nodes { sdl findings { code } changes { path }"
        " module { code } } } } } }",
    ),
    "modules, each with where its service runs and by which keys": (
        {"Query.modules", "Module.instances", "Module.apiKeys"},
        "query($category: String, $first: Int) { modules(filter: {category: $category}, first: $first) { nodes { code"
        " instances { url status } apiKeys { name module { code } } } } }",
    ),
    "supergraphs": (
        {"Query.supergraphs", "Supergraph.inputs"},
        "query($first: Int) { supergraphs(first: $first) { totalCount nodes { sdl isCurrent inputs { name } } } }",
    ),
    "dead letters": (
        {"Query.deadEvents"},
        "query($deadConsumer: String, $first: Int) { deadEvents(consumer: $deadConsumer, first: $first) { totalCount"
        " nodes { eventId status errorText } edges { cursor } } }",
    ),
    "one module with many of everything": (
        {"Module.dependencies", "Module.versions"},
        f"query($hub: String!, $first: Int) {{ module(code: $hub) {{ {MODULE} dependencies {{ module {{ {MODULE} }} }}"
        " versions(first: $first) { nodes { number module { code } } } } }",
    ),
    "one module that many require and many have": (
        {"Module.dependents", "Module.assignments", "ModuleAssignment.dependencyOf"},
        f"query($base: String!, $first: Int) {{ module(code: $base) {{ dependents {{ {MODULE} }}"
        f" assignments(first: $first) {{ totalCount nodes {{ {ASSIGNMENT} }} }} }} }}",
    ),
    "industries, each with its modules": (
        {"Query.industries", "Industry.modules"},
        "query($afterIndustry: String, $first: Int) { industries(after: $afterIndustry, first: $first) {"
        " totalCount nodes { code modules { isRequired module { code dependencies { module { code } } } } } } }",
    ),
    "one industry of many modules": (
        {"Industry.modules", "Module.dependencies"},
        f"query($industry: String!) {{ industry(code: $industry) {{ modules {{ module {{ {MODULE}"
        " dependencies { module { code } } dependents { code } } } } }",
    ),
    "organizations, each with modules, and those with what they require": (
        {"Query.organizations", "Organization.modules", "Module.dependencies", "ModuleAssignment.dependencyOf"},
        "query($search: String, $first: Int) { organizations(filter: {search: $search}, first: $first) { totalCount"
        " nodes { name industry { code modules { module { code } } } modules { version module { code"
        " dependencies(transitive: true) { module { code } } } dependencyOf { code } } } } }",
    ),
    "organizations, each with companies and effective configurations": (
        {
            "Query.organizations",
            "Organization.companies",
            "Organization.effectiveConfigs",
            "Company.effectiveConfigs",
            "EffectiveConfig.leaves",
            "ConfigLeaf.shadowed",
        },
        "query($search: String, $first: Int) { organizations(filter: {search: $search}, first: $first) { nodes { name"
        f" effectiveConfigs {{ {CONFIG} }} companies(first: 2) {{ nodes {{ organization {{ name }}"
        f" effectiveConfigs {{ {CONFIG} }} }} }} }} }} }}",
    ),
    "one organization with many modules": (
        {"Organization.modules", "ModuleAssignment.dependencyOf"},
        f"query($big: ID!) {{ organization(id: $big) {{ modules {{ {ASSIGNMENT} }} }} }}",
    ),
    "one organization with many effective configurations": (
        {"Organization.effectiveConfigs", "EffectiveConfig.leaves", "ConfigLeaf.shadowed"},
        f"query($big: ID!) {{ organization(id: $big) {{ effectiveConfigs {{ {CONFIG} }} }} }}",
    ),
    "one organization with many companies": (
        {"Organization.companies"},
        "query($big: ID!, $first: Int, $base: String!) { organization(id: $big) { companies(first: $first) { nodes {"
        f" name organization {{ name }} effectiveConfig(module: $base) {{ {CONFIG} }} }} edges {{ cursor }} }} }} }}",
    ),
    "one company with many effective configurations": (
        {"Company.effectiveConfigs", "EffectiveConfig.leaves"},
        f"query($company: ID!) {{ company(id: $company) {{ effectiveConfigs {{ {CONFIG} }} }} }}",
    ),
    "one effective configuration of many values": (
        {"EffectiveConfig.leaves", "ConfigLeaf.shadowed"},
        f"query($big: ID!, $hub: String!) {{ effectiveConfig(organizationId: $big, module: $hub) {{ {CONFIG} }} }}",
    ),
    "events, each with its organization and module": (
        {"Query.events"},
        "query($big: ID!, $first: Int) { events(organizationId: $big, first: $first) { nodes { revision"
        f" organization {{ name }} module {{ {MODULE} dependents {{ code }} }} }} edges {{ cursor }} }} }}",
    ),
    "one operation of many errors": (
        {"Operation.errors"},
        "query($operation: ID!) { operation(id: $operation) { status errors { message } } }",
    ),
}
# Lists that are values of what was read, or of what was just written: there is nothing to load for their items.
WRITTEN = {
    *(f"{name}.errors" for name in schema._schema.type_map if name.endswith("Payload")),
    "AssignmentsPayload.affected",
    "AssignmentsPayload.assignments",
    "ModulePayload.affected",
    "Query.validateManifest",
}
IN_MEMORY = {"one industry of many modules", "Industry"}
ENTITY_SELECTIONS = {
    "Module": f"{MODULE} dependencies {{ module {{ code }} }} versions(first: 1) {{ nodes {{ number }} }}",
    "Industry": "name modules { module { code } }",
    "Organization": "name modules { module { code } dependencyOf { code } } effectiveConfigs { values }",
    "Company": "name organization { name } effectiveConfigs { values module { code } }",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def platform(databases: Databases, servers: Endpoints) -> AsyncIterator[Platform]:
    """Without a worker, whose looking for work would be counted too."""
    async with running_platform(backends_on(await databases.create(), servers), is_patient=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worlds(platform: Platform) -> list[World]:
    built = [await build_world(platform.services.database, size) for size in SIZES]
    async with asyncio.timeout(30):  # until the registry is in memory: a query that needs nothing else asks nothing
        while await statement_texts(platform, '{ module(code: "crm") { name } }', {}):
            pass
    return built


async def statement_texts(platform: Platform, query: str, variables: dict[str, Any]) -> list[str]:
    with platform.statements() as counted:
        await platform.data(query, variables)
    return counted.texts


def check_same(sent: list[list[str]], *, most: int) -> None:
    """The same statements at every size, and as many of them; none at all when the registry is enough."""
    if most == 0:
        assert sent == [[], [], []]
        return
    assert [set(texts) for texts in sent] == [set(sent[0])] * len(SIZES)
    counts = [len(texts) for texts in sent]
    assert max(counts) - min(counts) <= CHANCE, counts
    assert 1 <= max(counts) <= most, counts


def is_loaded_list(type_: GraphQLOutputType) -> bool:
    """Whether a field answers with many objects, in a list or in pages."""
    named, bare = get_named_type(type_), type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    return is_composite_type(named) and (isinstance(bare, GraphQLList) or named.name.endswith("Connection"))


def test_every_list_of_the_schema_is_counted() -> None:
    lists = {
        f"{type_.name}.{name}"
        for type_ in schema._schema.type_map.values()
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        # what a page holds is counted with the page
        if is_loaded_list(field.type) and not type_.name.endswith("Connection")
    }
    counted = set().union(*(fields for fields, _ in QUERIES.values()))
    assert lists == counted | WRITTEN | {"Query._entities"}
    for fields, query in QUERIES.values():
        assert all(field.split(".")[1] in query for field in fields)


@pytest.mark.parametrize("name", QUERIES)
async def test_a_list_costs_the_same_at_any_length(platform: Platform, worlds: list[World], name: str) -> None:
    _, query = QUERIES[name]
    declared = query.split("{")[0]
    sent = []
    for world in worlds:
        variables = {key: value for key, value in world.variables.items() if f"${key}:" in declared}
        sent.append(await statement_texts(platform, query, variables))
    check_same(sent, most=0 if name in IN_MEMORY else 12)


@pytest.mark.parametrize("type_name", ENTITY_SELECTIONS)
async def test_entities_cost_the_same_at_any_number(platform: Platform, worlds: list[World], type_name: str) -> None:
    query = (
        "query($representations: [_Any!]!) { _entities(representations: $representations) {"
        f" ... on {type_name} {{ {ENTITY_SELECTIONS[type_name]} }} }} }}"
    )
    sent = []
    for world in worlds:
        keys = {
            "Module": [{"code": code} for code in world.leaves],
            "Industry": [{"code": f"industry-{world.size}-{number + 1}"} for number in range(world.size)],
            "Organization": [{"id": each} for each in world.small],
            "Company": [{"id": each} for each in world.small_companies],
        }
        representations = [{"__typename": type_name, **key} for key in keys[type_name]]
        assert len(representations) == world.size
        with platform.statements() as counted:
            found = await platform.data(query, {"representations": representations})
        assert None not in found["_entities"]
        sent.append(counted.texts)
    check_same(sent, most=0 if type_name in IN_MEMORY else 8)


@pytest.mark.parametrize("size", SIZES)
async def test_checking_a_manifest_reads_nothing(platform: Platform, size: int) -> None:
    document = {"name": "checked", "version": "1.0.0", "display_name": "Checked", "permissions": ["x"] * size}
    query = "query($manifest: JSON!) { validateManifest(manifest: $manifest) { message } }"
    with platform.statements() as counted:
        found = await platform.data(query, {"manifest": document})
    assert found["validateManifest"] != []
    assert counted.count == 0


async def test_a_tenants_own_is_three_statements(platform: Platform) -> None:
    organization = await sign_up(platform, industry="healthcare")
    bearer = token(Role.MEMBER, organization=organization)
    query = (
        "query($id: ID!) { organization(id: $id) { name industry { name } modules { version config module { name } }"
        " effectiveConfigs { values module { name latestVersion { number } } } } }"
    )
    await platform.data("query($id: ID!) { organization(id: $id) { id } }", {"id": organization}, token=bearer)
    with platform.statements() as counted:  # its floor is known now
        found = await platform.data(query, {"id": organization}, token=bearer)
    assert len(found["organization"]["modules"]) > 1
    assert len(counted.texts) == len(set(counted.texts)) == 3
