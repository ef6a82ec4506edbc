"""The SDK says of an SDL what the platform would say, before it is sent."""

import pytest
from modplane_sdk.lint import lint_sdl

from federation.check import Candidate, inspect
from rules.subgraph import SDL_BYTES_MAX, check_registration
from tests.architecture.source import ROOT

LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@external"])\n'
GOOD = (
    LINK
    + """type Query { billingRuns: [BillingRun!] _service: _Service! }
type BillingRun @key(fields: "id") { id: ID! total: Int! organization: Organization! }
type Organization @key(fields: "id") { id: ID! billingRuns: [BillingRun!] }
type _Service { sdl: String! }
scalar Decimal
type PageInfo @shareable { hasNextPage: Boolean! }
"""
)
CASES = {
    "no link": (GOOD.removeprefix(LINK), ["the schema needs one @link to https://specs.apollo.dev/federation/v2.x"]),
    "too new": (GOOD.replace("v2.9", "v2.11"), ["federation v2.11 is newer than v2.9"]),
    "no SDL": (GOOD + "type {", ["the SDL does not parse: Syntax Error: Expected Name, found '{'."]),
    "too large": (GOOD + "#" * SDL_BYTES_MAX, [f"the SDL has more than {SDL_BYTES_MAX} bytes"]),
    "another's name": (GOOD + "type Run { id: ID! }", ["line 8: Run does not begin with Billing"]),
    "only nearly its name": (GOOD + "enum Billings { ONE }", ["line 8: Billings does not begin with Billing"]),
    "a root that is not nullable": (
        GOOD.replace("billingRuns: [BillingRun!] _", "billingRuns: [BillingRun!]! _"),
        ["line 2: Query.billingRuns must be nullable"],
    ),
    "an added field that is not nullable": (
        GOOD.replace("id: ID! billingRuns: [BillingRun!] }", "id: ID! billingRuns: Int! }"),
        ["line 4: Organization.billingRuns must be nullable"],
    ),
    "an entity without its key": (
        GOOD + "type Company { billingTotal: Int }",
        ["line 8: Company is the platform's: extend it by its @key"],
    ),
}


def test_a_subgraph_that_is_in_order_is_taken() -> None:
    assert lint_sdl(GOOD, "billing") == []


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_its_line(case: str) -> None:
    sdl, faults = CASES[case]
    assert lint_sdl(sdl, "billing") == faults


@pytest.mark.parametrize("case", CASES)
def test_the_platform_finds_fault_with_the_same(case: str) -> None:
    sdl, _ = CASES[case]
    if case == "too large":
        assert check_registration("billing", sdl, "https://module.example.com/graphql")
        return
    candidate = Candidate(module="billing", sdl=sdl, routing_url="https://module.example.com/graphql")
    findings, _ = inspect(candidate, (ROOT / "schema.graphql").read_text())
    assert findings
