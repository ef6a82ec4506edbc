"""How far a module has spread: the read model that follows the events, as the API shows it."""

import asyncio
from typing import Any

from tests.live.conftest import Live
from tests.support.stories import admin_of, assign, find_module, register, sign_up, unassign, unique

ADOPTION = "adoption { organizations active versions { version organizations } }"
SECONDS = 30


async def until(live: Live, code: str, expected: dict[str, Any]) -> None:
    """Eventually consistent: what is expected comes, and stays."""
    async with asyncio.timeout(SECONDS):
        while (await find_module(live.platform, code, ADOPTION))["adoption"] != expected:
            await asyncio.sleep(0.1)


async def test_adoption_follows_what_organizations_do(live: Live) -> None:
    platform, code = live.platform, await register(live.platform, unique("adopted"))
    nobody = {"organizations": 0, "active": 0, "versions": []}
    assert (await find_module(platform, code, ADOPTION))["adoption"] == nobody
    first, second, third = [await sign_up(platform) for _ in range(3)]
    await assign(platform, first, code)
    await register(platform, code, "1.10.0")
    await register(platform, code, "1.9.0")
    await assign(platform, second, code, version="1.10.0", activate=False)
    await assign(platform, third, code, version="1.9.0")
    versions = [{"version": number, "organizations": 1} for number in ("1.10.0", "1.9.0", "1.0.0")]
    await until(live, code, {"organizations": 3, "active": 2, "versions": versions})
    await unassign(platform, third, code)
    await until(live, code, {"organizations": 2, "active": 1, "versions": [versions[0], versions[2]]})
    assert (await find_module(platform, code, ADOPTION, as_token=admin_of(first)))["adoption"] is None
