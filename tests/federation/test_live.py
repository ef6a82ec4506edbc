"""What a service serves is compared with what was registered, whatever else it may do."""

import asyncio
import json

import pytest

from federation.finding import Finding, Severity
from federation.live import BYTES_MAX, check_live
from federation.routing import RoutingPolicy
from tests.federation.service import Handle, says, sdl, serving
from tests.federation.subgraphs import FINANCIAL_SDL

POLICY = RoutingPolicy(frozenset({"127.0.0.1"}))

# The same subgraph as another server prints it: in another order, described, and with the specification's parts.
PRINTED_OTHERWISE = """
schema @link(import: ["@inaccessible", "@policy", "@tag", "@shareable", "@requires", "@external", "@key"],
  url: "https://specs.apollo.dev/federation/v2.9") { query: Query }
directive @key(fields: federation__FieldSet!) repeatable on OBJECT
scalar federation__FieldSet
type _Service { sdl: String! }
"A tenant" type Organization @key(fields: "id") { invoices: [FinancialInvoice!] }
extend type Organization { "UUID" id: ID! }
type FinancialInvoice @key(fields: "id") { amount: Int!, id: ID! }
type Query { invoices: [FinancialInvoice!] _service: _Service! }
"""


async def ask(handle: Handle, *, severity: Severity = Severity.ERROR, seconds_max: float = 5.0) -> tuple[Finding, ...]:
    async with serving(handle) as url:
        return await check_live(url, FINANCIAL_SDL, POLICY, severity=severity, seconds_max=seconds_max)


# What @apollo/subgraph adds to the schema that it was given.
WITH_THE_LINK_TO_LINKS = FINANCIAL_SDL.replace(
    "extend schema", 'extend schema @link(url: "https://specs.apollo.dev/link/v1.0")'
)


@pytest.mark.parametrize(
    "served",
    [FINANCIAL_SDL, PRINTED_OTHERWISE, WITH_THE_LINK_TO_LINKS],
    ids=["as registered", "printed otherwise", "with the link to links"],
)
async def test_the_same_subgraph(served: str) -> None:
    assert await ask(says(sdl(served))) == ()


async def test_what_is_asked() -> None:
    seen: list[bytes] = []
    async with serving(says(sdl(FINANCIAL_SDL), seen=seen)) as url:
        await check_live(url + "?a=b", FINANCIAL_SDL, POLICY, severity=Severity.ERROR)
        host = url.split("/")[2].encode()
    assert seen[0].startswith(b"POST /graphql?a=b HTTP/1.1\r\n")
    assert b"host: " + host in seen[0].lower()
    assert json.loads(seen[1]) == {"query": "{ _service { sdl } }"}


async def test_another_subgraph_is_told_by_what_differs() -> None:
    served = FINANCIAL_SDL.replace("amount: Int!", "amount: Float").replace("  invoices: [", "  bills: [", 1)
    (found,) = await ask(says(sdl(served)), severity=Severity.WARNING)
    assert found == Finding(
        Severity.WARNING,
        "SERVICE_SDL_DIFFERS",
        "The service serves another schema than was registered: -FinancialInvoice.amount: Int!; "
        "-Query.invoices: [FinancialInvoice!]; +FinancialInvoice.amount: Float; …",
    )


async def test_a_link_that_says_something_is_a_difference() -> None:
    (found,) = await ask(says(sdl(WITH_THE_LINK_TO_LINKS.replace("/v1.0", "/v1.1"))))
    assert found.message.endswith('registered: +@link "https://specs.apollo.dev/link/v1.1"')


UNAVAILABLE = {
    "a redirect": (
        says(b"", status="307 See there", headers="Location: http://127.0.0.1:1/\r\n"),
        "redirects to another place, which is never followed",
    ),
    "a refusal": (says(b"{}", status="401 Unauthorized"), "answers with status 401"),
    "no JSON": (says(b"<html>"), "does not answer { _service { sdl } }"),
    "errors": (says(b'{"data": null, "errors": [{}]}'), "does not answer { _service { sdl } }"),
    "no text": (says(b'{"data": {"_service": {"sdl": 5}}}'), "does not answer { _service { sdl } }"),
    "deep JSON": (says(b"[" * 100_000), "does not answer { _service { sdl } }"),
    "much": (says(sdl("#" * BYTES_MAX)), "answers with more than 2,097,152 bytes"),
    "a bomb": (says(b"", headers="Content-Encoding: gzip\r\n"), "compresses its answer although it was asked not to"),
}  # fmt: skip


@pytest.mark.parametrize(("handle", "why"), UNAVAILABLE.values(), ids=UNAVAILABLE.keys())
async def test_a_service_that_does_not_say(handle: Handle, why: str) -> None:
    assert await ask(handle) == (Finding(Severity.ERROR, "SERVICE_UNAVAILABLE", f"The service {why}."),)


async def test_a_service_that_serves_no_schema() -> None:
    (found,) = await ask(says(sdl("type Query {")))
    assert (found.code, found.severity) == ("SERVICE_SDL_INVALID", Severity.ERROR)


async def test_a_service_without_an_end() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")
            await writer.drain()

    (found,) = await ask(handle)
    assert found.message == "The service answers with more than 2,097,152 bytes."


async def test_a_service_that_drips() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    (found,) = await ask(handle, seconds_max=0.5)
    assert found.message == "The service has not answered within 0.5 s."


async def test_a_service_that_is_down() -> None:
    async with serving(says(b"")) as url:
        pass
    (found,) = await check_live(url, FINANCIAL_SDL, POLICY, severity=Severity.WARNING)
    assert found == Finding(Severity.WARNING, "SERVICE_UNAVAILABLE", "The service can't be reached (ConnectError).")


async def test_nobody_is_called_at_an_address_that_is_not_allowed() -> None:
    connections: list[bytes] = []

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving(says(sdl(FINANCIAL_SDL), seen=connections)) as url:
        port = url.split(":")[2].split("/")[0]
        rebound = f"http://financial.test:{port}/graphql"
        (found,) = await check_live(rebound, FINANCIAL_SDL, RoutingPolicy(), severity=Severity.WARNING, lookup=lookup)
        assert (found.severity, found.code) == (Severity.ERROR, "ROUTING_URL_PRIVATE")
        assert connections == []
        # the same name, allowed: the connection goes to the address that was looked up, under the name
        allowed = RoutingPolicy(frozenset({"financial.test"}))
        assert await check_live(rebound, FINANCIAL_SDL, allowed, severity=Severity.ERROR, lookup=lookup) == ()
        assert f"host: financial.test:{port}".encode() in connections[0].lower()


async def test_a_host_that_is_not_known_yet() -> None:
    (found,) = await check_live("https://financial.invalid/", FINANCIAL_SDL, RoutingPolicy(), severity=Severity.WARNING)
    assert (found.severity, found.code) == (Severity.WARNING, "ROUTING_HOST_UNKNOWN")
