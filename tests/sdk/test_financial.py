"""The example module as its own process: joins a platform, is told who has it, answers those and nobody else."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest_asyncio

from app.embedded.ports import choose_port
from app.embedded.supervisor import Endpoints
from auth.actor import Role
from auth.identity import thumbprint
from tests.conftest import Databases, backends_on
from tests.federation.install import require_composer
from tests.sdk.waiting import until
from tests.support.platform import GATEWAY, GATEWAY_KEY, Platform, running_platform, token
from tests.support.stories import admin_of, assign, create_company, set_company_config, sign_up, unassign
from tests.support.subgraphs import composing, current

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples/financial"
SERVICE = "financial.main:service"
PYTHON_PATH = f"{ROOT / 'sdk/src'}{os.pathsep}{FOLDER}"


@dataclass
class World:
    """A platform with its worker, prober and relay, and beside it the module's process."""

    platform: Platform
    url: str
    process: "subprocess.Popen[bytes]"

    async def ask(self, bearer: str, query: str, **variables: Any) -> Any:
        """As the gateway passes a request on: the caller's identity from the platform, its own passage."""
        told = await self.platform.client.get(
            self.platform.url.replace("/graphql", "/federation/v1/identity?subgraphs=financial"),
            headers={"x-modplane-gateway-key": GATEWAY_KEY, "authorization": f"Bearer {bearer}"},
        )
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {
            "content-type": "application/json",
            "x-modplane-identity": told.json()["identities"]["financial"],
            "x-modplane-gateway": passage(body),
        }
        response = await self.platform.client.post(f"{self.url}/graphql", content=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()


def passage(body: bytes) -> str:
    now = int(time.time())
    claims = {
        "iss": "modplane-gateway",
        "aud": "modplane:subgraph:financial",
        "iat": now,
        "exp": now + 30,
        "jti": str(uuid4()),
        "body_sha256": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode(),
    }
    return jwt.encode(claims, GATEWAY, algorithm="EdDSA", headers={"kid": thumbprint(GATEWAY.public_key())})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(databases: Databases, servers: Endpoints, tmp_path_factory: Any) -> AsyncIterator[World]:
    require_composer()
    backends = backends_on(await databases.create(), servers)
    own = (await databases.create(template="template0")).set(drivername="postgresql")
    url, key_file = f"http://127.0.0.1:{choose_port(None, taken=())}", tmp_path_factory.mktemp("financial") / "key"
    async with running_platform(backends, roles=frozenset({"api", "relay", "prober"})) as platform, composing(platform):
        environment = {
            **os.environ,
            "PYTHONPATH": PYTHON_PATH,
            "FINANCIAL_DATABASE_URL": own.render_as_string(hide_password=False),
            "MODPLANE_URL": platform.url.removesuffix("/graphql"),
            "MODPLANE_ADMIN_TOKEN": platform.admin,
            "MODPLANE_API_KEY_FILE": str(key_file),
            "MODPLANE_SERVICE_URL": url,
            "MODPLANE_KAFKA": servers.kafka,
        }
        await asyncio.to_thread(make_key, key_file, environment)
        with running_module(environment) as process:
            await until(lambda: is_up(platform, url), True, seconds=60)
            yield World(platform, url, process)


async def is_up(platform: Platform, url: str) -> bool:
    try:
        return (await platform.client.get(f"{url}/health")).status_code == 200
    except httpx.TransportError:
        return False


def make_key(file: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "modplane_sdk", "key", SERVICE, "--file", str(file)]
    subprocess.run(command, cwd=FOLDER, env=environment, check=True, timeout=60)
    assert file.stat().st_mode & 0o777 == 0o600


@contextmanager
def running_module(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "modplane_sdk", "run", SERVICE]
    process = subprocess.Popen(command, cwd=FOLDER, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


async def standing(platform: Platform) -> Any:
    query = '{ module(code: "financial") { subgraph { state version } instances { url status } } }'
    return (await platform.data(query))["module"]


CREATE = """mutation ($input: FinancialInvoiceInput!) {
  createInvoice(input: $input) { number amount tax currency company { id } } }"""
INVOICES = "{ financialInvoices { number } }"
ENTITIES = """query ($of: [_Any!]!) { _entities(representations: $of) {
  ... on Company { financialInvoices { number } } ... on Organization { financialInvoices { number } } } }"""


async def test_it_joins_the_graph_and_is_found_healthy(world: World) -> None:
    there = {
        "subgraph": {"state": "ACTIVE", "version": "1.0.0"},
        "instances": [{"url": world.url, "status": "HEALTHY"}],
    }
    await until(lambda: standing(world.platform), there)
    graph = await current(world.platform)
    assert {"name": "financial", "url": f"{world.url}/graphql"}.items() <= graph["inputs"][-1].items()
    assert "financialInvoices: [FinancialInvoice!]" in graph["publicSdl"]


async def test_who_has_it_makes_invoices_by_its_own_configuration(world: World) -> None:
    organization = await sign_up(world.platform)
    company = await create_company(world.platform, organization)
    await assign(world.platform, organization, "financial", config={"currency": "EUR", "tax_rate": 0.19})
    bearer = admin_of(organization)

    async def currency() -> str:
        answer = await world.ask(bearer, CREATE, input={"customer": "Acme", "amount": "99.99", "companyId": company})
        found: str = answer["data"]["createInvoice"]["currency"]
        return found

    await until(currency, "EUR")  # once the event of the assignment has arrived
    made = (await world.ask(bearer, CREATE, input={"customer": "Acme", "amount": "99.99"}))["data"]["createInvoice"]
    number = int(made.pop("number").removeprefix("INV-"))
    assert made == {"amount": "99.99", "tax": "19.00", "currency": "EUR", "company": None}
    listed = (await world.ask(bearer, INVOICES))["data"]["financialInvoices"]
    assert [each["number"] for each in listed] == [f"INV-{each:06}" for each in range(number, 0, -1)]
    of = [{"__typename": "Company", "id": company}, {"__typename": "Organization", "id": organization}]
    company_answer, organization_answer = (await world.ask(bearer, ENTITIES, of=of))["data"]["_entities"]
    assert organization_answer["financialInvoices"] == listed
    assert company_answer["financialInvoices"] == listed[1:]


async def test_what_a_company_was_given_ends_with_the_assignment(world: World) -> None:
    """The platform forgets it then, and sends no event of the company's."""
    organization = await sign_up(world.platform)
    company = await create_company(world.platform, organization)
    bearer = admin_of(organization)

    async def currency() -> str:
        answer = await world.ask(bearer, CREATE, input={"customer": "Acme", "amount": "1", "companyId": company})
        found: str = answer["data"]["createInvoice"]["currency"]
        return found

    await assign(world.platform, organization, "financial", config={"currency": "EUR"})
    await until(currency, "EUR")
    await set_company_config(world.platform, company, "financial", {"currency": "CHF"})
    await until(currency, "CHF")
    await unassign(world.platform, organization, "financial")
    await assign(world.platform, organization, "financial", config={"currency": "GBP"})
    await until(currency, "GBP")
    await set_company_config(world.platform, company, "financial", {"currency": "CHF"})
    await until(currency, "CHF")


async def test_an_invoice_is_no_way_around_the_entitlement(world: World) -> None:
    organization = await sign_up(world.platform)
    bearer = admin_of(organization)
    await assign(world.platform, organization, "financial")
    create = CREATE.replace("number amount", "id number amount")
    made = (await world.ask(bearer, create, input={"customer": "Acme", "amount": "1"}))["data"]["createInvoice"]
    query = "query ($of: [_Any!]!) { _entities(representations: $of) { ... on FinancialInvoice { number } } }"
    of = [{"__typename": "FinancialInvoice", "id": made["id"]}]
    assert (await world.ask(bearer, query, of=of)) == {"data": {"_entities": [{"number": made["number"]}]}}
    await unassign(world.platform, organization, "financial")
    refused = await world.ask(bearer, query, of=of)
    assert refused["data"] == {"_entities": [None]}
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["MODULE_NOT_ENTITLED"]


async def test_nobody_else_sees_them_and_who_loses_it_is_told_so(world: World) -> None:
    owner, other = await sign_up(world.platform), await sign_up(world.platform)
    await assign(world.platform, owner, "financial")
    await assign(world.platform, other, "financial")
    await world.ask(admin_of(owner), CREATE, input={"customer": "Acme", "amount": "1.00"})
    of = [{"__typename": "Organization", "id": owner}]
    assert (await world.ask(admin_of(other), ENTITIES, of=of))["data"] == {"_entities": [None]}
    assert (await world.ask(admin_of(other), INVOICES))["data"] == {"financialInvoices": []}
    await unassign(world.platform, owner, "financial")
    answer = await world.ask(admin_of(owner), INVOICES)
    assert answer["data"] == {"financialInvoices": None}
    assert answer["errors"][0]["extensions"] == {"code": "MODULE_NOT_ENTITLED", "module": "financial"}


async def test_who_is_bound_to_a_company_sees_that_company(world: World) -> None:
    organization = await sign_up(world.platform)
    own, other = [await create_company(world.platform, organization) for _ in range(2)]
    await assign(world.platform, organization, "financial")
    for company in (own, other):
        await world.ask(admin_of(organization), CREATE, input={"customer": "A", "amount": "5", "companyId": company})
    bound = token(Role.COMPANY_ADMIN, organization=organization, company=own)
    assert len((await world.ask(bound, INVOICES))["data"]["financialInvoices"]) == 1
    of = [{"__typename": "Company", "id": each} for each in (own, other)]
    mine, theirs = (await world.ask(bound, ENTITIES, of=of))["data"]["_entities"]
    assert (len(mine["financialInvoices"]), theirs) == (1, None)
    refused = await world.ask(bound, CREATE, input={"customer": "A", "amount": "5", "companyId": other})
    assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_an_amount_that_is_none_makes_nothing(world: World) -> None:
    organization = await sign_up(world.platform)
    await assign(world.platform, organization, "financial")
    bearer = admin_of(organization)
    for amount in ("0", "-1", "0.001", "1000000000", "NaN"):
        answer = await world.ask(bearer, CREATE, input={"customer": "Acme", "amount": amount})
        assert (amount, answer["errors"][0]["extensions"]["code"]) == (amount, "INVALID_INPUT")
    assert (await world.ask(bearer, INVOICES))["data"] == {"financialInvoices": []}


async def test_past_the_gateway_nobody_gets_in(world: World) -> None:
    response = await world.platform.client.post(f"{world.url}/graphql", json={"query": INVOICES})
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


async def test_told_to_end_it_says_goodbye(world: World) -> None:
    """The last one with the world: it ends the module. That the signal is how it ended is uvicorn's way."""
    began = time.monotonic()
    world.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(world.process.wait, 25) == -signal.SIGTERM
    assert time.monotonic() - began < 25
    assert (await standing(world.platform))["instances"] == []


def test_it_keeps_the_contract(servers: Endpoints) -> None:
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "FINANCIAL_DATABASE_URL": servers.postgres}
    command = [sys.executable, "-m", "modplane_sdk", "test", SERVICE]
    ran = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_manifest_is_the_one_of_the_pack() -> None:
    (packed,) = json.loads((ROOT / "fixtures/financial.json").read_text())["modules"]
    assert json.loads((FOLDER / "manifest.json").read_text()) == packed["manifest"]
