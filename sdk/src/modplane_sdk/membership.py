"""Being part of a platform: registered, checked, in the graph, alive. From the start of a service to its end."""

import asyncio
import logging
from dataclasses import dataclass

from modplane_sdk.api import PlatformError, Refused
from modplane_sdk.client import PlatformClient, SubgraphVersion
from modplane_sdk.service import ModuleService

log = logging.getLogger("modplane_sdk.membership")

HEARTBEAT_SECONDS = 10.0
POLL_SECONDS = 0.5
SETTLED_SECONDS_MAX = 120.0
RETRY_SECONDS = 5.0
LEAVE_SECONDS = 5.0
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 15.0, 600.0
# States that may end without anything being done here: somebody approves, or what the version clashed with goes away.
UNDECIDED = frozenset({"FAILED", "NEEDS_APPROVAL"})


@dataclass(frozen=True)
class Membership:
    """`url`: where this instance is reached by the platform, without a path. `routing_url`: where the gateway reaches
    the module, when that is somewhere else; the same for all instances of a version."""

    client: PlatformClient
    service: ModuleService
    url: str
    routing_url: str | None = None
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    again_seconds: float = AGAIN_SECONDS

    async def run(self) -> None:
        """Join, then send heartbeats until it is cancelled; leave then. Whatever fails is tried again.

        Before it, the service has to answer: the platform asks it for its SDL.
        """
        await self._begin_instance()
        joining = asyncio.create_task(self._join_for_ever())
        try:
            while True:
                await asyncio.sleep(self.heartbeat_seconds)
                await self._beat()
        finally:
            joining.cancel()
            await asyncio.wait([joining])
            await self._leave()

    async def join(self) -> SubgraphVersion:
        """Register the module and its subgraph; into the graph when the checks allow it. Raises PlatformError.

        What is FAILED or NEEDS_APPROVAL is answered as it is: the findings say why, and a person has to do something.
        """
        definition = self.service.definition
        await self.client.register_module(definition)
        version = await self.client.register_subgraph(
            module=definition.code,
            version=definition.version,
            sdl=self.service.schema.as_str(),
            routing_url=(self.routing_url or self.url).rstrip("/") + self.service.doors.graphql,
        )
        version = await self.wait_until_settled(version)
        if version.state == "CHECKED":
            version = await self.wait_until_settled(await self.client.activate_subgraph(version.id))
        return version

    async def wait_until_settled(self, version: SubgraphVersion) -> SubgraphVersion:
        """Raises TimeoutError after two minutes: a worker that checks is missing then."""
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while not version.is_settled:
                await asyncio.sleep(POLL_SECONDS)
                version = await self.client.get_subgraph(version.id)
        return version

    async def _begin_instance(self) -> None:
        while True:
            try:
                await self.client.register_module(self.service.definition)
                await self._register_instance()
            except Refused as refused:
                log.error("the platform refuses this module: %s", refused)  # the reasons say it all
            except PlatformError as error:
                log.warning("cannot join: %s", error)
            else:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _register_instance(self) -> None:
        definition = self.service.definition
        health = self.url.rstrip("/") + self.service.doors.health
        await self.client.register_instance(
            module=definition.code, url=self.url, health_check_url=health, version=definition.version
        )

    async def _join_for_ever(self) -> None:
        """Until it is decided. Asked again ever more seldom: each time costs the platform a check."""
        pause, told = self.again_seconds, None
        while True:
            try:
                version = await self.join()
            except (PlatformError, TimeoutError) as error:
                log.warning("not in the graph yet: %s", error or "the checks do not end")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if version != told:
                _tell(version)
            if version.state not in UNDECIDED:
                return
            told = version
            await asyncio.sleep(pause)
            pause = min(pause * 2, AGAIN_SECONDS_MAX)

    async def _beat(self) -> None:
        try:
            await self.client.heartbeat_instance(module=self.service.definition.code, url=self.url)
        except Refused:
            await self._begin_instance()  # forgotten: the platform had not heard of us for too long
        except PlatformError as error:
            log.warning("no heartbeat: %s", error)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.client.deregister_instance(module=self.service.definition.code, url=self.url)
        except (PlatformError, TimeoutError) as error:
            log.warning("left without saying so: %s", error)


def _tell(version: SubgraphVersion) -> None:
    log.info("subgraph %s is %s", version.version, version.state)
    for finding in version.findings:
        log.warning("%s %s at line %s: %s", finding.severity, finding.code, finding.line, finding.message)
