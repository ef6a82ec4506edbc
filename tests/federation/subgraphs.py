"""A small platform and modules beside it, written so that every finding's line can be counted."""

from federation.check import Candidate
from federation.finding import Finding, Severity
from federation.subgraph import Subgraph

LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: [{}])\n'
HEAD = LINK.format(
    ", ".join(f'"@{name}"' for name in ("key", "external", "requires", "shareable", "tag", "policy", "inaccessible"))
)

PLATFORM_SDL = """\
schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"]) { query: Query }
type Query { organization(id: ID!): Organization page: PageInfo }
type Organization @key(fields: "id") { id: ID! name: String! plan: Plan! }
type Viewer { subject: String! }
type PageInfo @shareable { hasNextPage: Boolean! }
enum Plan { FREE PREMIUM }
interface UserError { message: String! }
type InvalidInputError implements UserError { message: String! meta: JSON }
scalar JSON
"""
PLATFORM = Subgraph("platform", "http://platform.test/graphql", PLATFORM_SDL)

FINANCIAL_SDL = (
    HEAD
    + """\
type Query {
  invoices: [FinancialInvoice!]
}
type FinancialInvoice @key(fields: "id") {
  id: ID!
  amount: Int!
}
extend type Organization @key(fields: "id") {
  id: ID!
  invoices: [FinancialInvoice!]
}
"""
)
URL = "https://financial.test/graphql"


def candidate(body: str, module: str = "financial", *, head: str = HEAD) -> Candidate:
    """A module's subgraph whose body begins at line 2."""
    return Candidate(module, head + body, URL)


def seen(findings: tuple[Finding, ...]) -> list[tuple[str, int | None, int | None, str | None]]:
    """What programs go by; a warning's code begins with `~`."""
    return [
        ("~" * (finding.severity is Severity.WARNING) + finding.code, finding.line, finding.column, finding.coordinate)
        for finding in findings
    ]
