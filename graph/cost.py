"""What a document may cost: how many objects its answer can hold, counted from the page sizes it asks for.

Runs on valid documents only, once per document unless a page size is a variable. Never holds: prices per client.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)

from graph.limits import ENTITIES_ARGUMENT, fragment_order
from queries.page import PAGE_MAX

PAGE_ARGUMENTS = ("first", "last")
# A page's edges and nodes are what `first` has counted already.
WRAPPER_SUFFIXES = ("Connection", "Edge")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The most objects one operation of the document can answer with."""

    objects: int
    depends_on_variables: bool


@dataclass(kw_only=True)
class Counting:
    """The state of one count: where sizes come from, and whether a variable had a say."""

    schema: GraphQLSchema
    variables: Mapping[str, object]
    page_default: int
    saw_variable: bool = False


@dataclass(kw_only=True)
class Share:
    """Objects of one definition by itself, and the fragments that come on top, each with its factor."""

    objects: int = 0
    spreads: list[tuple[str, int]] = field(default_factory=list)


def document_cost(
    schema: GraphQLSchema, document: DocumentNode, *, variables: Mapping[str, object], page_default: int
) -> Cost:
    """The cost of the dearest operation; linear in the document, since a fragment is counted once."""
    counting = Counting(schema=schema, variables=variables, page_default=page_default)
    fragments: dict[str, Share] = {}
    operations: list[tuple[OperationDefinitionNode, Share]] = []
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            share = _share(definition.selection_set, definition.type_condition.name.value, counting=counting)
            fragments[definition.name.value] = share
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            root = _root_type(schema, definition.operation)
            if root is not None:
                operations.append((definition, _share(definition.selection_set, root.name, counting=counting)))
    for name in fragment_order({name: [spread for spread, _ in share.spreads] for name, share in fragments.items()}):
        _add_fragments(fragments[name], fragments)
    for _, share in operations:
        _add_fragments(share, fragments)
    objects = max((share.objects for _, share in operations), default=0)
    return Cost(objects=objects, depends_on_variables=counting.saw_variable)


def _root_type(schema: GraphQLSchema, operation: OperationType) -> GraphQLObjectType | None:
    return schema.get_root_type(operation)


def _share(selection_set: SelectionSetNode, type_name: str, *, counting: Counting) -> Share:
    share = Share()
    stack: list[tuple[SelectionSetNode, str, int]] = [(selection_set, type_name, 1)]
    while stack:
        selections, parent, factor = stack.pop()
        for selection in selections.selections:
            if isinstance(selection, FragmentSpreadNode):
                share.spreads.append((selection.name.value, factor))
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                stack.append((selection.selection_set, condition.name.value if condition else parent, factor))
            elif isinstance(selection, FieldNode) and selection.selection_set:
                found = _composite_field(counting.schema, parent, selection.name.value)
                if found is None:  # introspection: it has its own depth limit
                    continue
                child, takes_page = found
                times = factor * _times(selection, takes_page=takes_page, counting=counting)
                share.objects += 0 if parent.endswith(WRAPPER_SUFFIXES) else times
                stack.append((selection.selection_set, child, times))
    return share


def _composite_field(schema: GraphQLSchema, parent: str, name: str) -> tuple[str, bool] | None:
    """The type a field leads to, and whether it answers in pages."""
    type_ = schema.get_type(parent)
    if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) or name not in type_.fields:
        return None
    definition = type_.fields[name]
    named = get_named_type(definition.type)
    if not is_composite_type(named):
        return None
    return named.name, any(argument in definition.args for argument in PAGE_ARGUMENTS)


def _times(node: FieldNode, *, takes_page: bool, counting: Counting) -> int:
    for argument in node.arguments or ():
        if takes_page and argument.name.value in PAGE_ARGUMENTS:
            size = _page_size(argument.value, counting=counting)
            if size is not None:
                return size
        if argument.name.value == ENTITIES_ARGUMENT:
            return _list_size(argument.value, counting=counting)
    return counting.page_default if takes_page else 1


def _page_size(value: ValueNode, *, counting: Counting) -> int | None:
    size: object = None
    if isinstance(value, VariableNode):
        counting.saw_variable = True
        size = counting.variables.get(value.name.value)
    elif isinstance(value, IntValueNode):
        size = int(value.value)
    # Sizes that no page has are the resolver's to refuse, before it reads; a negative one must not buy anything back.
    return min(max(size, 1), PAGE_MAX) if isinstance(size, int) else None


def _list_size(value: ValueNode, *, counting: Counting) -> int:
    if isinstance(value, VariableNode):
        counting.saw_variable = True
        items = counting.variables.get(value.name.value)
        return max(len(items), 1) if isinstance(items, list) else 1
    return max(len(value.values), 1) if isinstance(value, ListValueNode) else 1


def _add_fragments(share: Share, fragments: Mapping[str, Share]) -> None:
    for name, factor in share.spreads:
        fragment = fragments.get(name)
        if fragment is not None and fragment is not share:
            share.objects += factor * fragment.objects
