"""SDL as it is read: within limits, never with a traceback, and always knowing at which line something stands.

Never holds: what may be in it (lint.py).
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldDefinitionNode,
    GraphQLSyntaxError,
    InputValueDefinitionNode,
    Lexer,
    Node,
    Source,
    StringValueNode,
    TokenKind,
    TypeDefinitionNode,
    TypeExtensionNode,
    parse,
)

from federation.finding import Finding, Severity

BYTES_MAX = 1024 * 1024
TOKENS_MAX = 100_000
DEPTH_MAX = 50

ROOTS = ("Query", "Mutation", "Subscription")

OPENING = {TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L}
CLOSING = {TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R}

STRINGS = {TokenKind.STRING, TokenKind.BLOCK_STRING}
# Descriptions are written into the graph without the escapes by which these get into a string.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

TypeNode = TypeDefinitionNode | TypeExtensionNode


def parse_sdl(text: str) -> DocumentNode | Finding:
    """The document, or the first thing that keeps it from being one."""
    size = len(text.encode(errors="surrogatepass"))
    if size > BYTES_MAX:
        return Finding(Severity.ERROR, "SDL_TOO_LARGE", f"The SDL has {size:,} bytes; {BYTES_MAX:,} are allowed.", 1, 1)
    source = Source(text, "SDL")
    try:
        # the parser calls itself for every level, so the depth is counted first, by a loop
        return _too_much(source) or parse(source)
    except GraphQLSyntaxError as error:
        line, column = error.locations[0] if error.locations else (1, 1)
        return Finding(Severity.ERROR, "SYNTAX_ERROR", f"{error.message}.", line, column)


def _too_much(source: Source) -> Finding | None:
    lexer = Lexer(source)
    depth = tokens = 0
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        tokens += 1
        depth += (token.kind in OPENING) - (token.kind in CLOSING)
        if tokens > TOKENS_MAX:
            why = f"The SDL has more than {TOKENS_MAX:,} tokens."
            return Finding(Severity.ERROR, "SDL_TOO_LARGE", why, token.line, token.column)
        if depth > DEPTH_MAX:
            why = f"The SDL is nested more than {DEPTH_MAX} levels deep."
            return Finding(Severity.ERROR, "SDL_TOO_DEEP", why, token.line, token.column)
        if token.kind in STRINGS and CONTROL.search(token.value or ""):
            why = "A string holds a control character, which is neither kept nor read by everybody as it stands."
            return Finding(Severity.ERROR, "CONTROL_CHARACTER", why, token.line, token.column)
    return None


@dataclass(frozen=True)
class Member:
    """Something in a type definition that has a coordinate: the type itself, a field, an argument, a value."""

    coordinate: str
    field: str | None  # of the type; None for the type itself
    node: Node
    directives: tuple[DirectiveNode, ...]


@dataclass(frozen=True)
class TypeOutline:
    """A type with all its definitions and extensions in one document."""

    name: str
    kind: str  # "object", "interface", "union", "enum", "input_object" or "scalar"
    nodes: tuple[TypeNode, ...]

    @cached_property
    def directives(self) -> tuple[DirectiveNode, ...]:
        return tuple(directive for node in self.nodes for directive in node.directives or ())

    @cached_property
    def fields(self) -> tuple[FieldDefinitionNode, ...]:
        """Of an object or an interface."""
        return tuple(
            field
            for node in self.nodes
            for field in getattr(node, "fields", None) or ()
            if isinstance(field, FieldDefinitionNode)
        )

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(field.name.value for field in self.fields)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The field sets of its @key, in one spelling."""
        return tuple(
            _one_spelling(field_set)
            for node in self.directives
            if (field_set := string_argument(node, "fields", "key"))
        )

    @cached_property
    def key_fields(self) -> frozenset[str]:
        return frozenset(name for field_set in self.keys for name in _outermost(field_set))

    @cached_property
    def always_known(self) -> frozenset[str]:
        """The fields that are in each of its keys, with nothing inside."""
        plain = [frozenset(_outermost(field_set)) - frozenset(_objects(field_set)) for field_set in self.keys]
        return frozenset.intersection(*plain) if plain else frozenset()

    @cached_property
    def interfaces(self) -> tuple[str, ...]:
        return tuple(named.name.value for node in self.nodes for named in getattr(node, "interfaces", None) or ())

    def has(self, directive: str) -> bool:
        return any(node.name.value == directive for node in self.directives)


def is_external(field: FieldDefinitionNode) -> bool:
    return any(directive.name.value == "external" for directive in field.directives or ())


def outline(document: DocumentNode) -> dict[str, TypeOutline]:
    """The document's types by name, in the order in which they first occur."""
    nodes: dict[str, list[TypeNode]] = {}
    for definition in document.definitions:
        if isinstance(definition, (TypeDefinitionNode, TypeExtensionNode)):
            nodes.setdefault(definition.name.value, []).append(definition)
    return {
        name: TypeOutline(name, of_type[0].kind.partition("_type_")[0], tuple(of_type))
        for name, of_type in nodes.items()
    }


def members(node: TypeNode) -> Iterator[Member]:
    """The type, and everything in it."""
    name = node.name.value
    yield Member(name, None, node, tuple(node.directives or ()))
    for value in getattr(node, "values", None) or ():
        yield Member(f"{name}.{value.name.value}", value.name.value, value, tuple(value.directives or ()))
    for field in getattr(node, "fields", None) or ():
        coordinate = f"{name}.{field.name.value}"
        yield Member(coordinate, field.name.value, field, tuple(field.directives or ()))
        arguments: tuple[InputValueDefinitionNode, ...] = getattr(field, "arguments", None) or ()
        for argument in arguments:
            directives = tuple(argument.directives or ())
            yield Member(f"{coordinate}({argument.name.value}:)", field.name.value, argument, directives)


def positions(document: DocumentNode) -> dict[str, tuple[int, int]]:
    """Line and column of everything that has a coordinate; of several definitions the first."""
    found: dict[str, tuple[int, int]] = {}
    for definition in document.definitions:
        if isinstance(definition, (TypeDefinitionNode, TypeExtensionNode)):
            for member in members(definition):
                found.setdefault(member.coordinate, position(member.node))
    return found


def coordinate_at(document: DocumentNode, line: int, column: int) -> str | None:
    """The coordinate of the innermost thing that is defined around a place."""
    best: Member | None = None
    for definition in document.definitions:
        if isinstance(definition, (TypeDefinitionNode, TypeExtensionNode)) and _covers(definition, line, column):
            # outer ones come first, and those beside each other do not overlap
            best = [member for member in members(definition) if _covers(member.node, line, column)][-1]
    return best.coordinate if best else None


def _covers(node: Node, line: int, column: int) -> bool:
    if node.loc is None:
        return False
    start, end = node.loc.start_token, node.loc.end_token
    return (start.line, start.column) <= (line, column) <= (end.line, end.column)


def position(node: Node) -> tuple[int, int]:
    """Line and column of a definition's name, or else of its beginning; (1, 1) for a node that was made, not read."""
    named = None if isinstance(node, DirectiveNode) else getattr(node, "name", None)
    loc = named.loc if named else node.loc
    return (loc.start_token.line, loc.start_token.column) if loc else (1, 1)


def string_argument(directive: DirectiveNode, argument: str, name: str | None = None) -> str | None:
    """The argument's value when it is a string, and the directive has that name."""
    if name is not None and directive.name.value != name:
        return None
    values = [given.value for given in directive.arguments or () if given.name.value == argument]
    return values[0].value if values and isinstance(values[0], StringValueNode) else None


def arguments_of(directive: DirectiveNode) -> Mapping[str, Node]:
    return {given.name.value: given.value for given in directive.arguments or ()}


# A field set is read by a loop as well: it is text inside a string, in which the depth was not counted.
def _one_spelling(field_set: str) -> str:
    return " ".join(re.findall(r"\w+|\S", field_set.replace(",", " ")))


def _outermost(field_set: str) -> Iterator[str]:
    depth = 0
    for word in field_set.split():
        depth += (word == "{") - (word == "}")
        if depth == 0 and word != "}":
            yield word


def _objects(field_set: str) -> Iterator[str]:
    """The names with something inside."""
    words = field_set.split()
    yield from (word for word, following in itertools.pairwise(words) if following == "{")
