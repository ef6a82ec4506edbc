"""How much one request may ask for, and the pass over a document that says so before validation starts.

Every selection is looked at once: a fragment is tallied on its own and its sums are added where it is spread, so that
a document of n tokens costs n steps however often its fragments multiply. Never holds: execution, HTTP, page sizes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionNode,
    StringValueNode,
    ValueNode,
)

ENTITIES_ARGUMENT = "representations"
INTROSPECTION_FIELDS = frozenset({"__schema", "__type"})
ACTUAL_MAX = 2**31 - 1  # doubling fragments reach figures that no JSON reader takes


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All of them in one place; a deployment may hand in its own."""

    # the document
    document_chars: int = 50_000
    tokens: int = 2_000
    depth: int = 12
    introspection_depth: int = 15  # what the standard introspection query needs
    fields: int = 2_000  # after fragments are expanded: aliases x depth multiply, this bounds the product
    root_fields: int = 20
    aliases: int = 30
    fragments: int = 50
    directives: int = 50
    directives_per_node: int = 5
    # Validation compares fields that answer under the same name pair by pair; this bounds the pairs.
    same_name_pairs: int = 20_000
    list_items: int = 500
    representations: int = 1_000
    cost: int = 10_000
    page_default: int = 50
    # the request around it
    body_bytes: int = 262_144
    body_seconds: float = 10.0
    json_depth: int = 64
    variable_list_items: int = 1_000
    execution_seconds: float = 10.0
    # operations of one process: at once, in the queue, and how long there
    running: int = 64
    waiting: int = 500
    waiting_seconds: float = 1.0
    # streams
    init_seconds: float = 5.0
    subscriptions_per_connection: int = 25
    heartbeat_seconds: float = 15.0
    send_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Where a definition spreads a fragment: how deep, and whether among the top selections or inside introspection."""

    name: str
    depth: int
    introspection_depth: int
    is_top: bool


@dataclass(kw_only=True)
class Tally:
    """What one definition asks for: by itself at first, then with its fragments added."""

    fields: int = 0
    top_fields: int = 0
    aliases: int = 0
    depth: int = 0
    introspection_depth: int = 0
    spreads: list[Spread] = field(default_factory=list)


@dataclass(kw_only=True)
class Measures:
    """A document in figures; for depth and the like, those of its most demanding operation."""

    fragments: int = 0
    fields: int = 0
    root_fields: int = 0
    aliases: int = 0
    depth: int = 0
    introspection_depth: int = 0
    directives: int = 0
    directives_per_node: int = 0
    list_items: int = 0
    representations: int = 0
    same_name_pairs: int = 0
    has_null_character: bool = False
    visited: int = 0  # nodes looked at: the work done


def limit_error(rule: str, *, limit: int, actual: int) -> GraphQLError:
    """The error of every limit; `actual` is at least so much where counting stopped early."""
    actual = min(actual, ACTUAL_MAX)
    message = f"The request exceeds the limit for {rule.replace('_', ' ')}: {actual}, and at most {limit} allowed."
    extensions = {"code": "LIMIT_EXCEEDED", "rule": rule, "limit": limit, "actual": actual}
    return GraphQLError(message, extensions=extensions)


def check_document(document: DocumentNode, limits: Limits) -> list[GraphQLError]:
    """One error for each limit the document exceeds; it need not be valid yet."""
    measures = measure(document)
    errors = [
        limit_error(rule, limit=limit, actual=actual)
        for rule, limit, actual in (
            ("fragments", limits.fragments, measures.fragments),
            ("fields", limits.fields, measures.fields),
            ("root_fields", limits.root_fields, measures.root_fields),
            ("aliases", limits.aliases, measures.aliases),
            ("depth", limits.depth, measures.depth),
            ("introspection_depth", limits.introspection_depth, measures.introspection_depth),
            ("directives", limits.directives, measures.directives),
            ("directives_per_node", limits.directives_per_node, measures.directives_per_node),
            ("same_name_pairs", limits.same_name_pairs, measures.same_name_pairs),
            ("list_items", limits.list_items, measures.list_items),
            ("representations", limits.representations, measures.representations),
        )
        if actual > limit
    ]
    if measures.has_null_character:
        # PostgreSQL cannot store it; refused here it is the client's error, later it would be a fault of ours.
        errors.append(GraphQLError("Strings cannot contain U+0000.", extensions={"code": "BAD_USER_INPUT"}))
    return errors


def measure(document: DocumentNode) -> Measures:
    """The figures of a document, each node visited once."""
    measures = Measures()
    names: Counter[str] = Counter()
    fragments: dict[str, Tally] = {}
    operations: list[Tally] = []
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            measures.fragments += 1
            fragments[definition.name.value] = _tally(definition, measures=measures, names=names)
        elif isinstance(definition, OperationDefinitionNode):
            for variable in definition.variable_definitions or ():
                _count_directives(variable.directives, measures=measures)
                if variable.default_value is not None:
                    _measure_value(variable.default_value, measures=measures)
            operations.append(_tally(definition, measures=measures, names=names))
    for name in fragment_order({name: [spread.name for spread in tally.spreads] for name, tally in fragments.items()}):
        _add_fragments(fragments[name], fragments)
    for operation in operations:
        _add_fragments(operation, fragments)
        measures.fields = max(measures.fields, operation.fields)
        measures.root_fields = max(measures.root_fields, operation.top_fields)
        measures.aliases = max(measures.aliases, operation.aliases)
        measures.depth = max(measures.depth, operation.depth)
        measures.introspection_depth = max(measures.introspection_depth, operation.introspection_depth)
    measures.same_name_pairs = sum(count * (count - 1) // 2 for count in names.values())
    return measures


def fragment_order(spreads: Mapping[str, Sequence[str]]) -> list[str]:
    """Fragment names, each after those it spreads. A cycle is cut where it closes: validation will name it."""
    order: list[str] = []
    started: set[str] = set()
    for start in spreads:
        if start in started:
            continue
        started.add(start)
        # Own stack, not recursion: a chain of fragments may be longer than the interpreter's stack.
        path: list[tuple[str, Iterator[str]]] = [(start, iter(spreads[start]))]
        while path:
            name, rest = path[-1]
            child = next((child for child in rest if child in spreads and child not in started), None)
            if child is None:
                order.append(name)
                path.pop()
            else:
                started.add(child)
                path.append((child, iter(spreads[child])))
    return order


def _tally(
    definition: FragmentDefinitionNode | OperationDefinitionNode, *, measures: Measures, names: Counter[str]
) -> Tally:
    tally = Tally()
    _count_directives(definition.directives, measures=measures)
    stack: list[tuple[SelectionNode, int, int, bool]] = [
        (selection, 0, 0, True) for selection in definition.selection_set.selections
    ]
    while stack:
        selection, depth, introspection_depth, is_top = stack.pop()
        measures.visited += 1
        _count_directives(selection.directives, measures=measures)
        if isinstance(selection, FragmentSpreadNode):
            tally.spreads.append(
                Spread(name=selection.name.value, depth=depth, introspection_depth=introspection_depth, is_top=is_top)
            )
            continue
        if isinstance(selection, FieldNode):
            if introspection_depth or selection.name.value in INTROSPECTION_FIELDS:
                introspection_depth += 1
            else:
                depth += 1
            _tally_field(selection, tally=tally, measures=measures, is_top=is_top)
            names[(selection.alias or selection.name).value] += 1
            tally.depth = max(tally.depth, depth)
            tally.introspection_depth = max(tally.introspection_depth, introspection_depth)
            is_top = False
        if isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set:
            stack.extend((child, depth, introspection_depth, is_top) for child in selection.selection_set.selections)
    return tally


def _tally_field(node: FieldNode, *, tally: Tally, measures: Measures, is_top: bool) -> None:
    tally.fields += 1
    tally.top_fields += is_top
    tally.aliases += node.alias is not None and node.alias.value != node.name.value
    for argument in node.arguments or ():
        value = argument.value
        if argument.name.value == ENTITIES_ARGUMENT and isinstance(value, ListValueNode):
            measures.representations = max(measures.representations, len(value.values))
            for item in value.values:
                _measure_value(item, measures=measures)
        else:
            _measure_value(value, measures=measures)


def _add_fragments(tally: Tally, fragments: Mapping[str, Tally]) -> None:
    for spread in tally.spreads:
        fragment = fragments.get(spread.name)
        if fragment is None or fragment is tally:
            continue
        tally.fields += fragment.fields
        tally.aliases += fragment.aliases
        if spread.is_top:
            tally.top_fields += fragment.top_fields
        if spread.introspection_depth:
            below = max(fragment.depth, fragment.introspection_depth)
            tally.introspection_depth = max(tally.introspection_depth, spread.introspection_depth + below)
        else:
            tally.depth = max(tally.depth, spread.depth + fragment.depth)
            tally.introspection_depth = max(tally.introspection_depth, fragment.introspection_depth)


def _count_directives(directives: Iterable[object] | None, *, measures: Measures) -> None:
    count = 0
    for directive in directives or ():
        count += 1
        for argument in getattr(directive, "arguments", None) or ():
            _measure_value(argument.value, measures=measures)
    measures.directives += count
    measures.directives_per_node = max(measures.directives_per_node, count)


def _measure_value(value: ValueNode, *, measures: Measures) -> None:
    stack = [value]
    while stack:
        node = stack.pop()
        measures.visited += 1
        if isinstance(node, ListValueNode):
            measures.list_items = max(measures.list_items, len(node.values))
            stack.extend(node.values)
        elif isinstance(node, ObjectValueNode):
            stack.extend(entry.value for entry in node.fields)
        elif isinstance(node, StringValueNode) and "\0" in node.value:
            measures.has_null_character = True
