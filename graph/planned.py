"""Operations by their plans; graphql-core runs the rest, and over again what does not come out as it should.

A query may be run twice. A mutation's root field may not: graphql-core is handed what came of it, and only completes
it. Never holds: how plans are made, or how a level of one is run.
"""

import logging
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult as GraphQLExecutionResult
from graphql import MiddlewareManager, OperationType, execute
from strawberry.schema import Schema
from strawberry.types import ExecutionContext
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType as Allowed

from graph.limits import Limits
from graph.plan.plan import Run
from graph.plan.run import read_root, run_plan, run_plan_on
from graph.store import DocumentStore, GoodDocument

log = logging.getLogger(__name__)

Result = ExecutionResult | GraphQLExecutionResult


@dataclass(frozen=True, slots=True)
class Tried:
    """A plan has been run, or there is none. `result` None: graphql-core is to run the whole operation."""

    result: Result | None


UNTRIED = Tried(None)
# Set while Strawberry executes what has been tried already.
tried: ContextVar[Tried | None] = ContextVar("tried", default=None)


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation of a good document."""

    schema: Schema
    text: str
    variables: dict[str, Any] | None
    operation_name: str | None
    context: Any
    root_value: Any
    allowed: Iterable[Allowed] | None = None  # None: that has been judged

    @classmethod
    def of(cls, context: ExecutionContext) -> "Asked":
        query, variables, name = context.query or "", context.variables, context.operation_name
        return cls(context.schema, query, variables, name, context.context, context.root_value)


async def try_plan(asked: Asked, found: GoodDocument, store: DocumentStore) -> Tried:
    """Run an operation by its plan, if it has one."""
    before = found.planned_chars
    planned = found.plans.find(asked.schema, found.document, asked.operation_name, asked.variables)
    if (chars := found.planned_chars - before) != 0:
        store.add_planned(asked.text, found, chars)
    if planned is None:
        store.runs.unplanned += 1
        return UNTRIED
    plan, variables = planned
    if asked.allowed is not None and Allowed(plan.operation.operation.value) not in asked.allowed:
        return UNTRIED
    run = Run(plan=plan, variables=variables, context=asked.context, root_value=asked.root_value)
    if plan.operation.operation is OperationType.MUTATION:
        return await _try_mutation(asked, found, store, run)
    try:
        data = await run_plan(run)
    except Exception:
        # What was loaded is still in the loaders of the operation.
        log.debug("Abnormal, so graphql-core runs it again", exc_info=True)
        store.runs.abnormal += 1
        return UNTRIED
    store.runs.by_plan += 1
    return Tried(ExecutionResult(data=data, errors=None))


async def _try_mutation(asked: Asked, found: GoodDocument, store: DocumentStore, run: Run) -> Tried:
    """Its one root field, and then whatever is selected of what that has answered."""
    value = await read_root(run)
    try:
        data = await run_plan_on(value, run)
    except Exception:
        log.debug("Abnormal, so graphql-core completes it", exc_info=True)
        store.runs.abnormal += 1
        return Tried(await _complete(asked, found, value))
    store.runs.by_plan += 1
    return Tried(ExecutionResult(data=data, errors=None))


async def _complete(asked: Asked, found: GoodDocument, value: Any) -> GraphQLExecutionResult:
    """Have graphql-core execute it with `value`, or the exception that it is, in place of its root field's resolver."""

    def resolve(next_: Callable[..., Any], source: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None:
            return next_(source, info, **arguments)
        if isinstance(value, Exception):
            raise value
        return value

    result = execute(
        asked.schema._schema,  # where Strawberry's own extensions read it
        found.document,
        root_value=asked.root_value,
        middleware=MiddlewareManager(resolve),
        variable_values=asked.variables,
        operation_name=asked.operation_name,
        context_value=asked.context,
    )
    return await result if isawaitable(result) else result


class PlannedSchema(Schema):
    """A schema that runs what it knows by its plan at once, without what Strawberry lays around an execution for what
    may go wrong. Whatever does, Strawberry executes, with all of that."""

    store: DocumentStore
    limits: Limits
    is_planning: bool = False

    async def execute(  # as Strawberry's own
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[Allowed] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        text = query or ""
        found = self.store.find(text) if self.is_planning else None
        done: Tried | None = None
        if found is not None and self._is_affordable(found, variable_values):
            asked = Asked(
                self, text, variable_values, operation_name, context_value, root_value, allowed_operation_types
            )
            done = await try_plan(asked, found, self.store)
            if isinstance(done.result, ExecutionResult):
                return done.result
        token = tried.set(done)
        try:
            return await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        finally:
            tried.reset(token)

    def _is_affordable(self, found: GoodDocument, variables: dict[str, Any] | None) -> bool:
        return found.cost_with(self._schema, variables, self.limits).objects <= self.limits.cost
