"""The plans of one document: made when they are first needed, and kept with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    get_operation_ast,
)
from graphql.execution.values import VariableValues, get_variable_values
from strawberry.schema import Schema

from graph.plan.compile import CONDITIONS, compile_plan
from graph.plan.plan import Plan, UncoveredError

# An operation sent with more combinations of its conditions than this has the rest of them run by graphql-core.
PLANS_MAX = 8
PLANNED = frozenset({OperationType.QUERY, OperationType.MUTATION})


@dataclass(slots=True)
class KeptPlans:
    """None stands for what is not covered: it is not tried again."""

    size: int = 0  # planned fields, over all plans
    _plans: dict[tuple[object, ...], Plan | None] = field(default_factory=dict)
    _conditions: tuple[str, ...] | None = None

    def find(
        self, schema: Schema, document: DocumentNode, operation_name: str | None, raw_variables: dict[str, Any] | None
    ) -> tuple[Plan, VariableValues] | None:
        """The plan of an operation and its variables; None for all that is graphql-core's to run, or to refuse."""
        operation = get_operation_ast(document, operation_name)
        if operation is None or operation.operation not in PLANNED:
            return None
        definitions = operation.variable_definitions or ()
        variables = get_variable_values(schema._schema, definitions, raw_variables or {})
        if isinstance(variables, list):
            return None
        plan = self._plan(schema, document, operation, variables)
        return None if plan is None else (plan, variables)

    def prepare(self, schema: Schema, document: DocumentNode) -> None:
        """Plan the operations before they are asked for, unless their plans hang on variables."""
        for each in document.definitions:
            if any(_conditions(each)):
                return
        for each in document.definitions:
            if isinstance(each, OperationDefinitionNode) and each.operation in PLANNED:
                self._plan(schema, document, each, VariableValues({}, {}))

    def _plan(
        self, schema: Schema, document: DocumentNode, operation: OperationDefinitionNode, variables: VariableValues
    ) -> Plan | None:
        if self._conditions is None:
            self._conditions = tuple(sorted({name for each in document.definitions for name in _conditions(each)}))
        key = (operation.name and operation.name.value, *map(variables.coerced.get, self._conditions))
        if key in self._plans:
            return self._plans[key]
        if len(self._plans) >= PLANS_MAX:
            return None
        try:
            plan = compile_plan(schema, document, operation, variables)
        except (UncoveredError, GraphQLError):
            # a GraphQLError: a condition or an argument that can't be read. graphql-core tells the client.
            plan = None
        self._plans[key] = plan
        self.size += 0 if plan is None else plan.size
        return plan


def _conditions(node: Any) -> Iterator[str]:
    """The variables that @include and @skip ask for, here and below."""
    for directive in node.directives or ():
        if directive.name.value in CONDITIONS:
            for argument in directive.arguments or ():
                if isinstance(argument.value, VariableNode):
                    yield argument.value.name.value
    selection_set = getattr(node, "selection_set", None)
    for selection in selection_set.selections if selection_set else ():
        yield from _conditions(selection)
