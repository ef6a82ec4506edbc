"""Documents: parsed under a token limit, measured, validated and planned once, and kept for the next that is the same.

One store per schema, bounded by entries and by characters; documents with errors are never kept. Queries run by their
plan; graphql-core runs the rest, and all over again what does not come out as it should. Never holds: results.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from graphql import DocumentNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, parse, specified_rules, validate
from strawberry.extensions import SchemaExtension
from strawberry.schema import Schema
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types.execution import ExecutionResult

from graph.cost import Cost, document_cost
from graph.limits import Limits, check_document, limit_error
from graph.plan.kept import KeptPlans
from graph.plan.plan import Run
from graph.plan.run import run_plan

# Made once: rule classes made per request cost a validation more than the validation itself.
RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
# The error that says validation stopped comes on top: a client sees ten at most.
VALIDATION_ERRORS_MAX = 9
# A planned field takes up 430 bytes, a character of a document 77 with all that it is parsed into.
CHARS_PER_PLANNED_FIELD = 6

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GoodDocument:
    """A document that passed; its cost too, unless that hangs on variables."""

    document: DocumentNode
    cost: Cost
    plans: KeptPlans = field(default_factory=KeptPlans)

    @property
    def planned_chars(self) -> int:
        return self.plans.size * CHARS_PER_PLANNED_FIELD


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


class DocumentCache(SchemaExtension):
    """Takes the place of Strawberry's parser and validation caches and limiters; made by `document_cache`."""

    def __init__(self, *, store: DocumentStore, limits: Limits, is_planning: bool) -> None:
        self.store = store
        self.limits = limits
        self.is_planning = is_planning
        self.found: GoodDocument | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        self.found = self.store.find(context.query or "")
        if self.found is not None:
            context.graphql_document = self.found.document
        else:
            # Strawberry hands these to graphql-core's parser as they are; its type names only the first.
            options = {"max_tokens": self.limits.tokens, "max_source_length": self.limits.document_chars}
            context.parse_options = options  # type: ignore[assignment]
        yield
        for error in context.pre_execution_errors or ():
            self._name_parser_limit(error, context.query or "")

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        schema: GraphQLSchema = context.schema._schema  # where Strawberry's own extensions read it
        errors: list[GraphQLError] = []
        if self.found is None and context.graphql_document is not None:
            document = context.graphql_document
            errors = _check(schema, document, self.limits)
            if not errors:
                self.found = GoodDocument(document=document, cost=self._cost(schema, document))
                self.store.keep(context.query or "", self.found)
        if self.found is not None:
            cost = self.found.cost
            if cost.depends_on_variables:
                cost = self._cost(schema, self.found.document)
            if cost.objects > self.limits.cost:
                errors = [limit_error("cost", limit=self.limits.cost, actual=cost.objects)]
        # A list, even an empty one, tells Strawberry that validation is done.
        context.pre_execution_errors = errors
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        """Run it by its plan. A result that is there already is what keeps Strawberry from executing."""
        if self.is_planning and self.found is not None:
            self.execution_context.result = await self._run_plan(self.found)
        yield

    async def _run_plan(self, found: GoodDocument) -> ExecutionResult | None:
        """None: graphql-core is to run it."""
        context, chars = self.execution_context, found.planned_chars
        schema = context.schema
        planned = found.plans.find(schema, found.document, context.operation_name, context.variables)
        self.store.add_planned(context.query or "", found, found.planned_chars - chars)
        if planned is None:
            self.store.runs.unplanned += 1
            return None
        plan, variables = planned
        run = Run(plan=plan, variables=variables, context=context.context, root_value=context.root_value)
        try:
            data = await run_plan(run)
        except Exception:
            # It is a query, so it may be run twice. What was loaded is still in the loaders of the operation.
            log.debug("Abnormal, so graphql-core runs it again", exc_info=True)
            self.store.runs.abnormal += 1
            return None
        self.store.runs.by_plan += 1
        return ExecutionResult(data=data, errors=None)

    def _cost(self, schema: GraphQLSchema, document: DocumentNode) -> Cost:
        variables = self.execution_context.variables or {}
        return document_cost(schema, document, variables=variables, page_default=self.limits.page_default)

    def _name_parser_limit(self, error: GraphQLError, text: str) -> None:
        if not isinstance(error, GraphQLSyntaxError):
            return
        if len(text) > self.limits.document_chars:
            named = limit_error("document_chars", limit=self.limits.document_chars, actual=len(text))
        elif f"more than {self.limits.tokens} tokens" in error.message:
            # The parser stops at the first token too many.
            named = limit_error("tokens", limit=self.limits.tokens, actual=self.limits.tokens + 1)
        else:
            return
        error.message = named.message
        error.extensions = named.extensions


def _check(schema: GraphQLSchema, document: DocumentNode, limits: Limits) -> list[GraphQLError]:
    return check_document(document, limits) or validate(schema, document, RULES, max_errors=VALIDATION_ERRORS_MAX)


def preload(schema: Schema, text: str, *, store: DocumentStore, limits: Limits) -> list[GraphQLError]:
    """Make a document ready before anybody asks for it, and keep it for good; or what is wrong with it."""
    try:
        document = parse(text, max_tokens=limits.tokens, max_source_length=limits.document_chars)
    except GraphQLError as error:
        return [error]
    if errors := _check(schema._schema, document, limits):
        return errors
    cost = document_cost(schema._schema, document, variables={}, page_default=limits.page_default)
    found = store.pinned[text] = GoodDocument(document=document, cost=cost)
    found.plans.prepare(schema, document)
    return []


def document_cache(
    limits: Limits, *, store: DocumentStore | None = None, is_planning: bool = True
) -> Callable[[], DocumentCache]:
    """The factory to put in a schema's `extensions`: an instance per request, one store for the schema."""
    kept = store or DocumentStore()
    return lambda: DocumentCache(store=kept, limits=limits, is_planning=is_planning)
