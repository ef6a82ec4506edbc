"""What a module brings into the graph carries the module's policy and tag, whatever its team wrote."""

import asyncio

import pytest
from graphql import parse, print_ast
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.check import inspect
from federation.composer import Composer
from federation.sdl import ROOTS, outline, parse_sdl
from federation.stamping import stamp
from federation.subgraph import Composed, Subgraph
from tests.federation.subgraphs import HEAD, LINK, PLATFORM, PLATFORM_SDL, URL, candidate

GOLDEN = LINK.format('"@key", "@external", "@requires"') + '''\
type Query { "Of all" invoices(first: Int = 10): [FinancialInvoice!] @deprecated }
"""No description of the whole graph's"""
type Mutation { pay(id: ID!): FinancialReceipt }
extend type Subscription { paid: FinancialReceipt }
"""Something to pay"""
type FinancialInvoice @key(fields: "id") @key(fields: "number year") { id: ID! number: Int! year: Int! amount: Int! }
type FinancialReceipt { id: ID! amount: Int! }
extend type Organization @key(fields: "id") {
  id: ID!
  name: String! @external
  credit: Int @requires(fields: "name")
}
'''  # fmt: skip
POLICY = '@policy(policies: [["module:financial"]])'
STAMP = f'@tag(name: "module/financial") {POLICY}'
STAMPED = f'''\
extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@external", "@requires", "@policy", "@tag"])

type Query {{
  "Of all"
  invoices(first: Int = 10): [FinancialInvoice!] @deprecated {STAMP}
}}

type Mutation {{
  pay(id: ID!): FinancialReceipt {STAMP}
}}

extend type Subscription {{
  paid: FinancialReceipt {STAMP}
}}

"""Something to pay"""
type FinancialInvoice @key(fields: "id") @key(fields: "number year") {{
  id: ID! {POLICY}
  number: Int! {POLICY}
  year: Int! {POLICY}
  amount: Int! {STAMP}
}}

type FinancialReceipt {{
  id: ID!
  amount: Int!
}}

extend type Organization @key(fields: "id") {{
  id: ID!
  name: String! @external
  credit: Int @requires(fields: "name") {STAMP}
}}
'''  # noqa: E501

OURS = "module:financial"
POLICIES = {
    "none": ("", f'[["{OURS}"]]'),
    "an empty list": ("@policy(policies: [])", f'[["{OURS}"]]'),
    "one": ('@policy(policies: [["a"]])', f'[["a", "{OURS}"]]'),
    "one of two": ('@policy(policies: [["a"], ["b"]])', f'[["a", "{OURS}"], ["b", "{OURS}"]]'),
    "two at once": ('@policy(policies: [["a", "b"]])', f'[["a", "b", "{OURS}"]]'),
    "ours in one of two": (f'@policy(policies: [["{OURS}"], ["b"]])', f'[["{OURS}"], ["b", "{OURS}"]]'),
    "coerced from a list": ('@policy(policies: ["a", "b"])', f'[["a", "{OURS}"], ["b", "{OURS}"]]'),
    "coerced from a string": ('@policy(policies: "a")', f'[["a", "{OURS}"]]'),
    "an empty group": ("@policy(policies: [[]])", f'[["{OURS}"]]'),
    "not a policy": ("@policy(policies: 5)", f'[["{OURS}"]]'),
    "no argument": ("@policy", f'[["{OURS}"]]'),
}


def test_golden() -> None:
    assert stamp(parse(GOLDEN), "financial") == STAMPED
    assert inspect(candidate(GOLDEN, head=""), PLATFORM_SDL) == ((), STAMPED)


@pytest.mark.parametrize(("written", "expected"), POLICIES.values(), ids=POLICIES.keys())
def test_ours_goes_into_every_group_of_policies(written: str, expected: str) -> None:
    stamped = stamp(parse(HEAD + f"type Query {{ a: Int {written} }}"), "financial")
    assert f'a: Int @tag(name: "module/financial") @policy(policies: {expected})\n' in stamped


def test_every_version_is_raised_to_the_graphs() -> None:
    old = HEAD.replace("v2.9", "v2.0") + "type Query { a: Int }"
    assert stamp(parse(old), "financial") == stamp(parse(HEAD + "type Query { a: Int }"), "financial")


def test_a_field_that_an_interface_demands_is_gated_and_stays_in_contracts() -> None:
    interface = "interface FinancialA { a: Int }\n"
    entity = 'type FinancialB implements FinancialA @key(fields: "id") { id: ID! a: Int b: Int }'
    stamped = stamp(parse(HEAD + interface + entity), "financial")
    assert 'a: Int @policy(policies: [["module:financial"]])\n' in stamped
    assert f"b: Int {STAMP}\n" in stamped
    assert "interface FinancialA {\n  a: Int\n}" in stamped


def test_of_others_types_the_graph_says_what_they_say() -> None:
    body = (
        '"mine" type Organization @key(fields: "id") {\n'
        '  "mine" id: ID!\n  "mine" name: String! @external\n  "a" a: Int\n}\n'
        '"mine" type PageInfo @shareable { "mine" hasNextPage: Boolean! }\n'
        '"mine" scalar JSON @specifiedBy(url: "mine")\nextend scalar DateTime @specifiedBy(url: "mine")\n'
        '"An own" type FinancialA @key(fields: "id") { "own" id: ID! }\n"An own" scalar FinancialDate\n'
        '"Nobody\'s yet" scalar Date'
    )
    findings, stamped = inspect(candidate(body), PLATFORM_SDL + "scalar DateTime\n")
    assert findings == ()
    assert stamped is not None
    assert stamped.partition("\n\n")[2] == (
        'type Organization @key(fields: "id") {\n  id: ID!\n  name: String! @external\n'
        f'  "a"\n  a: Int {STAMP}\n}}\n\n'
        "type PageInfo @shareable {\n  hasNextPage: Boolean!\n}\n\n"
        "scalar JSON\n\n"
        "scalar DateTime\n\n"
        '"An own"\ntype FinancialA @key(fields: "id") {\n  "own"\n  id: ID!\n}\n\n'
        '"An own"\nscalar FinancialDate\n\n'
        '"Nobody\'s yet"\nscalar Date\n'
    )


def test_many_extensions_under_an_interface_are_stamped_in_time() -> None:
    """Each extension was compared with each field of each mention of the interface: hours, for an SDL of this size."""
    fields = " ".join(f"a{i}: ID" for i in range(2_000))
    body = (
        f'type FinancialA @key(fields: "id") {{ id: ID! {fields} }}\ninterface FinancialI {{ {fields} }}\n'
        + "extend type FinancialA implements FinancialI\n" * 2_000
    )
    findings, stamped = inspect(candidate(body), PLATFORM_SDL)
    assert findings == ()
    assert stamped is not None
    assert stamped.count('@policy(policies: [["module:financial"]])') == 2_000


def test_open_is_only_what_everybody_knows_who_refers_to_the_entity() -> None:
    """Who refers to one by its id has to ask the module for its number: the gateway would do so for anybody."""
    body = (
        'type FinancialA @key(fields: "id") @key(fields: "id of { name }") { id: ID! of: FinancialB a: Int }\n'
        "type FinancialB { name: String secret: String }\n"
        # others' keys are others' to keep
        'type WarehouseItem @key(fields: "id") @key(fields: "code") { id: ID! code: ID! a: Int }\n'
    )
    stamped = stamp(parse(HEAD + body), "financial", {"WarehouseItem"})
    assert "{\n  id: ID!\n" + f"  of: FinancialB {POLICY}\n  a: Int {STAMP}\n}}" in stamped
    assert "{\n  id: ID!\n  code: ID!\n" + f"  a: Int {STAMP}\n}}" in stamped
    theirs = stamp(parse(HEAD + body), "financial", {"FinancialA"})
    assert "{\n  id: ID!\n  of: FinancialB\n" + f"  a: Int {STAMP}\n}}" in theirs


def test_a_type_of_the_platforms_is_not_a_modules_whatever_the_module_is_called() -> None:
    body = '"mine" type Organization @key(fields: "id") { "mine" id: ID! a: Int }\n"mine" type OrganizationA { a: Int }'
    _, stamped = inspect(candidate(body, "organization"), PLATFORM_SDL)
    assert stamped is not None
    assert stamped.count("mine") == 1
    assert '"mine"\ntype OrganizationA ' in stamped


NAMES = st.sampled_from(["a", "b", "c", "d"])
TYPES = st.sampled_from(["Int", "[String!]", "FinancialEntity", "[FinancialValue!]", "FinancialKind", "Organization"])
MARKS = st.sampled_from(["", "@deprecated", '@tag(name: "x")', '@policy(policies: [["p"], ["q", "r"]])'])
FIELDS = st.dictionaries(NAMES, st.tuples(TYPES, MARKS), min_size=1, max_size=4).map(
    lambda fields: " ".join(f"{name}: {of} {mark}" for name, (of, mark) in fields.items())
)


@st.composite
def subgraphs(draw: st.DrawFn) -> str:
    """Subgraphs in order, of any shape that a module's may have."""
    version = draw(st.sampled_from(["2.0", "2.3", "2.9"]))
    extended = draw(st.sampled_from(["type", "extend type"]))
    parts = [
        HEAD.replace("v2.9", f"v{version}"),
        f"type Query {{ {draw(FIELDS)} }}",
        f'type FinancialEntity @key(fields: "id") {{ id: ID! {draw(FIELDS)} }}',
        f"type FinancialValue {{ {draw(FIELDS)} }}",
        "enum FinancialKind { A B }",
        f'{extended} Organization @key(fields: "id") {{ id: ID! {draw(FIELDS)} }}',
        draw(st.sampled_from(["", "type Mutation { x: Int }", "extend type Subscription { y: FinancialValue }"])),
    ]
    return "\n".join(parts)


@given(subgraphs())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
def test_stamped_twice_is_stamped_once_and_nothing_is_left_out(sdl: str) -> None:
    findings, stamped = inspect(candidate(sdl, head=""), PLATFORM_SDL)
    assert findings == ()
    assert stamped is not None
    again = parse_sdl(stamped)
    assert inspect(candidate(stamped, head=""), PLATFORM_SDL) == ((), stamped)
    types = outline(again)  # type: ignore[arg-type]
    before = outline(parse(sdl))
    assert types.keys() == before.keys()
    for name, of in types.items():
        assert [field.name.value for field in of.fields] == [field.name.value for field in before[name].fields]
        gated = [field.name.value for field in of.fields if '"module:financial"]' in print_ast(field)]
        is_gated = name in ROOTS or of.keys
        assert gated == ([f.name.value for f in of.fields if f.name.value not in of.key_fields] if is_gated else [])


# it generates in a thread, and the loop beside it may draw random numbers of its own
@pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
async def test_what_was_stamped_composes(composer: Composer) -> None:
    loop = asyncio.get_running_loop()

    @given(subgraphs())
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=20, database=None)
    def composes(sdl: str) -> None:
        stamped = stamp(parse(sdl), "financial")
        together = composer.compose([PLATFORM, Subgraph("financial", URL, stamped)])
        composed = asyncio.run_coroutine_threadsafe(together, loop).result(20)
        assert isinstance(composed, Composed)
        supergraph = outline(parse(composed.supergraph_sdl))
        for name in ROOTS:
            for field in supergraph[name].fields if name in supergraph else ():
                marks = [d.name.value for d in field.directives or ()]
                is_platforms = name == "Query" and field.name.value in {"organization", "page"}
                assert ("policy" in marks) is not is_platforms

    await asyncio.to_thread(composes)
