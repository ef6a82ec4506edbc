"""Every rule, with the code, line, column and coordinate of what it finds."""

import pytest

from federation.check import Candidate, inspect
from tests.federation.subgraphs import FINANCIAL_SDL, LINK, PLATFORM_SDL, candidate, seen

Seen = tuple[str, int, int, str | None]
FEDERATION = "https://specs.apollo.dev/federation"

# What a body that begins at line 2 is answered.
BODIES: dict[str, tuple[str, list[Seen]]] = {
    "an operation": ("type Query { a: Int }\nquery { a }", [("INVALID_SDL", 3, 1, None)]),
    "an unknown type": ("type Query { a: Foo }", [("UNKNOWN_TYPE", 2, 17, "Foo")]),
    "an unknown directive": ("type Query {\n  a: Int @foo\n}", [("INVALID_DIRECTIVE", 3, 10, None)]),
    "a directive in the wrong place": ('type Query { a: Int @key(fields: "a") }', [("INVALID_DIRECTIVE", 2, 21, None)]),
    "a directive without its argument": ("type Query { a: Int @tag }", [("INVALID_DIRECTIVE", 2, 21, None)]),
    "a directive with an unknown argument": (
        'type Query { a: Int @tag(name: "a", b: 1) }',
        [("INVALID_DIRECTIVE", 2, 37, None)],
    ),
    "a directive twice": (
        "type Query { a: Int @policy(policies: []) @policy(policies: []) }",
        [("INVALID_DIRECTIVE", 2, 21, None)],
    ),
    "a type twice": ("type Query { a: Int }\ntype Query { b: Int }", [("INVALID_SDL", 2, 6, None)]),
    "a field twice": ("type Query { a: Int }\nextend type Query { a: Int }", [("INVALID_SDL", 2, 14, None)]),
    "a directive of its own": (
        "directive @mine on QUERY\ntype Query { a: Int }",
        [("CUSTOM_DIRECTIVE", 2, 12, "@mine")],
    ),
    "another name for a root type": (
        "schema { query: FinancialQuery }\ntype FinancialQuery { a: Int }",
        [("ROOT_RENAMED", 2, 17, None)],
    ),
    "a root type that is none": ("interface Mutation { a: Int }", [("ROOT_RENAMED", 2, 11, None)]),
    "an introspection name": (
        "type __Schema { a: Int }\ntype Query { __a: Int }",
        [
            ("RESERVED_NAME", 2, 6, "__Schema"),
            ("RESERVED_NAME", 3, 14, "Query.__a"),
            ("~UNPREFIXED_TYPE", 2, 6, "__Schema"),
        ],
    ),
    "an argument with an introspection name": (
        "type Query { a(__b: Int): Int }",
        [("RESERVED_NAME", 2, 16, "Query.a(__b:)")],
    ),
    "a name of the composer": (
        "scalar join__FieldSet\ntype Query { a: Int }",
        [("RESERVED_NAME", 2, 8, "join__FieldSet")],
    ),
    "a scalar that is built in": ("scalar String\ntype Query { a: String }", [("RESERVED_NAME", 2, 8, "String")]),
    "an entrance of another shape": (
        "type Query { a: Int _service: Int _entities(representations: [_Any!]!): [_Entity]! }",
        [("RESERVED_NAME", 2, 21, "Query._service")],
    ),
    "root fields that are never null": (
        "type Query { a: Int! b: Int }\ntype Mutation { c: [Int]! }\nextend type Subscription { d: Int! }",
        [
            ("NON_NULL_FIELD", 2, 14, "Query.a"),
            ("NON_NULL_FIELD", 3, 17, "Mutation.c"),
            ("NON_NULL_FIELD", 4, 28, "Subscription.d"),
        ],
    ),
    "a root field that is never null, whatever it is called": (
        "type Query { _a: Int! _service: _Service! }",
        [("NON_NULL_FIELD", 2, 14, "Query._a")],
    ),
    "a name without an end": (
        f"type Query {{ a: Int {'b' * 256}: Int {'c' * 255}: Int }}",
        [("NAME_TOO_LONG", 2, 21, f"Query.{'b' * 256}")],
    ),
    "the module's own tag where it would be in the way": (
        'type Query { a(b: Int @tag(name: "module/financial")): FinancialA @tag(name: "module/financial") }\n'
        'type FinancialA @tag(name: "module/financial") { a: Int @tag(name: "module/financial") }\n'
        "interface FinancialI { c: Int }\n"
        'type FinancialB implements FinancialI @key(fields: "b") {\n'
        '  b: ID! @tag(name: "module/financial")\n  c: Int @tag(name: "module/financial")\n'
        '  d: Int @tag(name: "module/financial")\n}',
        [
            ("RESERVED_TAG", 2, 23, "Query.a(b:)"),
            ("RESERVED_TAG", 3, 17, "FinancialA"),
            ("RESERVED_TAG", 3, 57, "FinancialA.a"),
            ("RESERVED_TAG", 6, 10, "FinancialB.b"),
            ("RESERVED_TAG", 7, 10, "FinancialB.c"),
        ],
    ),
    "a mark on a scalar that others may have": (
        'scalar Date @policy(policies: [["a"]]) @specifiedBy(url: "a")\nscalar FinancialDate @inaccessible',
        [("FOREIGN_DIRECTIVE", 2, 13, "Date")],
    ),
    "a tag of another module": (
        'type Query { a: Int @tag(name: "module/other") b: Int @tag(name: "module/financial") c: Int @tag(name: "x") }',
        [("RESERVED_TAG", 2, 21, "Query.a")],
    ),
    "types without the module's prefix": (
        "type Query { a: Money }\ntype Money { a: Int }\nenum Financially { A }\nenum FinancialA { A }\nscalar Date",
        [("~UNPREFIXED_TYPE", 3, 6, "Money"), ("~UNPREFIXED_TYPE", 4, 6, "Financially")],
    ),
    "an entity of nobody knows whom": ('type WarehouseItem @key(fields: "id") { id: ID! a: Int! }', []),
}

# What a whole document is answered; `{}` stands for the version.
HEADS: dict[str, tuple[str, list[Seen]]] = {
    "no link at all": ("type Query { a: Int }", [("LINK_MISSING", 1, 1, None)]),
    "a key without a link": (
        'type Query { a: Int }\nextend type Organization @key(fields: "id") { id: ID! }',
        [("LINK_MISSING", 1, 1, None)],
    ),
    "a later federation": (f'extend schema @link(url: "{FEDERATION}/v2.10")', [("FEDERATION_VERSION", 1, 15, None)]),
    "an earlier federation": (f'extend schema @link(url: "{FEDERATION}/v1.0")', [("FEDERATION_VERSION", 1, 15, None)]),
    "a federation that is none": (
        f'extend schema @link(url: "{FEDERATION}/v2.9/")',
        [("FEDERATION_VERSION", 1, 15, None)],
    ),
    "the first federation 2": (f'extend schema @link(url: "{FEDERATION}/v2.0")', []),
    "federation twice": (
        f'extend schema @link(url: "{FEDERATION}/v2.9")\n  @link(url: "{FEDERATION}/v2.9")',
        [("LINK_REPEATED", 2, 3, None)],
    ),
    "another specification": (
        f'extend schema @link(url: "{FEDERATION}/v2.9")\n  @link(url: "https://example.com/cache/v1.0")',
        [("UNKNOWN_LINK", 2, 3, None)],
    ),
    "the link to links": (
        f'schema @link(url: "https://specs.apollo.dev/link/v1.0") @link(url: "{FEDERATION}/v2.9") {{ query: Query }}\n'
        "type Query { a: Int }",
        [],
    ),
    "the link to links, otherwise": (
        f'schema @link(url: "https://specs.apollo.dev/link/v1.0", for: SECURITY) @link(url: "{FEDERATION}/v2.9")\n'
        '  @link(url: "https://specs.apollo.dev/link/v1.1")\n'
        '  @link(url: "https://specs.apollo.dev/link/v1.0", as: "l") { query: Query }\ntype Query { a: Int }',
        [("UNKNOWN_LINK", 2, 3, None), ("UNKNOWN_LINK", 3, 3, None), ("IMPORT_RENAMED", 3, 3, None)],
    ),
    "types of the specification": (LINK.format('"FieldSet", "Scope", {name: "@key"}, {name: "@tag"}'), []),
    "a type that the specification has not": (LINK.format('"Nope"'), [("UNKNOWN_IMPORT", 1, 79, None)]),
    "a specification renamed": (
        f'extend schema @link(url: "{FEDERATION}/v2.9", as: "f")',
        [("IMPORT_RENAMED", 1, 15, None)],
    ),
    "an import renamed": (
        f'extend schema @link(url: "{FEDERATION}/v2.9", import: [{{name: "@tag", as: "@policy"}}])',
        [("IMPORT_RENAMED", 1, 79, None)],
    ),
    "an import of nothing": (LINK.format('"@key", "@keys"'), [("UNKNOWN_IMPORT", 1, 87, None)]),
    "a directive that was not imported": (
        LINK.format('"@key"') + 'type Query { a: Int @tag(name: "a") }',
        [("DIRECTIVE_NOT_IMPORTED", 2, 21, "Query.a")],
    ),
    "a directive by its full name": (
        LINK.format('"@key"') + 'type Query { a: Int @federation__tag(name: "a") }',
        [("INVALID_DIRECTIVE", 2, 21, None)],
    ),
    "a composed directive": (
        LINK.format('"@composeDirective"') + 'extend schema @composeDirective(name: "@a")',
        [("DIRECTIVE_FORBIDDEN", 2, 15, None)],
    ),
    "an interface's fields": (
        LINK.format('"@key", "@interfaceObject"') + 'type FinancialA @interfaceObject @key(fields: "id") { id: ID! }',
        [("DIRECTIVE_FORBIDDEN", 2, 17, "FinancialA")],
    ),
    "a field taken from the platform": (
        LINK.format('"@key", "@override"')
        + 'type Organization @key(fields: "id") {\n  id: ID!\n  name: String! @override(from: "platform")\n}',
        [("DIRECTIVE_FORBIDDEN", 4, 17, "Organization.name"), ("FIELD_TAKEN", 4, 3, "Organization.name")],
    ),
}

PRINTED = """\
schema @link(url: "https://specs.apollo.dev/link/v1.0")
  @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "FieldSet"]) { query: Query }
directive @link(url: String, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA
directive @key(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @federation__external(reason: String) on OBJECT | FIELD_DEFINITION
enum link__Purpose { SECURITY EXECUTION }
scalar link__Import
scalar federation__FieldSet
scalar _Any
union _Entity = FinancialInvoice
type _Service { sdl: String! }
type Query {
  _entities(representations: [_Any!]!): [_Entity]!
  "For gateways"
  _service: _Service!
  a: Int
}
type FinancialInvoice @key(fields: "id") { id: ID! }
"""


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES.keys())
def test_bodies(body: str, expected: list[Seen]) -> None:
    findings, stamped = inspect(candidate(body), PLATFORM_SDL)
    assert seen(findings) == expected
    assert (stamped is None) == any(not code.startswith("~") for code, *_ in expected)


@pytest.mark.parametrize(("sdl", "expected"), HEADS.values(), ids=HEADS.keys())
def test_heads(sdl: str, expected: list[Seen]) -> None:
    findings, _ = inspect(Candidate("financial", sdl, ""), PLATFORM_SDL)
    assert seen(findings) == expected


def test_a_subgraph_in_order() -> None:
    assert inspect(Candidate("financial", FINANCIAL_SDL, ""), PLATFORM_SDL)[0] == ()


def test_what_servers_print_of_the_specification_is_nothing_of_the_modules_own() -> None:
    findings, stamped = inspect(Candidate("financial", PRINTED, ""), PLATFORM_SDL)
    assert findings == ()
    assert stamped == (
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@policy", "@tag"])\n\n'
        'type Query {\n  a: Int @tag(name: "module/financial") @policy(policies: [["module:financial"]])\n}\n\n'
        'type FinancialInvoice @key(fields: "id") {\n  id: ID!\n}\n'
    )


def test_no_number_of_warnings_hides_an_error() -> None:
    body = "".join(f"scalar S{i}\nenum E{i} {{ A }}\n" for i in range(150)) + "enum Plan { FREE }"
    findings, stamped = inspect(candidate(body), PLATFORM_SDL)
    assert len(findings) == 100
    assert seen(findings)[:2] == [("TYPE_TAKEN", 302, 6, "Plan"), ("~UNPREFIXED_TYPE", 3, 6, "E0")]
    assert stamped is None


def test_a_module_that_takes_the_platforms_name() -> None:
    findings, stamped = inspect(candidate("type Query { a: Int }", "platform"), PLATFORM_SDL)
    assert seen(findings) == [("RESERVED_NAME", 1, 1, None)]
    assert stamped is None


def test_messages_say_what_to_do() -> None:
    findings, _ = inspect(candidate("type Query { a: Int! b: Int @cost(weight: 1) }"), PLATFORM_SDL)
    assert [finding.message for finding in findings] == [
        '@cost is used; import "@cost" in @link.',
        "Query.a must be nullable: a tenant that has not got the module is answered null.",
    ]


def test_as_many_findings_as_anybody_reads() -> None:
    fields = " ".join(f"a{i}: Foo{i}" for i in range(1_000))
    findings, stamped = inspect(candidate(f"type Query {{ {fields} }}"), PLATFORM_SDL)
    assert len(findings) == 50
    assert {finding.code for finding in findings} == {"UNKNOWN_TYPE"}
    assert stamped is None
