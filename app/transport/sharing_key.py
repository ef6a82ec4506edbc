"""Which subscriptions are the same: same document, operation and variables but for `after`, same rights.

`after` says where a client begins, not what it gets: it is left out where it is nothing but that.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    visit,
)

from app.transport.body import GraphQLRequest

AFTER = "after"
# All that is kept here: nobody has checked yet what a client sends.
DOCUMENTS_MAX = 500
DOCUMENT_CHARS_MAX = 8_000
TOKENS_MAX = 2_000


@dataclass(frozen=True)
class After:
    """How a document says where to begin: not at all, by a variable that serves nothing else, or in its own way."""

    variable: str | None = None
    is_fixed: bool = False


def sharing_key(request: GraphQLRequest, rights: Hashable) -> Hashable | None:
    """Equal keys get equal results from the same place on. None: too unusual to be looked at.

    The document need not be valid: then it has a key, and nothing to share under it.
    """
    if len(request.query) > DOCUMENT_CHARS_MAX:
        return None
    variables = request.variables or {}
    after = find_after(request.query, request.operation_name)
    rest = {name: value for name, value in variables.items() if name != after.variable}
    return (
        request.query,
        request.operation_name,
        orjson.dumps(rest, option=orjson.OPT_SORT_KEYS),
        orjson.dumps(request.extensions or {}, option=orjson.OPT_SORT_KEYS),
        rights,
    )


def begins_now(request: GraphQLRequest) -> bool:
    """Whether nothing says where to begin."""
    after = find_after(request.query, request.operation_name)
    variables: Mapping[str, object] = request.variables or {}
    return not after.is_fixed and (after.variable is None or variables.get(after.variable) is None)


def given_after(request: GraphQLRequest) -> str | None:
    """The cursor in the variable that is there for it."""
    after = find_after(request.query, request.operation_name)
    value = (request.variables or {}).get(after.variable) if after.variable is not None else None
    return value if isinstance(value, str) else None


@lru_cache(DOCUMENTS_MAX)
def find_after(query: str, operation_name: str | None) -> After:
    """Read a document; anything unusual about it counts as its own way, which only costs some sharing."""
    try:
        document = parse(query, no_location=True, max_tokens=TOKENS_MAX)
    except GraphQLError:
        return After(is_fixed=True)
    operation = _operation(document, operation_name)
    if operation is None or operation.operation is not OperationType.SUBSCRIPTION:
        return After(is_fixed=True)
    selections = operation.selection_set.selections
    root = selections[0] if len(selections) == 1 else None
    if not isinstance(root, FieldNode):  # behind a fragment, say
        return After(is_fixed=True)
    argument = next((each for each in root.arguments or () if each.name.value == AFTER), None)
    if argument is None:
        return After()
    if not isinstance(argument.value, VariableNode):
        return After(is_fixed=True)
    name = argument.value.name.value
    has_default = any(
        each.variable.name.value == name and each.default_value is not None
        for each in operation.variable_definitions or ()
    )
    # its definition and its one use: one that filters as well is part of what is asked
    is_only_that = not has_default and _mentions(document, name) == 2
    return After(variable=name) if is_only_that else After(is_fixed=True)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    if name is None:
        return operations[0] if len(operations) == 1 else None
    return next((each for each in operations if each.name is not None and each.name.value == name), None)


def _mentions(document: DocumentNode, name: str) -> int:
    class Counting(Visitor):
        count = 0

        def enter_variable(self, node: VariableNode, *_: object) -> None:
            self.count += isinstance(node.name, NameNode) and node.name.value == name

    counting = Counting()
    visit(document, counting)
    return counting.count
