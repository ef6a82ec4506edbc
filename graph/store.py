"""Documents that are known to be good, and how operations were run. Never holds: how documents are judged or run."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, GraphQLSchema

from graph.cost import Cost, document_cost
from graph.limits import Limits
from graph.plan.kept import KeptPlans

# A planned field takes up 430 bytes, a character of a document 77 with all that it is parsed into.
CHARS_PER_PLANNED_FIELD = 6


@dataclass(frozen=True, kw_only=True)
class GoodDocument:
    """A document that passed; its cost too, unless that hangs on variables."""

    document: DocumentNode
    cost: Cost
    plans: KeptPlans = field(default_factory=KeptPlans)

    @property
    def planned_chars(self) -> int:
        return self.plans.size * CHARS_PER_PLANNED_FIELD

    def cost_with(self, schema: GraphQLSchema, variables: dict[str, Any] | None, limits: Limits) -> Cost:
        if not self.cost.depends_on_variables:
            return self.cost
        return document_cost(schema, self.document, variables=variables or {}, page_default=limits.page_default)


@dataclass(kw_only=True)
class Runs:
    """How operations were run, since the schema was built."""

    by_plan: int = 0
    abnormal: int = 0  # by their plan first, and then by graphql-core
    unplanned: int = 0


@dataclass(kw_only=True)
class DocumentStore:
    """The least recently used documents go first."""

    entries_max: int = 2_000
    chars_max: int = 8_000_000
    chars: int = 0
    entries: "OrderedDict[str, GoodDocument]" = field(default_factory=OrderedDict)
    pinned: dict[str, GoodDocument] = field(default_factory=dict)  # never go, and are few
    runs: Runs = field(default_factory=Runs)

    def find(self, text: str) -> GoodDocument | None:
        found = self.pinned.get(text)
        if found is not None:
            return found
        found = self.entries.get(text)
        if found is not None:
            self.entries.move_to_end(text)
        return found

    def keep(self, text: str, document: GoodDocument) -> None:
        if text in self.entries or text in self.pinned or len(text) > self.chars_max:
            return
        self.entries[text] = document
        self.chars += len(text) + document.planned_chars
        self._shrink()

    def add_planned(self, text: str, document: GoodDocument, chars: int) -> None:
        """A document's plans have grown. It may be gone by now, or another may have taken its place."""
        if self.entries.get(text) is document:
            self.chars += chars
            self._shrink()

    def _shrink(self) -> None:
        while len(self.entries) > self.entries_max or self.chars > self.chars_max:
            text, document = self.entries.popitem(last=False)
            self.chars -= len(text) + document.planned_chars
