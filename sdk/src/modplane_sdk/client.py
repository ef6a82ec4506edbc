"""The platform, as a module's service calls it.

With its API key a service keeps its own entry: module, subgraph, instances. The key sees no tenant's data. Who also
reads organizations, companies and configurations gives `tenant_token`, which an operator makes for one organization:
`modplane token --role MODULE --organization ID`. Nothing of a caller's is ever passed on.
"""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from modplane_sdk.api import Api, Denied
from modplane_sdk.batching import Read, Reads
from modplane_sdk.definition import ModuleDefinition

ERRORS = "errors { code message pointer }"
SUBGRAPH = "id version state findings { severity code message line column coordinate }"


@dataclass(frozen=True)
class Organization:
    id: str
    name: str
    plan: str


@dataclass(frozen=True)
class Company:
    id: str
    name: str
    organization_id: str


@dataclass(frozen=True)
class EffectiveConfig:
    """What holds for an organization or company. `revision`: of the last change."""

    values: dict[str, Any]
    revision: int


@dataclass(frozen=True)
class Finding:
    """What a check has to say of an SDL; lines count from 1."""

    severity: str
    code: str
    message: str
    line: int | None
    column: int | None
    coordinate: str | None


@dataclass(frozen=True)
class SubgraphVersion:
    """`state`: CHECKING, FAILED, NEEDS_APPROVAL, CHECKED, ACTIVATING, ACTIVE, RETIRING or RETIRED."""

    id: str
    version: str
    state: str
    findings: tuple[Finding, ...]

    @property
    def is_settled(self) -> bool:
        """Whether the platform has nothing to do about it right now."""
        return self.state not in {"CHECKING", "ACTIVATING", "RETIRING"}


class PlatformClient:
    """Every call ends within `seconds`, tried again while the platform is away. `async with`, or `aclose` at the end.

    Raises PlatformAway, Denied and, where something is to be changed, Refused: see api.py.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, tenant_token: str | None = None, seconds: float = 10.0
    ) -> None:
        self._service = Api(url, {"x-module-api-key": api_key}, seconds=seconds) if api_key else None
        self._tenant = Api(url, {"authorization": f"Bearer {tenant_token}"}, seconds=seconds) if tenant_token else None
        self._reads = Reads(self._tenant) if self._tenant else None

    async def __aenter__(self) -> "PlatformClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for api in (self._service, self._tenant):
            if api is not None:
                await api.aclose()

    async def get_organization(self, organization_id: str) -> Organization | None:
        """None: there is none that the token may see. Calls of one tick are one request; so with the two below."""
        found = await self._read(Read("Organization", organization_id))
        return None if found is None else Organization(**found)

    async def get_company(self, company_id: str) -> Company | None:
        found = await self._read(Read("Company", company_id))
        return None if found is None else Company(found["id"], found["name"], found["organization"]["id"])

    async def get_effective_config(
        self, module: str, *, organization_id: str, company_id: str | None = None
    ) -> EffectiveConfig | None:
        """Of the company when one is named. None: not there to be seen, or without the module."""
        read = Read("Company", company_id, module) if company_id else Read("Organization", organization_id, module)
        found = await self._read(read)
        config = None if found is None else found["effectiveConfig"]
        return None if config is None else EffectiveConfig(config["values"], config["revision"])

    async def register_module(self, definition: ModuleDefinition) -> int:
        """The platform's revision after it. Again: a success. Raises InvalidManifest before anything is sent."""
        payload = await self._mutate(
            "registerModule", "RegisterModuleInput", "revision", {"manifest": definition.to_manifest()}
        )
        revision: int = payload["revision"]
        return revision

    async def register_subgraph(self, *, module: str, version: str, sdl: str, routing_url: str) -> SubgraphVersion:
        """Stored, and to be checked. The same again is what it was."""
        given = {"module": module, "version": version, "sdl": sdl, "routingUrl": routing_url}
        return await self._change_subgraph("registerSubgraph", "RegisterSubgraphInput", given)

    async def activate_subgraph(self, subgraph_id: str) -> SubgraphVersion:
        """Into the graph, soon: `get_subgraph` tells."""
        return await self._change_subgraph("activateSubgraph", "ActivateSubgraphInput", {"id": subgraph_id})

    async def get_subgraph(self, subgraph_id: str) -> SubgraphVersion:
        """Raises Denied when there is none of this module's."""
        data = await self._keeper().query(
            f"query ($id: ID!) {{ subgraph(id: $id) {{ {SUBGRAPH} }} }}", {"id": subgraph_id}
        )
        if data["subgraph"] is None:
            raise Denied(f"there is no subgraph {subgraph_id} of this module's", code="NOT_FOUND")
        return _subgraph(data["subgraph"])

    async def register_instance(self, *, module: str, url: str, health_check_url: str, version: str) -> None:
        given = {"module": module, "url": url, "healthCheckUrl": health_check_url, "version": version}
        await self._mutate("registerModuleInstance", "RegisterModuleInstanceInput", "", given, has_key=False)

    async def heartbeat_instance(self, *, module: str, url: str) -> None:
        """To be sent every ten seconds. Refused with NOT_FOUND when it was forgotten meanwhile: register again."""
        given = {"module": module, "url": url}
        await self._mutate("heartbeatModuleInstance", "ModuleInstanceInput", "", given, has_key=False)

    async def deregister_instance(self, *, module: str, url: str) -> None:
        given = {"module": module, "url": url}
        await self._mutate("deregisterModuleInstance", "ModuleInstanceInput", "", given, has_key=False)

    async def _read(self, read: Read) -> Any:
        if self._reads is None:
            raise Denied("tenants' data needs a tenant_token", code="UNAUTHENTICATED")
        return await self._reads.load(read)

    async def _change_subgraph(self, mutation: str, input_type: str, given: dict[str, Any]) -> SubgraphVersion:
        payload = await self._mutate(mutation, input_type, f"subgraph {{ {SUBGRAPH} }}", given)
        return _subgraph(payload["subgraph"])

    async def _mutate(
        self, mutation: str, input_type: str, selection: str, given: dict[str, Any], *, has_key: bool = True
    ) -> dict[str, Any]:
        """`has_key`: whether it takes an idempotencyKey; those that do not may be done twice without harm."""
        keyed = {**given, "idempotencyKey": str(uuid4())} if has_key else given
        document = f"mutation ($input: {input_type}!) {{ {mutation}(input: $input) {{ {ERRORS} {selection} }} }}"
        return await self._keeper().mutate(mutation, document, keyed)

    def _keeper(self) -> Api:
        if self._service is None:
            raise Denied("a module's own entry needs its api_key", code="UNAUTHENTICATED")
        return self._service


def _subgraph(found: dict[str, Any]) -> SubgraphVersion:
    findings = tuple(Finding(**each) for each in found["findings"])
    return SubgraphVersion(id=found["id"], version=found["version"], state=found["state"], findings=findings)
