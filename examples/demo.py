"""Modplane in one minute, told through its public API by an ordinary client: `make demo`, with `make run` beside it.

Speaks GraphQL over HTTP and WebSocket, and Kafka. Imports no room of the server, and fails when the story is not true.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from websockets import ClientConnection, Subprotocol, WebSocketException, connect

TOLD = Path(os.environ.get("MODPLANE_DATA_DIR", ".modplane")) / "dev.json"
PATIENCE_SECONDS = 20
EFFECTIVE = """query ($of: ID!, $company: ID!) { effectiveConfig(organizationId: $of, companyId: $company,
  module: "financial") { values leaves { pointer value layer setBy reason shadowed { layer value } } } }"""
LOG = "query ($organization: ID!) { events(organizationId: $organization, first: 200) { nodes { id revision } } }"
FOLLOW = """subscription ($organization: ID!, $after: String) {
  moduleEvents(organizationId: $organization, after: $after) { id revision type moduleCode cursor } }"""


class Untrue(Exception):
    """Something of the story does not hold; the text says what."""


class Platform:
    """The API, as dev.json tells where it is."""

    def __init__(self, told: dict[str, str]) -> None:
        self.address, self.kafka, self._bearer = told["graphql"], told["kafka"], f"Bearer {told['token']}"

    async def ask(self, document: str, **variables: Any) -> Any:
        """The one field of an operation. Nothing here is to be refused, so a refusal ends the demo."""
        headers = {"Content-Type": "application/json", "Authorization": self._bearer}
        request = Request(self.address, json.dumps({"query": document, "variables": variables}).encode(), headers)
        answer = json.loads(await asyncio.to_thread(lambda: urlopen(request, timeout=PATIENCE_SECONDS).read()))
        value = next(iter((answer.get("data") or {}).values()), None)
        if answer.get("errors") or not value or value.get("errors"):
            raise Untrue(f"refused: {json.dumps(answer)[:400]}")
        return value

    async def change(self, field: str, shows: str = "", **values: Any) -> Any:
        """Every mutation takes one input and answers errors, a revision and what it changed."""
        takes = f"$input: {field[0].upper()}{field[1:]}Input!"
        document = f"mutation ({takes}) {{ {field}(input: $input) {{ errors {{ message }} revision {shows} }} }}"
        return await self.ask(document, input=values)

    @asynccontextmanager
    async def follow(self, organization: str, after: str) -> AsyncIterator[ClientConnection]:
        """A graphql-transport-ws connection with one subscription; leaving it drops the line without a goodbye."""
        socket = await connect(f"ws{self.address[4:]}", subprotocols=[Subprotocol("graphql-transport-ws")])
        try:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": self._bearer}}))
            await socket.recv()
            payload = {"query": FOLLOW, "variables": {"organization": organization, "after": after}}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            yield socket
        finally:
            socket.transport.abort()


async def arrivals(socket: ClientConnection, revision: int, *, since: float | None = None) -> list[dict[str, Any]]:
    """The events up to a revision, shown as they arrive."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["revision"] < revision:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = json.loads(await socket.recv())
        if message["type"] != "next" or message["payload"].get("errors"):
            raise Untrue(f"the subscription says {json.dumps(message)[:400]}")
        event = message["payload"]["data"]["moduleEvents"]
        events.append(event)
        aside = "" if since is None else f"{(time.monotonic() - since) * 1000:5.0f} ms after the request"
        say(f"⇠ event {event['revision']:>3}  {event['type']:<17}{event['moduleCode'] or '':<10}", aside)
    return events


async def read_kafka(bootstrap: str, organization: str, revisions: set[int]) -> list[tuple[int, str, str]]:
    """(rev, topic, id) of every record of the organization, once each: Kafka delivers at least once."""
    found: set[tuple[int, str, str]] = set()
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.subscribe(sorted(name for name in await consumer.topics() if name.startswith("tenant.module.")))
        while not revisions <= {rev for rev, _, _ in found}:
            async with asyncio.timeout(PATIENCE_SECONDS):
                record = await consumer.getone()
            if record.key == organization.encode():
                headers = dict(record.headers)
                found.add((int(headers["ce_rev"]), record.topic, headers["ce_id"].decode()))
    return sorted(found)


async def tell(platform: Platform) -> None:
    print(paint("\n 1  A shop signs up, and its industry brings the modules", "1"))
    name = f"Acme Retail {time.strftime('%H:%M:%S')}"
    shows = "organization { id modules { version state isRequired module { code } } }"
    signed = await platform.change("signUpOrganization", shows, name=name, industryCode="retail")
    organization, first = signed["organization"]["id"], signed["revision"] + 1
    say(f"{name} is organization {organization}, at revision {signed['revision']}")
    modules = signed["organization"]["modules"]
    rows = [(m["module"]["code"], m["version"], m["state"], "yes" if m["isRequired"] else "") for m in modules]
    table(("module", "version", "state", "required"), rows)

    print(paint("\n 2  A dashboard listens over a WebSocket while an administrator works", "1"))
    seen: list[dict[str, Any]] = []

    async def work(field: str, shows: str = "", **values: Any) -> Any:
        say(paint(field, "1"))
        since = time.monotonic()
        done = await platform.change(field, shows, **values)
        seen.extend(await arrivals(dashboard, done["revision"], since=since))
        return done

    acme = {"organizationId": organization, "module": "financial"}
    async with platform.follow(organization, f"v1:{signed['revision']}") as dashboard:
        made = await work("createCompany", "company { id }", organizationId=organization, name="ACME GmbH")
        germany = {"companyId": made["company"]["id"], "module": "financial"}
        await work("assignModule", **acme)
        value: dict[str, Any] = {"currency": "EUR", "tax_rate": 0.2, "invoice_prefix": "ACME"}
        await work("setOrganizationConfig", **acme, value=value, reason="we sell in Europe")
        value = {"tax_rate": 0.19, "invoice_prefix": "ACME-DE"}
        await work("setCompanyConfig", **germany, value=value, reason="German VAT")

    print(paint("\n 3  What holds for the company, and why", "1"))
    effective = await platform.ask(EFFECTIVE, of=organization, company=germany["companyId"])
    leaves = []
    for leaf in effective["leaves"]:
        over = ", ".join(f"{lower['layer']} {json.dumps(lower['value'])}" for lower in leaf["shadowed"])
        who, why = leaf["setBy"] or "", leaf["reason"] or ""
        leaves.append((leaf["pointer"], json.dumps(leaf["value"]), leaf["layer"], who, why, over))
    table(("pointer", "value", "from", "set by", "reason", "over"), leaves)
    expected = {"currency": "EUR", "tax_rate": 0.19, "invoice_prefix": "ACME-DE", "payment_terms": 30}
    check(effective["values"] == expected, "the layers merge to EUR, 0.19, ACME-DE, 30")

    print(paint("\n 4  The line drops; the administrator goes on; the dashboard comes back", "1"))
    for terms in (14, 21, 28):
        done = await platform.change("setOrganizationConfig", **acme, value={"payment_terms": terms})
    say(f"three changes while nobody listened, up to revision {done['revision']}")
    async with platform.follow(organization, seen[-1]["cursor"]) as dashboard:
        seen.extend(await arrivals(dashboard, done["revision"]))
        done = await work("setCompanyConfig", **germany, value={"payment_terms": 60})
    is_whole = [event["revision"] for event in seen] == list(range(first, done["revision"] + 1))
    check(is_whole, f"over both connections: revisions {first} to {done['revision']}, none missing, none twice")

    print(paint("\n 5  The same facts in Kafka, read by an ordinary consumer", "1"))
    log = (await platform.ask(LOG, organization=organization))["nodes"]
    records = await read_kafka(platform.kafka, organization, {event["revision"] for event in log})
    table(("rev", "topic"), [record[:2] for record in records])
    logged = [(event["revision"], event["id"]) for event in log]
    check([(rev, id_) for rev, _, id_ in records] == logged, "Kafka and the event log hold the same events")
    check([event["id"] for event in seen] == [id_ for rev, id_ in logged if rev >= first], "and the dashboard saw them")


def check(is_true: bool, text: str) -> None:
    if not is_true:
        raise Untrue(f"not so: {text}")
    say(paint(f"✓ {text}", "32"))


def paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def say(text: str, aside: str = "") -> None:
    print(f"    {text}{paint(aside, '2')}")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for index, row in enumerate(cells):
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        say(paint(line, "2") if index == 0 else line)


def main() -> int:
    try:
        platform = Platform(json.loads(TOLD.read_text()))
        modplane = Path(sys.executable).with_name("modplane")
        subprocess.run([modplane, "seed", "financial"], check=True, stdout=subprocess.DEVNULL)
        asyncio.run(tell(platform))
        print(paint("\n    All of it held.\n", "1;32"))
        return 0
    except (Untrue, TimeoutError) as error:
        say(paint(f"✗ {str(error) or f'nothing came for {PATIENCE_SECONDS} s'}", "31"))
    except (OSError, WebSocketException, KafkaError, subprocess.CalledProcessError) as error:
        say(f"Modplane does not answer: {error}\n    Start it in another terminal with: make run")
        say(f"The demo looks for it in {TOLD}; MODPLANE_DATA_DIR names another directory.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
