"""Documents: parsed under a token limit, measured, validated once, and kept for the next request that sends the same.

One store per schema, bounded by entries and by characters; documents with errors are never kept. Never holds: results.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from graphql import DocumentNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, specified_rules, validate
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graph.cost import Cost, document_cost
from graph.limits import Limits, check_document, limit_error

# Made once: rule classes made per request cost a validation more than the validation itself.
RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
# The error that says validation stopped comes on top: a client sees ten at most.
VALIDATION_ERRORS_MAX = 9


@dataclass(frozen=True, kw_only=True)
class GoodDocument:
    """A document that passed; its cost too, unless that hangs on variables."""

    document: DocumentNode
    cost: Cost


@dataclass(kw_only=True)
class DocumentStore:
    """The least recently used documents go first."""

    entries_max: int = 2_000
    chars_max: int = 8_000_000
    chars: int = 0
    entries: "OrderedDict[str, GoodDocument]" = field(default_factory=OrderedDict)

    def find(self, text: str) -> GoodDocument | None:
        found = self.entries.get(text)
        if found is not None:
            self.entries.move_to_end(text)
        return found

    def keep(self, text: str, document: GoodDocument) -> None:
        if text in self.entries or len(text) > self.chars_max:
            return
        self.entries[text] = document
        self.chars += len(text)
        while len(self.entries) > self.entries_max or self.chars > self.chars_max:
            oldest, _ = self.entries.popitem(last=False)
            self.chars -= len(oldest)


class DocumentCache(SchemaExtension):
    """Takes the place of Strawberry's parser and validation caches and limiters; made by `document_cache`."""

    def __init__(self, *, store: DocumentStore, limits: Limits) -> None:
        self.store = store
        self.limits = limits
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
            errors = check_document(document, self.limits) or validate(
                schema, document, RULES, max_errors=VALIDATION_ERRORS_MAX
            )
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


def document_cache(limits: Limits, *, store: DocumentStore | None = None) -> Callable[[], DocumentCache]:
    """The factory to put in a schema's `extensions`: an instance per request, one store for the schema."""
    kept = store or DocumentStore()
    return lambda: DocumentCache(store=kept, limits=limits)
