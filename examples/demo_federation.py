"""Modplane as one graph with its partners' modules, told by ordinary clients: `make demo-federation`.

Starts everything itself, in a folder that is gone afterwards, and fails when the story is not true.
"""

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from websockets import Subprotocol, WebSocketException, connect

from examples.demo import Untrue as NotSo
from examples.demo import check, paint, say, table
from examples.federation_stage import (
    Stage,
    Untrue,
    begin_financial,
    begin_warehouse,
    changed_financial,
    stage,
    wait_for,
)

EVENT_SECONDS = 20
JOINED = """query($id: ID!) { organization(id: $id) { name plan
  modules { module { code } version }
  financialInvoices { number customer amount currency }
  warehouseStock { sku quantity }
  companies(first: 5) { nodes { name financialInvoices { number } warehouseStock { sku quantity } } } } }"""
INVOICE = """mutation($input: FinancialInvoiceInput!) { createInvoice(input: $input) { number amount currency } }"""
RECEIVE = """mutation($company: ID!, $sku: String!, $quantity: Int!) {
  receiveWarehouseGoods(companyId: $company, sku: $sku, quantity: $quantity) { sku quantity } }"""
FOLLOW = """subscription($of: ID!, $after: String) {
  moduleEvents(organizationId: $of, after: $after) { type moduleCode revision organization { name } } }"""
SUBGRAPH = "query($module: String!) { module(code: $module) { subgraph { version state } } }"
CHECKED = """query($id: ID!) { subgraph(id: $id) { state findings { severity code message line coordinate }
  changes { criticality path } } }"""
SETTLED = {"FAILED", "CHECKED", "NEEDS_APPROVAL", "ACTIVE"}


class Tenant:
    """An organization that signed up, one company in it, and its administrator's token."""

    def __init__(self, on: Stage, name: str, modules: tuple[str, ...]) -> None:
        signed = on.change("signUpOrganization", "organization { id }", name=name)
        self.name, self.id = name, signed["organization"]["id"]
        for module in modules:
            on.change("assignModule", organizationId=self.id, module=module)
        made = on.change("createCompany", "company { id } revision", organizationId=self.id, name=f"{name} GmbH")
        self.company: str = made["company"]["id"]
        self.revision: int = made["revision"]
        self.token = on.token("ORGANIZATION_ADMIN", self.id)


def tell(on: Stage) -> None:
    print(paint("\n 1  Two partners join: one with the SDK, one in Node without it", "1"))
    manifest = json.loads((Path(__file__).parent / "financial" / "manifest.json").read_text())
    key = on.key_of("financial", manifest)
    begin_financial(on, key=key)
    warehouse = begin_warehouse(on)
    for module in ("financial", "warehouse"):
        active = wait_for(f"the subgraph of {module}", partial(active_version, on, module))
        say(f"{module} {active} is in the graph")

    print(paint("\n 2  Two organizations sign up; one of them gets the modules", "1"))
    acme, globex = Tenant(on, "Acme", ("financial", "warehouse")), Tenant(on, "Globex", ())
    say("Acme has financial and warehouse, Globex has neither")

    print(paint("\n 3  One query through the gateway joins three services", "1"))
    wait_for("the joined graph", lambda: knows(on, acme, "financialInvoices", "warehouseStock"))
    given = {"customer": "Initech", "amount": "1200.00", "companyId": acme.company}
    on.data(INVOICE, at=on.gateway, token=acme.token, input=given)
    on.data(RECEIVE, at=on.gateway, token=acme.token, company=acme.company, sku="STAPLER", quantity=7)
    joined = on.data(JOINED, at=on.gateway, token=acme.token, id=acme.id)
    (company,) = joined["companies"]["nodes"]
    table(("of", "what"), [(name, json.dumps(value)) for name, value in company.items()])
    stock = [{"sku": "STAPLER", "quantity": 7}]
    check(company["warehouseStock"] == stock == joined["warehouseStock"], "the warehouse's goods are there")
    check(len(company["financialInvoices"]) == 1, "so is the invoice, beside what Modplane knows itself")

    print(paint("\n 4  The other one: nulls, the reason, and no call", "1"))
    before = on.http.get(f"{warehouse}/health").json()["graphqlRequests"]
    answer = on.ask(JOINED, at=on.gateway, token=globex.token, id=globex.id)
    reasons = sorted({(error["extensions"]["code"], error["path"][-1]) for error in answer["errors"]})
    table(("code", "field"), reasons)
    other = answer["data"]["organization"]
    check(
        other["name"] == "Globex" and other["financialInvoices"] is other["warehouseStock"] is None, "its own is there"
    )
    check({code for code, _ in reasons} == {"MODULE_NOT_ENTITLED"}, "all that is missing says why")
    check(on.http.get(f"{warehouse}/health").json()["graphqlRequests"] == before, "the warehouse was not called for it")

    print(paint("\n 5  Live events through the gateway", "1"))
    event = asyncio.run(hear(on, acme))
    say(f"⇠ {json.dumps(event)}")
    check(event["moduleCode"] == "crm" and event["organization"]["name"] == "Acme", "heard as it happened, and joined")

    _tell_of_versions(on, acme, key)


def _tell_of_versions(on: Stage, acme: Tenant, key: str) -> None:
    print(paint("\n 6  A bad version is refused, a good one taken, and no query fails", "1"))
    with asking_all_along(on, acme) as counted:
        platforms = 'type Organization @key(fields: "id") { id: ID! name: String! financialTotal: Int! }'
        bad = registered(on, "1.0.1", f"{LINKED}\n{platforms}\n", "http://127.0.0.1:9/graphql")
        table(("finding", "where", "what"), [(f["code"], f["coordinate"] or "", f["message"]) for f in bad["findings"]])
        check(bad["state"] == "FAILED", "1.0.1 redefines a field of the platform's, and adds one that can't be null")
        check(active_version(on, "financial") == "1.0.0", "the graph is as it was")
        field = '    customer: str\n    amount: Decimal = strawberry.field(description="Without tax.")'
        folder = changed_financial(
            on,
            "1.1.0",
            replace=field,
            by="    customer: str\n    note: str | None = strawberry.field(default=None)\n" + field.partition("\n")[2],
        )
        begin_financial(on, key=key, folder=folder)
        wait_for("version 1.1.0", lambda: active_version(on, "financial") == "1.1.0" or None)
        say("financial 1.1.0 is in the graph: FinancialInvoice has a note")
        wait_for("the new field", lambda: knows_note(on, acme))
        check(True, "the gateway knows the new field")
    check(counted["failed"] == 0, f"{counted['answered']} queries meanwhile, none failed")


LINKED = """extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])"""


def registered(on: Stage, version: str, sdl: str, url: str) -> Any:
    """What the checks say of a version, once they are done. Its manifest is registered first."""
    manifest = json.loads((Path(__file__).parent / "financial" / "manifest.json").read_text())
    on.change("registerModule", manifest={**manifest, "version": version})
    made = on.change(
        "registerSubgraph", "subgraph { id }", module="financial", version=version, sdl=sdl, routingUrl=url
    )

    def settled() -> Any:
        found = on.data(CHECKED, id=made["subgraph"]["id"])
        return found if found["state"] in SETTLED else None

    return wait_for(f"the checks of {version}", settled)


def active_version(on: Stage, module: str) -> str | None:
    subgraph = on.data(SUBGRAPH, module=module)["subgraph"]
    return subgraph["version"] if subgraph is not None and subgraph["state"] == "ACTIVE" else None


def knows(on: Stage, tenant: Tenant, *fields: str) -> bool | None:
    """Whether the gateway has a supergraph with these fields of Organization."""
    document = (
        f"query($id: ID!) {{ organization(id: $id) {{ {' '.join(f'{each} {{ __typename }}' for each in fields)} }} }}"
    )
    return None if "errors" in on.ask(document, at=on.gateway, token=tenant.token, id=tenant.id) else True


def knows_note(on: Stage, tenant: Tenant) -> bool | None:
    document = "query($id: ID!) { organization(id: $id) { financialInvoices { note } } }"
    return None if "errors" in on.ask(document, at=on.gateway, token=tenant.token, id=tenant.id) else True


@contextmanager
def asking_all_along(on: Stage, tenant: Tenant) -> Iterator[dict[str, int]]:
    """The joined query again and again, by another client; how many were answered, and how many failed."""
    counted, is_over = {"answered": 0, "failed": 0}, threading.Event()

    def go_on() -> None:
        headers = {"authorization": f"Bearer {tenant.token}"}
        body = {"query": JOINED, "variables": {"id": tenant.id}}
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not is_over.is_set():
                answer = client.post(f"{on.gateway}/graphql", json=body, headers=headers)
                is_good = answer.status_code == 200 and "errors" not in answer.json()
                counted["answered" if is_good else "failed"] += 1
                if not is_good:
                    say(answer.text[:300])
                time.sleep(0.05)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield counted
    finally:
        is_over.set()
        thread.join()


async def hear(on: Stage, tenant: Tenant) -> Any:
    """The next event of an organization, over the gateway's WebSocket: it gets another module meanwhile."""
    url = f"ws{on.gateway[4:]}/graphql"
    async with (
        asyncio.timeout(EVENT_SECONDS),
        connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket,
    ):
        payload = {"authorization": f"Bearer {tenant.token}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        await socket.recv()
        # a subscription does not say when it has begun: from a revision on it misses nothing
        follow = {"query": FOLLOW, "variables": {"of": tenant.id, "after": f"v1:{tenant.revision}"}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": follow}))
        await asyncio.to_thread(on.change, "assignModule", organizationId=tenant.id, module="crm")
        while True:
            message = json.loads(await socket.recv())
            if message["type"] != "ping":
                break
        if message["type"] != "next" or message["payload"].get("errors"):
            raise Untrue(f"the subscription says {json.dumps(message)[:400]}")
        return message["payload"]["data"]["moduleEvents"]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="modplane-federation-") as folder:
        try:
            print(paint("    Starting Modplane and the gateway …", "2"))
            with stage(Path(folder)) as on:
                tell(on)
            print(paint("\n    All of it held.\n", "1;32"))
            return 0
        except (Untrue, NotSo, TimeoutError, OSError, httpx.HTTPError, WebSocketException) as error:
            say(paint(f"✗ {str(error) or type(error).__name__}", "31"))
            for log in sorted(Path(folder).glob("*.log")):
                say(f"the end of {log.name}:")
                print(log.read_text(errors="replace")[-1500:])
    return 1


if __name__ == "__main__":
    sys.exit(main())
