"""The plans of one document: made when they are first needed, and kept with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLID,
    GraphQLString,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    get_nullable_type,
    get_operation_ast,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from strawberry.schema import Schema

from graph.plan.compile import CONDITIONS, compile_plan
from graph.plan.plan import Plan, UncoveredError

# An operation sent with more combinations of its conditions than this has the rest of them run by graphql-core.
PLANS_MAX = 8
PLANNED = frozenset({OperationType.QUERY, OperationType.MUTATION})


# An operation's variables, if they are ids and texts without defaults: given as texts, they are what they are.
Texts = dict[str, GraphQLVariableSignature]


@dataclass(frozen=True, slots=True)
class _Operation:
    """What need not be looked for each time."""

    node: OperationDefinitionNode
    texts: Texts | None

    def variables(self, schema: Schema, given: dict[str, Any]) -> VariableValues | None:
        """None: they are not of their types."""
        if self.texts is not None and all(type(given.get(each)) is str for each in self.texts):
            sources = {each: VariableValueSource(signature, given[each]) for each, signature in self.texts.items()}
            return VariableValues(sources, {each: given[each] for each in self.texts})
        values = get_variable_values(schema._schema, self.node.variable_definitions or (), given)
        return None if isinstance(values, list) else values


@dataclass(slots=True)
class KeptPlans:
    """None stands for what is not covered: it is not tried again."""

    size: int = 0  # planned fields, over all plans
    _plans: dict[tuple[object, ...], Plan | None] = field(default_factory=dict)
    _conditions: tuple[str, ...] | None = None
    _operations: dict[str | None, _Operation] = field(default_factory=dict)  # by the names that clients gave

    def find(
        self, schema: Schema, document: DocumentNode, operation_name: str | None, raw_variables: dict[str, Any] | None
    ) -> tuple[Plan, VariableValues] | None:
        """The plan of an operation and its variables; None for all that is graphql-core's to run, or to refuse."""
        operation = self._operations.get(operation_name)
        if operation is None:
            node = get_operation_ast(document, operation_name)
            if node is None or node.operation not in PLANNED:
                return None
            operation = self._operations[operation_name] = _Operation(node, _texts_of(schema, node))
        variables = operation.variables(schema, raw_variables or {})
        if variables is None:
            return None
        plan = self._plan(schema, document, operation.node, variables)
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


def _texts_of(schema: Schema, operation: OperationDefinitionNode) -> Texts | None:
    texts: Texts = {}
    for definition in operation.variable_definitions or ():
        signature = get_variable_signature(schema._schema, definition)
        if isinstance(signature, GraphQLError) or definition.default_value is not None:
            return None
        if get_nullable_type(signature.type) not in (GraphQLID, GraphQLString):
            return None
        texts[signature.name] = signature
    return texts


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
