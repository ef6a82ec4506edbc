"""The worker's part in discovery: asks every instance of every module for its health. One prober at a time.

An instance's address was said by its service, so it is not called before it is known to lead where services may be.
"""

import asyncio
import logging
from contextlib import suppress

import asyncpg
import httpx

from app.upstream import Unreachable, Upstreams, discard
from cache.server import CacheAway
from events.leadership import LOST, connect
from graph.context import Services
from rules.instance import Instance, after_probe

log = logging.getLogger("modplane.probing")

LOOK_SECONDS = 1.0  # a new instance is probed this soon
PROBE_EVERY_SECONDS = 5.0
PROBE_SECONDS_MAX = 2.0
PROBES_MAX = 100  # at a time
HAPPY = range(200, 300)

TAKE = "SELECT pg_try_advisory_lock(hashtext('modplane.prober'))"
MODULES = "SELECT module_id FROM module_registry WHERE deleted_at IS NULL"


async def run_prober(services: Services, *, every_seconds: float = PROBE_EVERY_SECONDS) -> None:
    """Goes on until it is cancelled. Each instance is probed `every_seconds`."""
    prober = Prober(services, every_seconds)
    try:
        while True:
            try:
                await prober.lead()
            except LOST as error:
                log.warning("the prober looks for its database: %s", type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await prober.aclose()


class Prober:
    def __init__(self, services: Services, every_seconds: float) -> None:
        self._services = services
        self._every_seconds = every_seconds
        self._look_seconds = min(LOOK_SECONDS, every_seconds / 2)
        self._upstreams = Upstreams(services.routing, connections=PROBES_MAX)
        self._places = asyncio.Semaphore(PROBES_MAX)
        self._probing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._is_failing = False

    async def lead(self) -> None:
        """Wait for the lock, and probe while the session that holds it stands. Raises what LOST lists."""
        connection = await connect(self._services.database.admin_engine.url, "modplane-prober")
        try:
            while not await connection.fetchval(TAKE):
                await asyncio.sleep(LOOK_SECONDS)
            while True:
                await self._look(connection)
                await asyncio.sleep(self._look_seconds)
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection) -> None:
        """Begin what is due. To ask which modules there are also proves that the lock is still ours."""
        codes = [row["module_id"] for row in await connection.fetch(MODULES)]
        try:
            found, now = await self._services.instances.load(codes)
        except CacheAway as away:
            if not self._is_failing:
                log.warning("nobody is probed, for Redis does not answer: %s", away)
            self._is_failing = True
            return
        self._is_failing = False
        for code, known in found.items():
            for url, instance in known.items():
                if (code, url) not in self._probing and self._is_due(instance, now):
                    task = asyncio.create_task(self._attend(code, url, instance, now))
                    self._probing[code, url] = task
                    task.add_done_callback(lambda _, key=(code, url): self._probing.pop(key))  # type: ignore[misc]

    async def _attend(self, code: str, url: str, instance: Instance | None, now: float) -> None:
        async with self._places:
            with suppress(CacheAway):  # the next look finds it as it is
                if instance is None or instance.at(now) is None:
                    await self._services.instances.forget(code, url)
                    return
                status, failures = after_probe(instance, is_up=await self._is_up(code, instance.health_check))
                await self._services.instances.note_probe(code, url, status, failures)

    def _is_due(self, instance: Instance | None, now: float) -> bool:
        return instance is None or instance.last_checked is None or now - instance.last_checked >= self._every_seconds

    async def _is_up(self, code: str, url: str) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS_MAX):
                response = await self._upstreams.send("GET", url, owner=code, seconds=PROBE_SECONDS_MAX)
                await discard(response)
        except (Unreachable, httpx.HTTPError, OSError, TimeoutError):
            return False
        return response.status_code in HAPPY

    async def aclose(self) -> None:
        tasks = list(self._probing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._upstreams.aclose()
