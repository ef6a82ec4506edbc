"""The rules for a module's subgraph that need nobody else's: a table, a small function each.

Never holds: what belongs to whom (ownership.py); whether it composes (composer.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from graphql import (
    DirectiveDefinitionNode,
    DirectiveNode,
    DocumentNode,
    FieldDefinitionNode,
    Node,
    NonNullTypeNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
)

from federation.finding import Finding, Severity
from federation.links import check_links, imports, is_federation, links
from federation.names import tag_of
from federation.sdl import ROOTS, Member, TypeOutline, members, outline, position, string_argument
from federation.specification import IMPORTABLE
from federation.stamping import tagged_fields
from federation.subgraph import PLATFORM

RESERVED = re.compile(r"_(Any|Entity|Service|FieldSet)|FieldSet|__.*|(link|federation|join|core)__.*")
BUILT_IN = {"String", "Int", "Float", "Boolean", "ID"}
ENTRANCES = {"Query._entities", "Query._service"}
NAME_LENGTH_MAX = 255
TAGS = tag_of("")

# What would take effect outside the module, or would keep its fields from being gated.
FORBIDDEN = {
    "composeDirective": "Directives of a module's own do not become part of the graph.",
    "interfaceObject": "Fields that are added to an interface could not be denied to tenants without the module.",
    "override": "A field moves from one module to another only when both are registered without @override.",
}


@dataclass(frozen=True)
class Subject:
    """A module's document as the rules see it: without what the specification defines."""

    module: str
    document: DocumentNode

    @cached_property
    def types(self) -> Mapping[str, TypeOutline]:
        return outline(self.document)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        return tuple(member for of in self.types.values() for node in of.nodes for member in members(node))

    @cached_property
    def tagged(self) -> frozenset[str]:
        """The coordinates of fields that are stamped with the module's tag."""
        types = self.types
        return frozenset(f"{name}.{field}" for name, of in types.items() for field in tagged_fields(of, types))


Rule = Callable[[Subject], Iterator[Finding]]


def lint(subject: Subject) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(subject)


def link_is_in_order(subject: Subject) -> Iterator[Finding]:
    yield from check_links(subject.document)


def directives_are_imported(subject: Subject) -> Iterator[Finding]:
    federation = [link for link in links(subject.document) if is_federation(link)]
    if not federation:
        return  # it says nothing of federation at all, which is found already
    imported = {one.name for link in federation for one in imports(link)}
    for member, directive in _uses(subject):
        name = directive.name.value
        if name in IMPORTABLE and f"@{name}" not in imported:
            yield _error("DIRECTIVE_NOT_IMPORTED", f'@{name} is used; import "@{name}" in @link.', directive, member)


def directives_are_allowed(subject: Subject) -> Iterator[Finding]:
    for member, directive in _uses(subject):
        if why := FORBIDDEN.get(directive.name.value):
            yield _error("DIRECTIVE_FORBIDDEN", f"@{directive.name.value} is not allowed. {why}", directive, member)


def directives_are_not_defined(subject: Subject) -> Iterator[Finding]:
    for node in subject.document.definitions:
        if isinstance(node, DirectiveDefinitionNode):
            name = f"@{node.name.value}"
            why = f"{name} is a directive of the module's own; only those of the specification are allowed."
            yield Finding(Severity.ERROR, "CUSTOM_DIRECTIVE", why, *position(node), name)


def roots_keep_their_names(subject: Subject) -> Iterator[Finding]:
    for schema in _schemas(subject.document):
        for entry in schema.operation_types or ():
            name = entry.operation.value.capitalize()
            if entry.type.name.value != name:
                why = (
                    f"The {entry.operation.value} type is called {name} in every subgraph, not {entry.type.name.value}."
                )
                yield Finding(Severity.ERROR, "ROOT_RENAMED", why, *position(entry.type))
    for name in ROOTS:
        if name in subject.types and subject.types[name].kind != "object":
            yield _error("ROOT_RENAMED", f"{name} is an object type in every subgraph.", subject.types[name].nodes[0])


def names_are_not_reserved(subject: Subject) -> Iterator[Finding]:
    if subject.module == PLATFORM:
        yield Finding(Severity.ERROR, "RESERVED_NAME", f"No module's subgraph can be called {PLATFORM!r}.", 1, 1)
    for member in subject.members:
        own = re.split(r"[.(:]", member.coordinate)
        name = next(part for part in reversed(own) if part not in {"", ")"})
        is_type = member.field is None
        if name.startswith("__") or (is_type and (RESERVED.fullmatch(name) or name in BUILT_IN)):
            yield _error(
                "RESERVED_NAME", f"The name {name} is reserved by GraphQL or by federation.", member.node, member
            )
        elif member.coordinate in ENTRANCES:
            why = f"{member.coordinate} belongs to federation and may not be defined differently."
            yield _error("RESERVED_NAME", why, member.node, member)


def names_are_short(subject: Subject) -> Iterator[Finding]:
    for member in subject.members:
        if max(map(len, re.findall(r"\w+", member.coordinate))) > NAME_LENGTH_MAX:
            why = f"A name has at most {NAME_LENGTH_MAX} characters."
            yield _error("NAME_TOO_LONG", why, member.node, member)


def root_fields_are_nullable(subject: Subject) -> Iterator[Finding]:
    for name in ROOTS:
        of = subject.types.get(name)
        for field in of.fields if of else ():
            coordinate = f"{name}.{field.name.value}"
            if isinstance(field.type, NonNullTypeNode) and coordinate not in ENTRANCES:
                why = f"{coordinate} must be nullable: a tenant that has not got the module is answered null."
                yield Finding(Severity.ERROR, "NON_NULL_FIELD", why, *position(field), coordinate)


def tags_are_the_modules_own(subject: Subject) -> Iterator[Finding]:
    for member, directive in _uses(subject):
        tag = string_argument(directive, "name", "tag")
        if tag is not None and tag.startswith(TAGS) and not (member and _is_stamp(subject, member, tag)):
            why = f"The tag {tag!r} says which tenants see something; Modplane sets it where it belongs."
            yield _error("RESERVED_TAG", why, directive, member)


def _is_stamp(subject: Subject, member: Member, tag: str) -> bool:
    """What Modplane would set itself may be there. Anywhere else a contract without the module may not compose."""
    is_field = isinstance(member.node, FieldDefinitionNode)
    return is_field and tag == tag_of(subject.module) and member.coordinate in subject.tagged


RULES: tuple[Rule, ...] = (
    link_is_in_order,
    directives_are_imported,
    directives_are_allowed,
    directives_are_not_defined,
    roots_keep_their_names,
    names_are_not_reserved,
    names_are_short,
    root_fields_are_nullable,
    tags_are_the_modules_own,
)


def _uses(subject: Subject) -> Iterator[tuple[Member | None, DirectiveNode]]:
    """Every directive in use, with what carries it; None for the schema."""
    for schema in _schemas(subject.document):
        yield from ((None, directive) for directive in schema.directives or ())
    for member in subject.members:
        yield from ((member, directive) for directive in member.directives)


def _schemas(document: DocumentNode) -> Iterator[SchemaDefinitionNode | SchemaExtensionNode]:
    for node in document.definitions:
        if isinstance(node, (SchemaDefinitionNode, SchemaExtensionNode)):
            yield node


def _error(code: str, why: str, node: Node, member: Member | None = None) -> Finding:
    return Finding(Severity.ERROR, code, why, *position(node), member.coordinate if member else None)
