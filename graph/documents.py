"""Documents: parsed under a token limit, measured, validated and planned once, and kept for the next that is the same.

One store per schema, bounded by entries and by characters; documents with errors are never kept. Never holds: results.
"""

from collections.abc import AsyncIterator, Callable, Iterator

from graphql import DocumentNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, parse, specified_rules, validate
from strawberry.extensions import SchemaExtension
from strawberry.schema import Schema
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graph.cost import document_cost
from graph.limits import Limits, check_document, limit_error
from graph.planned import Asked, tried, try_plan
from graph.store import DocumentStore, GoodDocument

# Made once: rule classes made per request cost a validation more than the validation itself.
RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
# The error that says validation stopped comes on top: a client sees ten at most.
VALIDATION_ERRORS_MAX = 9


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
                variables, page = context.variables or {}, self.limits.page_default
                cost = document_cost(schema, document, variables=variables, page_default=page)
                self.found = GoodDocument(document=document, cost=cost)
                self.store.keep(context.query or "", self.found)
        if self.found is not None:
            cost = self.found.cost_with(schema, context.variables, self.limits)
            if cost.objects > self.limits.cost:
                errors = [limit_error("cost", limit=self.limits.cost, actual=cost.objects)]
        # A list, even an empty one, tells Strawberry that validation is done.
        context.pre_execution_errors = errors
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        """Run it by its plan. A result that is there already is what keeps Strawberry from executing."""
        done = tried.get()
        if done is None and self.is_planning and self.found is not None:
            done = await try_plan(Asked.of(self.execution_context), self.found, self.store)
        if done is not None:
            self.execution_context.result = done.result
        yield

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
