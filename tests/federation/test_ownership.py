"""A module adds nullable fields to others' entities, and nothing else to what is not its own."""

import pytest
from graphql import parse

from federation.check import inspect
from federation.lint import Subject
from federation.names import is_owned, prefix_of
from federation.ownership import trespasses
from federation.sdl import outline
from federation.specification import without_specified
from federation.stamping import stamp
from tests.federation.subgraphs import FINANCIAL_SDL, HEAD, PLATFORM_SDL, candidate, seen

Seen = tuple[str, int, int, str | None]
ORGANIZATION = 'extend type Organization @key(fields: "id") '

ON_THE_PLATFORM: dict[str, tuple[str, list[Seen]]] = {
    "a field more": (ORGANIZATION + "{ id: ID! a: Int b(c: Int!): [Int!] }", []),
    "a field required": (ORGANIZATION + '{ id: ID! name: String! @external a: Int @requires(fields: "name") }', []),
    "a reference only": ('type Organization @key(fields: "id", resolvable: false) { id: ID! }', []),
    "the same scalar": ("scalar JSON", []),
    "a scalar with a mark": ('scalar JSON @tag(name: "a")', [("FOREIGN_DIRECTIVE", 2, 13, "JSON")]),
    "the same shareable type": ("type PageInfo @shareable { hasNextPage: Boolean! }", []),
    "a shareable type with a mark": (
        "type PageInfo @shareable @inaccessible { hasNextPage: Boolean! }",
        [("FOREIGN_DIRECTIVE", 2, 26, "PageInfo")],
    ),
    "a field that is never null": (ORGANIZATION + "{ id: ID! a: Int! }", [("NON_NULL_FIELD", 2, 55, "Organization.a")]),
    "a field the platform has": (
        ORGANIZATION + "{ id: ID! name: String! }",
        [("FIELD_TAKEN", 2, 55, "Organization.name")],
    ),
    "a field the platform has, shared": (
        ORGANIZATION + "{ id: ID! name: String! @shareable }",
        [("FOREIGN_DIRECTIVE", 2, 69, "Organization.name"), ("FIELD_TAKEN", 2, 55, "Organization.name")],
    ),
    "a field the platform has, hidden": (
        ORGANIZATION + "{ id: ID! @inaccessible }",
        [("FOREIGN_DIRECTIVE", 2, 55, "Organization.id")],
    ),
    "a type hidden": (
        ORGANIZATION + "@inaccessible { id: ID! }",
        [("FOREIGN_DIRECTIVE", 2, 45, "Organization")],
    ),
    "a type under a policy": (
        ORGANIZATION + '@policy(policies: [["a"]]) { id: ID! }',
        [("FOREIGN_DIRECTIVE", 2, 45, "Organization")],
    ),
    "a type under an interface": (
        "interface FinancialNode { id: ID! }\n"
        + ORGANIZATION.replace("Organization", "Organization implements FinancialNode")
        + "{ id: ID! }",
        [("FOREIGN_INTERFACE", 3, 37, "Organization")],
    ),
    "a shareable type under an interface": (
        "interface FinancialNode { hasNextPage: Boolean! }\n"
        "type PageInfo implements FinancialNode @shareable { hasNextPage: Boolean! }",
        [("FOREIGN_INTERFACE", 3, 26, "PageInfo")],
    ),
    "a key of its own": (
        'extend type Organization @key(fields: "name") { name: String! }',
        [("UNKNOWN_KEY", 2, 13, "Organization")],
    ),
    "an entity without a key": ("type Organization { id: ID! }", [("TYPE_TAKEN", 2, 6, "Organization")]),
    "an entity as an enum": ("enum Organization { A }", [("TYPE_TAKEN", 2, 6, "Organization")]),
    "a type that is no entity": ("type Viewer { subject: String! }", [("TYPE_TAKEN", 2, 6, "Viewer")]),
    "an enum": ("enum Plan { FREE PREMIUM }", [("TYPE_TAKEN", 2, 6, "Plan")]),
    "an interface": ("interface UserError { message: String! }", [("TYPE_TAKEN", 2, 11, "UserError")]),
    "a root field": ("type Query { organization(id: ID!): Int }", [("FIELD_TAKEN", 2, 14, "Query.organization")]),
    "a root type with a mark": (
        "type Query @shareable { a: Int }",
        [("FOREIGN_DIRECTIVE", 2, 12, "Query")],
    ),
}

ON_ANOTHER_MODULE: dict[str, tuple[str, list[Seen]]] = {
    "a reference": ('type FinancialInvoice @key(fields: "id", resolvable: false) { id: ID! }', []),
    "a field more": ('type FinancialInvoice @key(fields: "id") { id: ID! weight: Int }', []),
    "a field more on the platform's": (ORGANIZATION + "{ id: ID! items: Int }", []),
    "a field that is never null": (
        'type FinancialInvoice @key(fields: "id") { id: ID! weight: Int! }',
        [("NON_NULL_FIELD", 2, 52, "FinancialInvoice.weight")],
    ),
    "a field it has": (
        'type FinancialInvoice @key(fields: "id") { id: ID! amount: Int! }',
        [("FIELD_TAKEN", 2, 52, "FinancialInvoice.amount")],
    ),
    "a root field it has": ("type Query { invoices: Int }", [("FIELD_TAKEN", 2, 14, "Query.invoices")]),
    "a type it has": ("enum Currency { EUR }", [("TYPE_TAKEN", 2, 6, "Currency")]),
    "a type both share": ("type Money @shareable { cents: Int! }", []),
    "a type only it shares": ("type Money { cents: Int! }", [("TYPE_TAKEN", 2, 6, "Money")]),
    "a scalar both have": ("scalar Date", []),
    "a field of its on the platform's type, required": (ORGANIZATION + "{ id: ID! invoices: Int @external }", []),
    "a field of its on the platform's type, denied": (
        ORGANIZATION + '{ id: ID! invoices: Int @external @policy(policies: [["nobody"]]) }',
        [("FOREIGN_DIRECTIVE", 2, 79, "Organization.invoices")],
    ),
    "a type both share, denied": (
        "type Money @shareable @authenticated { cents: Int! @inaccessible }",
        [("FOREIGN_DIRECTIVE", 2, 23, "Money"), ("FOREIGN_DIRECTIVE", 2, 52, "Money.cents")],
    ),
    "a type both share, denied by the other": (
        "type Secret @shareable { a: Int }",
        [("TYPE_TAKEN", 2, 6, "Secret")],
    ),
    "an entity of nobody's by its name": ('type Car @key(fields: "id") { id: ID! doors: Int @external a: Int! }', []),
    "an entity of nobody's by its name, denied": (
        'type Car @key(fields: "id") @requiresScopes(scopes: []) {\n'
        "id: ID! @inaccessible doors: Int @external @policy }",
        [
            ("FOREIGN_DIRECTIVE", 2, 29, "Car"),
            ("FOREIGN_DIRECTIVE", 3, 9, "Car.id"),
            ("FOREIGN_DIRECTIVE", 3, 44, "Car.doors"),
        ],
    ),
    "its own entity, of which the other has the key": (
        'type WarehouseBox @key(fields: "id") @inaccessible { id: ID! a: Int! @policy }',
        [],
    ),
    "its own entity, to which the other adds": (
        'type WarehouseItem @key(fields: "id") @policy { id: ID! a: Int! }',
        [],
    ),
    "its own entity, and what the other adds, denied": (
        'type WarehouseItem @key(fields: "id") { id: ID! price: Int @external @policy }',
        [("FOREIGN_DIRECTIVE", 2, 70, "WarehouseItem.price")],
    ),
    "its own entity, which the other denies": (
        'type WarehouseShelf @key(fields: "id") { id: ID! }',
        [("TYPE_TAKEN", 2, 6, "WarehouseShelf")],
    ),
    "its own entity, to which the other adds what is never null": (
        'type WarehouseRoom @key(fields: "id") { id: ID! }',
        [("TYPE_TAKEN", 2, 6, "WarehouseRoom")],
    ),
}
# as it is in the graph: stamped
OTHER = stamp(
    parse(
        FINANCIAL_SDL
        + """\
enum Currency { EUR }
type Money @shareable { cents: Int! }
type Secret @shareable @inaccessible { a: Int }
scalar Date
type Car @key(fields: "id") { id: ID! doors: Int }
type WarehouseBox @key(fields: "id", resolvable: false) { id: ID! }
type WarehouseItem @key(fields: "id") { id: ID! price: Int }
type WarehouseShelf @key(fields: "id") { id: ID! @inaccessible price: Int }
type WarehouseRoom @key(fields: "id") { id: ID! price: Int! }
"""
    ),
    "financial",
)


@pytest.mark.parametrize(("body", "expected"), ON_THE_PLATFORM.values(), ids=ON_THE_PLATFORM.keys())
def test_on_the_platforms_types(body: str, expected: list[Seen]) -> None:
    assert seen(inspect(candidate(body), PLATFORM_SDL)[0]) == expected


@pytest.mark.parametrize(("body", "expected"), ON_ANOTHER_MODULE.values(), ids=ON_ANOTHER_MODULE.keys())
def test_on_another_modules_types(body: str, expected: list[Seen]) -> None:
    subject = Subject("warehouse", without_specified(parse(HEAD + body)))
    findings = tuple(trespasses(subject, "financial", outline(parse(OTHER))))
    assert seen(findings) == expected
    assert all("'financial'" in finding.message or "nullable" in finding.message for finding in findings)


def test_a_message_says_who_has_to_leave() -> None:
    body = 'type WarehouseRoom @key(fields: "id") { id: ID! }'
    subject = Subject("warehouse", without_specified(parse(HEAD + body)))
    (finding,) = trespasses(subject, "financial", outline(parse(OTHER)))
    assert finding.message == (
        "'financial' has WarehouseRoom in the graph with WarehouseRoom.price, which is never null; "
        "that has to leave first."
    )


def test_a_message_says_whose_it_is_and_how_to_add_to_it() -> None:
    findings, _ = inspect(candidate("type Organization { id: ID! }"), PLATFORM_SDL)
    assert findings[0].message == (
        "Organization is a type of 'platform' already; add fields to it by @key(fields: \"id\")."
    )


@pytest.mark.parametrize(
    ("name", "module", "expected"),
    [
        ("FinancialInvoice", "financial", True),
        ("Financial", "financial", True),
        ("Financial2", "financial", True),
        ("Financially", "financial", False),
        ("Invoice", "financial", False),
        ("InvoiceArchiveEntry", "invoice-archive", True),
        ("InvoiceArchiveEntry", "invoice", True),
        ("Q4Report", "q4", True),
    ],
)
def test_a_type_is_owned_by_its_prefix(name: str, module: str, expected: bool) -> None:
    assert is_owned(name, module) is expected
    assert prefix_of("invoice-archive") == "InvoiceArchive"
