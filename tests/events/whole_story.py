"""A story in which every type of event happens, through the public API."""

import asyncio
from typing import Any

from sqlalchemy import text

from tests.support.platform import Platform
from tests.support.stories import (
    assign,
    create_company,
    manifest,
    register,
    set_company_config,
    set_config,
    sign_up,
    try_register,
    unassign,
    unique,
)

# as a worker would have composed it: this story is told without Node as well
ARTIFACT = """
INSERT INTO supergraph_artifacts(version, sdl, public_sdl, sha256, contracts, composer, inputs, platform_sdl, revision,
                                 created_by)
SELECT coalesce((SELECT max(version) FROM supergraph_artifacts), 0) + 1, 'sdl', 'sdl', sha256('sdl'), '{}',
  'composer 1.0.0', jsonb_build_array(jsonb_build_object(
  'name', 'platform', 'subgraph_id', null, 'version', null, 'url', 'http://127.0.0.1/graphql', 'sha256',
  encode(sha256('sdl'), 'hex'))), 'sdl', 1, 'tester'
RETURNING version
"""


async def _mutate(platform: Platform, name: str, kind: str, given: dict[str, Any]) -> None:
    query = f"mutation($input: {kind}!) {{ {name}(input: $input) {{ errors {{ message }} }} }}"
    assert (await platform.data(query, {"input": given}))[name] == {"errors": []}


async def whole_story(platform: Platform) -> None:
    """One event of every type."""
    code, industry = await register(platform, unique("story")), unique("trade")
    await try_register(platform, manifest(code, "1.1.0"))
    await _mutate(platform, "updateModule", "UpdateModuleInput", {"code": code, "name": "Told"})
    item = {"module": code, "defaultConfig": {"a": 1}}
    given = {"code": industry, "name": industry, "modules": [item]}
    await _mutate(platform, "createIndustry", "CreateIndustryInput", given)
    await _mutate(platform, "updateIndustry", "UpdateIndustryInput", {"code": industry, "description": "d"})
    organization = await sign_up(platform, industry=industry)
    company = await create_company(platform, organization)
    await set_config(platform, organization, code, {"b": 2}, reason="because")
    await set_company_config(platform, company, code, {"c": 3})
    await assign(platform, organization, "leave")
    await unassign(platform, organization, "leave")
    rename = {"organizationId": organization, "name": "Renamed"}
    await _mutate(platform, "updateOrganization", "UpdateOrganizationInput", rename)
    await _mutate(platform, "deactivateModule", "ModuleRefInput", {"code": code})
    await _mutate(platform, "activateModule", "ModuleRefInput", {"code": code})
    bulk = {"organizationIds": [organization], "modules": ["career"]}
    await _mutate(platform, "bulkAssignModules", "BulkAssignModulesInput", bulk)
    subgraph = {"module": code, "version": "1.1.0", "sdl": "type Query", "routingUrl": "https://story.example.com/"}
    await _mutate(platform, "registerSubgraph", "RegisterSubgraphInput", subgraph)
    async with platform.services.database.admin_engine.begin() as connection:
        version = await connection.scalar(text(ARTIFACT))
    await _mutate(platform, "rollbackSupergraph", "RollbackSupergraphInput", {"version": version})
    await _mutate(platform, "deleteIndustry", "IndustryRefInput", {"code": industry})
    await _mutate(platform, "deleteModule", "ModuleRefInput", {"code": code, "cascade": "AUTO"})
    open_operations = text("SELECT count(*) FROM operations WHERE status IN ('PENDING', 'RUNNING')")
    while True:
        async with platform.services.database.platform_session() as session:
            if not await session.scalar(open_operations):
                return
        await asyncio.sleep(0.05)
