"""The load of a chaos run: organizations, a bundle of modules, and writers that try again until they know.

A bundle is a module that requires parts that require a base: giving the first or taking the last writes one event for
each of them, in one transaction.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.client import Client, Lost
from bench.chaos.history import Operation, Read

BUNDLE, BASE, PLAIN = "chaos-bundle", "chaos-base", "chaos-plain"
PARTS = tuple(f"chaos-part-{number}" for number in range(8))
IN_BUNDLE = (BUNDLE, BASE, *PARTS)
TRY_AGAIN_SECONDS = 0.05
# what an answer says when it could not be done now; anything else is final
TRANSIENT = {"UNAVAILABLE", "TIMEOUT", "LOCKED", "HTTP_503"}
ERRORS = "revision errors { code message }"
REGISTER = f"mutation($input: RegisterModuleInput!) {{ done: registerModule(input: $input) {{ {ERRORS} }} }}"
BULK = (
    "mutation($input: BulkAssignModulesInput!)"
    f" {{ done: bulkAssignModules(input: $input) {{ operation {{ id total }} {ERRORS} }} }}"
)
SIGN_UP = (
    "mutation($input: SignUpOrganizationInput!)"
    f" {{ done: signUpOrganization(input: $input) {{ organization {{ id }} {ERRORS} }} }}"
)
AFFECTED = f"affected {{ module }} {ERRORS}"
MUTATIONS = {
    "assign": f"mutation($input: AssignModuleInput!) {{ done: assignModule(input: $input) {{ {AFFECTED} }} }}",
    "unassign": f"mutation($input: UnassignModuleInput!) {{ done: unassignModule(input: $input) {{ {AFFECTED} }} }}",
    "configure": (
        f"mutation($input: SetOrganizationConfigInput!) {{ done: setOrganizationConfig(input: $input) {{ {ERRORS} }} }}"
    ),
}
REVISION = "query($id: ID!) { organization(id: $id) { revision } }"


class Refused(Exception):
    """An answer that trying again does not change."""


async def register_modules(client: Client) -> None:
    """The bundle, and a module for configurations. Again changes nothing."""
    requires: dict[str, Sequence[str]] = {PLAIN: (), BASE: (), **dict.fromkeys(PARTS, (BASE,)), BUNDLE: PARTS}
    for code, required in requires.items():
        depends = {"required_modules": list(required)}
        manifest = {"name": code, "version": "1.0.0", "display_name": code, "dependencies": depends}
        await until_done(client, REGISTER, {"input": {"manifest": manifest, "idempotencyKey": code}})


async def sign_up(client: Client, name: str, *, modules: Sequence[str] = (PLAIN,)) -> str:
    """A new organization with these modules; its id."""
    answer = await until_done(client, SIGN_UP, {"input": {"name": name, "idempotencyKey": name}})
    organization: str = answer["organization"]["id"]
    for code in modules:
        await until_done(client, MUTATIONS["assign"], {"input": {"organizationId": organization, "module": code}})
    return organization


async def until_done(
    client: Client, query: str, variables: dict[str, Any], port: Callable[[], int] | None = None
) -> Any:
    """The payload, after as many tries as it takes, each at the port of the moment. Raises Refused."""
    while True:
        if port is not None:
            client.move(port())
        try:
            return payload_of(await client.ask(query, variables))
        except (Lost, Transient):
            await asyncio.sleep(TRY_AGAIN_SECONDS)


class Transient(Exception):
    """An answer that says: not now."""


def payload_of(answer: dict[str, Any]) -> Any:
    """The payload of a mutation that was done. Raises Transient or Refused."""
    if answer.get("errors"):
        code = answer["errors"][0]["extensions"]["code"]
        raise Transient(code) if code in TRANSIENT else Refused(str(answer["errors"]))
    payload = answer["data"]["done"]
    if payload["errors"]:
        codes = {error["code"] for error in payload["errors"]}
        raise Transient(str(codes)) if codes <= TRANSIENT else Refused(str(payload["errors"]))
    return payload


@dataclass
class Load:
    """What the writers of a run share. `port` is asked for at every try: processes come and go."""

    token: str
    port: Callable[[], int]
    random: random.Random
    operations: list[Operation] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    acknowledged_events: int = 0
    is_over: bool = False
    trying_seconds: float = 60.0  # how long a writer tries one operation before it leaves it undecided

    def new(self, organization: str, kind: Any) -> Operation:
        number = len(self.operations) + 1
        operation = Operation(number=number, organization=organization, kind=kind, key=f"op-{number}")
        self.operations.append(operation)
        return operation


async def write(load: Load, organization: str, *, pause: float = 0.0, configure_share: float = 0.3) -> None:
    """One writer on an organization of its own until the load is over: gives and takes the bundle, configures."""
    has_bundle: bool | None = False
    seen = 0
    async with Client(load.port(), load.token, seconds=8) as client:
        while not load.is_over:
            if load.random.random() < configure_share:
                operation = load.new(organization, "configure")
            else:
                operation = load.new(organization, "unassign" if has_bundle else "assign")
            await carry_out(load, client, operation)
            if operation.outcome == "acknowledged":
                seen = max(seen, operation.revision)
                if operation.kind != "configure":
                    has_bundle = operation.kind == "assign"
            elif operation.kind != "configure":
                has_bundle = await _ask_bundle(load, client, organization)
            if load.random.random() < 0.1:
                await _read_back(load, client, organization, seen)
            if pause:
                await asyncio.sleep(pause)


async def carry_out(load: Load, client: Client, operation: Operation) -> None:
    """Try with the operation's key until there is an answer, or its time is over."""
    variables = {"input": input_of(operation)}
    started = time.monotonic()
    while time.monotonic() - started < load.trying_seconds:
        operation.tries += 1
        client.move(load.port())
        try:
            payload = payload_of(await client.ask(MUTATIONS[operation.kind], variables))
        except (Lost, Transient) as error:
            operation.message = str(error)
            operation.was_hung = operation.was_hung or "TimeoutError" in operation.message
            pause = max(TRY_AGAIN_SECONDS, client.retry_after) * load.random.uniform(0.5, 1.5)
            await asyncio.sleep(pause)
            continue
        except Refused as error:
            operation.outcome, operation.message = "refused", str(error)
            return
        operation.outcome, operation.message = "acknowledged", ""
        operation.seconds = time.monotonic() - started
        operation.revision = payload["revision"]
        operation.events = 1 if operation.kind == "configure" else len(payload["affected"])
        load.acknowledged_events += operation.events
        return


def input_of(operation: Operation) -> dict[str, Any]:
    shared = {"organizationId": operation.organization, "idempotencyKey": operation.key}
    if operation.kind == "configure":
        return {**shared, "module": PLAIN, "value": {"n": operation.number}}
    return {**shared, "module": BUNDLE if operation.kind == "assign" else BASE}


async def _ask_bundle(load: Load, client: Client, organization: str) -> bool:
    query = f'query($id: ID!) {{ organization(id: $id) {{ module(code: "{BUNDLE}") {{ version }} }} }}'
    while True:
        client.move(load.port())
        try:
            answer = await client.ask(query, {"id": organization})
        except Lost:
            answer = {"errors": ["lost"]}
        if not answer.get("errors"):
            return answer["data"]["organization"]["module"] is not None
        await asyncio.sleep(TRY_AGAIN_SECONDS)


async def _read_back(load: Load, client: Client, organization: str, seen: int) -> None:
    """Ask another process than the one that wrote, most of the time."""
    client.move(load.port())
    try:
        answer = await client.ask(REVISION, {"id": organization})
    except Lost:
        return
    if not answer.get("errors"):
        load.reads.append(Read(organization, seen=seen, got=answer["data"]["organization"]["revision"]))
