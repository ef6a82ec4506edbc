"""The whole of a check, beside the real platform: what a team is told, and what the graph would become."""

import asyncio
from pathlib import Path

import pytest
from graphql import build_schema

from federation.check import Candidate, CheckResult, _inspect, check
from federation.composer import Composer, ComposerAway
from federation.finding import Change, Criticality, Finding, Severity
from federation.routing import RoutingPolicy
from federation.subgraph import PLATFORM, Composed, Subgraph
from tests.federation.service import says, sdl, serving
from tests.federation.subgraphs import FINANCIAL_SDL, HEAD, seen

PLATFORM_SUBGRAPH = Subgraph(PLATFORM, "http://127.0.0.1:8000/graphql", Path("schema.graphql").read_text())
POLICY = RoutingPolicy(frozenset({"127.0.0.1"}))
DOWN = "http://127.0.0.1:9/graphql"
WAREHOUSE = """\
type Query { items: [WarehouseItem!] }
type WarehouseItem @key(fields: "id") { id: ID! weight: Float! invoice: FinancialInvoice }
type FinancialInvoice @key(fields: "id", resolvable: false) { id: ID! }
extend type Company @key(fields: "id") { id: ID! items: [WarehouseItem!] }
"""


async def checked(
    composer: Composer,
    candidate: Candidate,
    *modules: Subgraph,
    public_sdl: str | None = None,
    require_live: bool = False,
) -> CheckResult:
    return await check(
        candidate,
        [PLATFORM_SUBGRAPH, *modules],
        composer=composer,
        public_sdl=public_sdl,
        routing=POLICY,
        require_live=require_live,
    )


async def activated(composer: Composer, module: str, text: str, *others: Subgraph) -> tuple[Subgraph, Composed]:
    """The module as it is in the graph, and that graph."""
    result = await checked(composer, Candidate(module, text, DOWN), *others)
    assert result.stamped_sdl
    assert result.composed
    return Subgraph(module, DOWN, result.stamped_sdl), result.composed


async def test_a_module_in_order(composer: Composer) -> None:
    before = await composer.compose([PLATFORM_SUBGRAPH])
    assert isinstance(before, Composed)
    async with serving(says(sdl(FINANCIAL_SDL))) as url:
        candidate = Candidate("financial", FINANCIAL_SDL, url)
        result = await checked(composer, candidate, public_sdl=before.public_sdl, require_live=True)
    assert result.findings == ()
    assert [(change.criticality, change.path) for change in result.changes] == [
        (Criticality.SAFE, "FinancialInvoice"),
        (Criticality.SAFE, "Organization.invoices"),
        (Criticality.SAFE, "Query.invoices"),
    ]
    assert result.is_ok
    assert not result.is_breaking
    assert result.composed
    assert f'name: "financial", url: "{url}"' in result.composed.supergraph_sdl


@pytest.mark.parametrize("require_live", [True, False])
async def test_a_service_that_is_down_matters_when_it_is_activated(composer: Composer, require_live: bool) -> None:
    result = await checked(composer, Candidate("financial", FINANCIAL_SDL, DOWN), require_live=require_live)
    severity = Severity.ERROR if require_live else Severity.WARNING
    assert result.findings == (
        Finding(severity, "SERVICE_UNAVAILABLE", "The service can't be reached (ConnectError)."),
    )
    assert result.is_ok is not require_live
    assert result.composed is not None


async def test_a_version_that_breaks_clients(composer: Composer) -> None:
    _, graph = await activated(composer, "financial", FINANCIAL_SDL)
    changed = FINANCIAL_SDL.replace("  amount: Int!\n", "  amount: Int\n").replace("  invoices: [", "  bills: [", 1)
    result = await checked(composer, Candidate("financial", changed, DOWN), public_sdl=graph.public_sdl)
    assert result.is_breaking
    assert result.changes[:2] == (
        Change(
            Criticality.BREAKING,
            "FIELD_CHANGED_KIND",
            "FinancialInvoice.amount",
            "Field FinancialInvoice.amount changed type from Int! to Int.",
        ),
        Change(Criticality.BREAKING, "FIELD_REMOVED", "Query.invoices", "Field Query.invoices was removed."),
    )
    assert [change.path for change in result.changes[2:]] == ["Query.bills"]


async def test_findings_of_the_composer_are_at_the_lines_that_the_team_wrote(composer: Composer) -> None:
    body = (
        "# a comment, which the stamped SDL has not\n\n"
        'type Query { a: FinancialA }\n\ntype FinancialA @key(fields: "id") {\n  id: ID!\n'
        '  b: Int @requires(fields: "nope")\n}\n'
    )
    result = await checked(composer, Candidate("financial", HEAD + body, DOWN))
    assert seen(result.findings) == [("REQUIRES_INVALID_FIELDS", 8, 3, "FinancialA.b")]
    assert result.composed is None
    assert result.stamped_sdl is not None
    # what the sentences begin with is a type's name as well, and not what they are about
    body = 'type Query {\n  a: Int @tag(name: 5)\n  b(c: Int = "d"): Int\n}\nscalar Invalid\n'
    result = await checked(composer, Candidate("financial", HEAD + body, DOWN))
    assert seen(result.findings) == [
        ("INVALID_GRAPHQL", 3, 3, "Query.a"),
        ("INVALID_GRAPHQL", 4, 5, "Query.b(c:)"),
    ]


async def test_two_modules_that_clash_only_together(composer: Composer) -> None:
    financial, _ = await activated(composer, "financial", FINANCIAL_SDL)
    body = (
        "type Query { items: Int }\n"
        'extend type Organization @key(fields: "id") {\n  id: ID!\n  invoices: [Int!]\n}\nenum Kind { A }\n'
    )
    alone = await checked(composer, Candidate("warehouse", HEAD + body, DOWN))
    assert alone.is_ok
    together = await checked(composer, Candidate("warehouse", HEAD + body, DOWN), financial)
    assert seen(together.findings) == [
        ("~UNPREFIXED_TYPE", 7, 6, "Kind"),
        ("FIELD_TYPE_MISMATCH", 5, 3, "Organization.invoices"),
        ("INVALID_FIELD_SHARING", 5, 3, "Organization.invoices"),
    ]
    assert all("financial" in finding.message and "warehouse" in finding.message for finding in together.findings[1:])
    kind = Subgraph("inventory", DOWN, HEAD + "type Query { stock: Kind }\nenum Kind { B }")
    named = await checked(composer, Candidate("warehouse", HEAD + body, DOWN), kind)
    assert [finding.message for finding in named.findings if finding.severity is Severity.ERROR] == [
        "Kind is a type of 'inventory' already."
    ]


async def test_a_field_that_requires_anothers_is_told_what_it_lacks(composer: Composer) -> None:
    """Who has not got the other module would read its data through this one's."""
    financial, _ = await activated(composer, "financial", FINANCIAL_SDL)
    body = (
        'type FinancialInvoice @key(fields: "id") {\n  id: ID!\n  amount: Int! @external\n'
        '  risk: Int @requires(fields: "amount")\n}\n'
    )
    denied = await checked(composer, Candidate("warehouse", HEAD + body, DOWN), financial)
    assert seen(denied.findings) == [("MISSING_TRANSITIVE_AUTH_REQUIREMENTS", 5, 3, "FinancialInvoice.risk")]
    assert denied.findings[0].message.endswith(
        ' Write @policy(policies: [["module:<code>"]]) on it, with the code of the module whose field it requires.'
    )
    body = body.replace('"amount")', '"amount") @policy(policies: [["module:financial"]])')
    result = await checked(composer, Candidate("warehouse", HEAD + body, DOWN), financial)
    assert result.composed
    assert '@policy(policies: [["module:financial", "module:warehouse"]])' in result.composed.supergraph_sdl


async def test_what_is_wrong_on_a_type_that_many_extend_is_told_once(composer: Composer) -> None:
    financial, _ = await activated(composer, "financial", FINANCIAL_SDL)
    body = 'extend type Organization @key(fields: "id") @inaccessible { id: ID! @inaccessible }\n'
    found, _ = await asyncio.to_thread(
        _inspect, Candidate("warehouse", HEAD + body, DOWN), (PLATFORM_SUBGRAPH, financial)
    )
    assert seen(found) == [
        ("FOREIGN_DIRECTIVE", 2, 45, "Organization"),
        ("FOREIGN_DIRECTIVE", 2, 69, "Organization.id"),
    ]
    assert all("'platform'" in finding.message for finding in found)


async def test_a_graph_has_room_for_so_many_subgraphs() -> None:
    """With more, gateways could not ask who a caller is, and nobody could ask anything."""
    away = Composer(node="no-such-node")
    others = [Subgraph(f"m{i}", DOWN, HEAD) for i in range(63)]
    result = await checked(away, Candidate("financial", FINANCIAL_SDL, DOWN), *others)
    assert seen(result.findings) == [("GRAPH_FULL", None, None, None)]
    with pytest.raises(ComposerAway):
        await checked(away, Candidate("financial", FINANCIAL_SDL, DOWN), *others[1:])


async def test_of_many_changes_the_worst_are_shown(composer: Composer) -> None:
    fields = " ".join(f"a{i}: Int" for i in range(600))
    _, graph = await activated(composer, "financial", HEAD + f"type Query {{ {fields} }}")
    new = fields.replace("a599: Int", "a599: ID").replace("a0: Int", "b0: Int")
    new += " ".join(f" c{i}: Int" for i in range(600))
    candidate = Candidate("financial", HEAD + f"type Query {{ {new} }}", DOWN)
    result = await checked(composer, candidate, public_sdl=graph.public_sdl)
    assert seen(result.findings) == [
        ("~CHANGES_LEFT_OUT", None, None, None),
        ("~SERVICE_UNAVAILABLE", None, None, None),
    ]
    assert result.findings[0].message == "603 changes are too many to be shown: these are the 500 worst."
    assert [(change.criticality, change.path) for change in result.changes[:3]] == [
        (Criticality.BREAKING, "Query.a0"),
        (Criticality.BREAKING, "Query.a599"),
        (Criticality.SAFE, "Query.b0"),
    ]
    assert len(result.changes) == 500


def test_a_finding_is_as_long_as_anybody_reads_and_can_be_kept() -> None:
    finding = Finding(Severity.ERROR, "CODE", "a" * 3000, coordinate="b" * 3000)
    assert (finding.message, finding.coordinate) == ("a" * 1999 + "…", "b" * 1999 + "…")
    change = Change(Criticality.SAFE, "CODE", "c" * 3000, "d\0e")
    assert (change.path, change.message) == ("c" * 1999 + "…", "d\N{REPLACEMENT CHARACTER}e")


async def test_what_is_not_in_order_needs_no_composer() -> None:
    away = Composer(node="no-such-node")
    result = await checked(away, Candidate("financial", HEAD + "type Query { a: Int! }", "https://10.0.0.1/"))
    assert seen(result.findings) == [("NON_NULL_FIELD", 2, 14, "Query.a"), ("ROUTING_URL_PRIVATE", None, None, None)]
    with pytest.raises(ComposerAway):
        await checked(away, Candidate("financial", FINANCIAL_SDL, DOWN))


async def test_a_contract_leaves_out_what_a_plan_has_not(composer: Composer) -> None:
    financial, _ = await activated(composer, "financial", FINANCIAL_SDL)
    warehouse, _ = await activated(composer, "warehouse", HEAD + WAREHOUSE, financial)
    graph = [PLATFORM_SUBGRAPH, financial, warehouse]
    without = await composer.contract(graph, {"module/financial"})
    assert isinstance(without, str)
    public = build_schema(without)
    assert list(public.type_map["FinancialInvoice"].fields) == ["id"]  # type: ignore[attr-defined]
    assert "invoices" not in public.type_map["Organization"].fields  # type: ignore[attr-defined]
    assert "invoices" not in public.query_type.fields  # type: ignore[union-attr]
    assert "items" in public.query_type.fields  # type: ignore[union-attr]
    neither = await composer.contract(graph, {"module/financial", "module/warehouse"})
    alone = await composer.compose([PLATFORM_SUBGRAPH])
    assert isinstance(neither, str)
    assert isinstance(alone, Composed)
    assert build_schema(neither).type_map.keys() == build_schema(alone.public_sdl).type_map.keys()


async def test_a_contract_keeps_the_keys_that_it_leaves_to_references(composer: Composer) -> None:
    body = 'type FinancialBill @key(fields: "id") @key(fields: "number") { id: ID! number: Int! amount: Int }\n'
    financial, _ = await activated(composer, "financial", HEAD + body)
    body = (
        "type Query { bill: FinancialBill }\n"
        'type FinancialBill @key(fields: "number", resolvable: false) { number: Int! }\n'
    )
    warehouse, graph = await activated(composer, "warehouse", HEAD + body, financial)
    (number,) = (line for line in graph.supergraph_sdl.splitlines() if line.startswith("  number: Int!"))
    assert number.endswith('@policy(policies: [["module:financial"]])')
    without = await composer.contract([PLATFORM_SUBGRAPH, financial, warehouse], {"module/financial"})
    assert isinstance(without, str)
    assert list(build_schema(without).type_map["FinancialBill"].fields) == ["id", "number"]  # type: ignore[attr-defined]


async def test_a_contract_of_interfaces(composer: Composer) -> None:
    body = (
        "type Query { nodes: [FinancialNode!] }\n"
        "interface FinancialNode { id: ID! amount: Int }\n"
        'type FinancialBill implements FinancialNode @key(fields: "id") { id: ID! amount: Int }\n'
        "type FinancialPage { nodes: [FinancialNode!] bills: [FinancialBill] }\n"
        "type Mutation { page: FinancialPage }\n"
    )
    financial, _ = await activated(composer, "financial", HEAD + body)
    without = await composer.contract([PLATFORM_SUBGRAPH, financial], {"module/financial"})
    assert isinstance(without, str)
    assert "Financial" not in without
