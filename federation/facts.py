"""A subgraph as a set of facts, one line each: the same for two documents that differ only in how they are written.

Never holds: which differences matter to clients (changes.py).
"""

from collections.abc import Iterator

from graphql import DirectiveNode, DocumentNode, Node, print_ast

from federation.links import imports, links
from federation.sdl import Member, TypeNode, arguments_of, members, outline
from federation.specification import without_specified


def facts(document: DocumentNode) -> frozenset[str]:
    """Without order, descriptions, `extend`, and what the federation specification defines anyway."""
    bare = without_specified(document)
    types = outline(bare).values()
    return frozenset(
        [
            *_schema(bare),
            *(f"{of.kind} {of.name}" for of in types),
            *(fact for of in types for node in of.nodes for fact in _type(node)),
        ]
    )


def _schema(document: DocumentNode) -> Iterator[str]:
    for link in links(document):
        given = arguments_of(link)
        yield f"@link {print_ast(given['url']) if 'url' in given else ''}"
        yield from (f"import {one.name} as {one.called}" for one in imports(link))


def _type(node: TypeNode) -> Iterator[str]:
    name = node.name.value
    yield from (f"{name} implements {interface.name.value}" for interface in getattr(node, "interfaces", None) or ())
    yield from (f"{name} may be {member.name.value}" for member in getattr(node, "types", None) or ())
    for member in members(node):
        if member.field is not None:
            yield f"{member.coordinate}{_signature(member)}"
        yield from (f"{member.coordinate} {_directive(directive)}" for directive in member.directives)


def _signature(member: Member) -> str:
    kind: Node | None = getattr(member.node, "type", None)
    default: Node | None = getattr(member.node, "default_value", None)
    return (f": {print_ast(kind)}" if kind else "") + (f" = {print_ast(default)}" if default else "")


def _directive(directive: DirectiveNode) -> str:
    given = sorted(f"{name}: {print_ast(value)}" for name, value in arguments_of(directive).items())
    return f"@{directive.name.value}({', '.join(given)})"
