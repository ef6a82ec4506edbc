"""A network that swallows everything between an API process and PostgreSQL, and then is well again."""

import asyncio
import time
from dataclasses import replace

import httpx

from app.embedded.supervisor import Endpoints
from models.database import DatabaseUrls
from tests.conftest import Databases, backends_on
from tests.support.platform import Platform, running_platform
from tests.support.proxy import proxy
from tests.support.stories import sign_up

RENAME = "mutation($i: UpdateOrganizationInput!) { updateOrganization(input: $i) { revision errors { code } } }"
READ = "query($id: ID!) { organization(id: $id) { name } }"
SERVED_SECONDS = 14.0  # an operation's ten seconds, and a little for giving its connection up


async def ask(platform: Platform, query: str, variables: dict[str, object]) -> tuple[str, float]:
    """The code of what came of it, and how long that took."""
    began = time.monotonic()
    try:
        answer = (await platform.post(query, variables)).json()
    except httpx.TransportError as error:
        return type(error).__name__, time.monotonic() - began
    code = answer["errors"][0]["extensions"]["code"] if "errors" in answer else "DONE"
    return code, time.monotonic() - began


async def test_requests_are_answered_in_the_hole_and_done_after_it(databases: Databases, servers: Endpoints) -> None:
    database = await databases.create()
    async with proxy(lambda: database.port) as between:
        known = backends_on(database, servers)
        urls = known.database
        through = DatabaseUrls(*(url.set(port=between.port) for url in (urls.app, urls.admin, urls.relay)))
        async with running_platform(replace(known, database=through)) as platform:
            ids = [await sign_up(platform) for _ in range(4)]
            rename = [{"i": {"organizationId": each, "name": f"Name {number}"}} for number, each in enumerate(ids * 5)]
            reads: list[dict[str, object]] = [{"id": each} for each in ids]
            await asyncio.gather(*(ask(platform, RENAME, {"i": {**each["i"]}}) for each in rename[:8]))
            between.swallow()
            asked = [
                *(ask(platform, RENAME, {"i": each["i"]}) for each in rename),
                *(ask(platform, READ, r) for r in reads),
            ]
            lost = await asyncio.gather(*asked)
            assert {code for code, _ in lost} <= {"UNAVAILABLE", "TIMEOUT"}
            assert max(seconds for _, seconds in lost) < SERVED_SECONDS
            between.carry_on()
            async with asyncio.timeout(30):
                while (await ask(platform, RENAME, {"i": rename[0]["i"]}))[0] != "DONE":
                    await asyncio.sleep(0.1)
            done = await asyncio.gather(*(ask(platform, RENAME, {"i": each["i"]}) for each in rename))
            assert {code for code, _ in done} == {"DONE"}
            assert {(await ask(platform, READ, each))[0] for each in reads} == {"DONE"}
            database_pools = (platform.services.database.app_engine.pool, platform.services.database.admin_engine.pool)
            async with asyncio.timeout(30):
                while any(pool.checkedout() for pool in database_pools):  # type: ignore[attr-defined]
                    await asyncio.sleep(0.1)
