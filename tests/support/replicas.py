"""Two replicas of the API on the same stores: what one writes, the other reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL

from app.embedded.supervisor import Endpoints
from auth.actor import Role
from tests.conftest import backends_on
from tests.support.platform import Platform, running_platform, token
from tests.support.stories import assign, register, sign_up, unique

READ = """query($id: ID!, $module: String!) {
  organization(id: $id) { name revision modules { version module { code isActive } }
    companies(first: 50) { nodes { id } }
    effectiveConfig(module: $module) { values } } }"""
SET = """mutation($input: SetOrganizationConfigInput!) {
  setOrganizationConfig(input: $input) { revision errors { message } } }"""


@dataclass(frozen=True)
class Pair:
    """Two replicas on the same stores, and an organization that has a module."""

    one: Platform
    other: Platform
    module: str
    organization: str

    @property
    def member(self) -> str:
        return token(Role.MEMBER, organization=self.organization)

    async def read(self, platform: Platform, **headers: str) -> Any:
        variables = {"id": self.organization, "module": self.module}
        response = await platform.post(READ, variables, token=self.member, **headers)
        assert response.status_code == 200, response.text
        return response.json()["data"]["organization"]

    async def configure(self, platform: Platform, value: object) -> int:
        written = {"organizationId": self.organization, "module": self.module, "value": {"n": value}}
        payload = (await platform.data(SET, {"input": written}))["setOrganizationConfig"]
        assert payload["errors"] == []
        revision: int = payload["revision"]
        return revision


@asynccontextmanager
async def running_pair(database: URL, servers: Endpoints) -> AsyncIterator[Pair]:
    backends = backends_on(database, servers)
    async with (
        running_platform(backends, is_patient=True) as one,
        running_platform(backends, is_patient=True) as other,
    ):
        module = await register(one, unique("kept"))
        organization = await sign_up(one)
        await assign(one, organization, module)
        yield Pair(one, other, module, organization)
