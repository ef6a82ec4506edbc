"""An operation that has ended well leaves nothing for the garbage collector: what it loaded is gone with it."""

import gc
from collections import Counter
from typing import Any

import pytest

from auth.actor import Role
from graph.context import RequestContext
from graph.loader import DataLoader
from graph.loaders import Loaders
from queries.assignment import Assigned
from tests.support.platform import Platform, token
from tests.support.stories import assign, sign_up

OURS = (RequestContext, Loaders, DataLoader, Assigned)
TIMES = 5
NESTED = "query($id: ID!) { organization(id: $id) { name industry { code } modules { config module { code name } } } }"
CONFIGS = "query($id: ID!) { organization(id: $id) { effectiveConfigs { values module { code } } } }"
RENAME = (
    'mutation($id: ID!) { updateOrganization(input: {organizationId: $id, name: "Other"}) {'
    " organization { id modules { version } } errors { message } } }"
)


async def leftovers(platform: Platform, query: str, variables: dict[str, Any], bearer: str) -> Counter[str]:
    for _ in range(3):  # parsed, compiled, kept
        await platform.data(query, variables, token=bearer)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for number in range(TIMES):
            # another document each time: its answer is not one that was kept
            await platform.data(f"{query} # {number}", variables, token=bearer)
        gc.collect()
        return Counter(type(each).__name__ for each in gc.garbage if isinstance(each, OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("query", [NESTED, CONFIGS, RENAME])
async def test_nothing_is_left_of_an_operation(platform: Platform, query: str) -> None:
    organization = await sign_up(platform)
    await assign(platform, organization, "hr")
    bearer = token(organization=organization, role=Role.ORGANIZATION_ADMIN)
    assert await leftovers(platform, query, {"id": organization}, bearer) == Counter()
