"""What belongs to whom: a module owns the types with its prefix, and adds to others' entities by their keys.

Never holds: rules about the module's own types (lint.py).
"""

from collections.abc import Iterator, Mapping, Set

from graphql import DirectiveNode, Node, NonNullTypeNode

from federation.finding import Finding, Severity
from federation.lint import FORBIDDEN, Subject
from federation.names import is_owned, prefix_of
from federation.sdl import ROOTS, TypeOutline, is_external, members, position
from federation.stamping import gated_fields
from federation.subgraph import PLATFORM

# On a type of somebody else's: what says that it is theirs, and nothing that would be merged into it.
ALLOWED_ON_FOREIGN_TYPE = {"key", "extends"}
ALLOWED_ON_FOREIGN_FIELD = {"external"}
# What is merged into a type that several have, and would keep the others' callers out.
DENYING = {"authenticated", "inaccessible", "policy", "requiresScopes"}


def unprefixed(subject: Subject, platform: Mapping[str, TypeOutline]) -> Iterator[Finding]:
    """Types that some other module might come to define too. Entities may be others', and scalars are everybody's."""
    for name, of in subject.types.items():
        if name in ROOTS or name in platform or is_owned(name, subject.module):
            continue
        if of.kind == "scalar":
            for directive in of.directives:
                if directive.name.value != "specifiedBy":
                    why = f"@{directive.name.value} on {name} would change it for every module that has a {name}."
                    yield _error("FOREIGN_DIRECTIVE", why, directive, name)
        elif not of.keys:
            why = f"{name} does not begin with {prefix_of(subject.module)}: it clashes with any other module's {name}."
            yield Finding(Severity.WARNING, "UNPREFIXED_TYPE", why, *position(of.nodes[0]), name)


def trespasses(subject: Subject, owner: str, theirs: Mapping[str, TypeOutline]) -> Iterator[Finding]:
    """Where a module's subgraph does more to the owner's types than to add nullable fields to entities."""
    for name, mine in subject.types.items():
        if name in ROOTS:
            yield from _on_root(mine, theirs.get(name), owner)
        elif name not in theirs:
            continue
        elif owner == PLATFORM or is_owned(name, owner):
            yield from _on_type(mine, theirs[name], owner)
        elif not (mine.keys and theirs[name].keys):
            # it belongs to neither by its name, or to this module although the other one has it
            yield from _taken(mine, theirs[name], owner)
        elif is_owned(name, subject.module):
            yield from _taken_before(mine, theirs[name], owner)
        else:
            yield from _on_common_entity(mine, theirs[name], owner)


def _on_root(mine: TypeOutline, theirs: TypeOutline | None, owner: str) -> Iterator[Finding]:
    taken = theirs.field_names if theirs else frozenset()
    for field in mine.fields:
        if field.name.value in taken:
            coordinate = f"{mine.name}.{field.name.value}"
            yield _error("FIELD_TAKEN", f"{coordinate} is a field of {owner!r} already.", field, coordinate)
    if owner == PLATFORM:  # once, not for every module in the graph
        yield from _foreign_directives(mine, owner, allowed={"extends"}, fields=frozenset(), on_fields=set())


def _on_type(mine: TypeOutline, theirs: TypeOutline, owner: str) -> Iterator[Finding]:
    if mine.kind == theirs.kind == "scalar":
        yield from _foreign_directives(mine, owner, allowed={"specifiedBy"}, fields=frozenset(), on_fields=set())
    elif theirs.has("shareable") and mine.kind == theirs.kind == "object":
        yield from _foreign_interfaces(mine, owner)
        yield from _foreign_directives(
            mine, owner, allowed={"shareable"}, fields=theirs.field_names, on_fields={"shareable"}
        )
    elif mine.kind == theirs.kind == "object" and theirs.keys and mine.keys:
        yield from _on_entity(mine, theirs, owner)
    else:
        yield from _taken(mine, theirs, owner)


def _taken(mine: TypeOutline, theirs: TypeOutline, owner: str) -> Iterator[Finding]:
    if mine.kind == theirs.kind == "scalar":
        return
    if mine.has("shareable") and theirs.has("shareable") and not any(_denials(theirs)):
        yield from (_foreign(directive, coordinate, owner) for coordinate, directive in _denials(mine))
        return
    keys = " or ".join(f'@key(fields: "{key}")' for key in theirs.keys)
    instead = f"; add fields to it by {keys}" if theirs.keys else ""
    yield _error("TYPE_TAKEN", f"{mine.name} is a type of {owner!r} already{instead}.", mine.nodes[0], mine.name)


def _on_common_entity(mine: TypeOutline, theirs: TypeOutline, owner: str) -> Iterator[Finding]:
    """An entity that is nobody's by its name: the composer judges it, but for what would keep others' callers out."""
    for coordinate, directive in _denials(mine, theirs.field_names):
        yield _foreign(directive, coordinate, owner)


def _taken_before(mine: TypeOutline, theirs: TypeOutline, owner: str) -> Iterator[Finding]:
    """An entity of this module's own that the other one has had in the graph before, perhaps not by the rules."""
    added = gated_fields(theirs, is_own=False)
    for coordinate, directive in _denials(mine, added, on_type=False):
        yield _foreign(directive, coordinate, owner)
    wrong = [f"@{directive.name.value} on {at}" for at, directive in _denials(theirs, mine.field_names - added)]
    wrong += [
        f"{mine.name}.{field.name.value}, which is never null"
        for field in theirs.fields
        if field.name.value in added - mine.field_names and isinstance(field.type, NonNullTypeNode)
    ]
    if wrong:
        why = f"{owner!r} has {mine.name} in the graph with {wrong[0]}; that has to leave first."
        yield _error("TYPE_TAKEN", why, mine.nodes[0], mine.name)


def _denials(
    of: TypeOutline, fields: Set[str] | None = None, *, on_type: bool = True
) -> Iterator[tuple[str, DirectiveNode]]:
    """Where a type keeps callers out who are let in elsewhere: on itself, and on these of its fields, or all."""
    for member in (member for node in of.nodes for member in members(node)):
        is_meant = on_type if member.field is None else fields is None or member.field in fields
        for directive in member.directives if is_meant else ():
            if directive.name.value in DENYING:
                yield member.coordinate, directive


def _on_entity(mine: TypeOutline, theirs: TypeOutline, owner: str) -> Iterator[Finding]:
    for key in mine.keys:
        if key not in theirs.keys:
            known = " and ".join(f'"{known}"' for known in theirs.keys)
            why = f'{owner!r} does not resolve {mine.name} by "{key}", but by {known}.'
            yield _error("UNKNOWN_KEY", why, mine.nodes[0], mine.name)
    names = theirs.field_names
    yield from _foreign_interfaces(mine, owner)
    yield from _foreign_directives(
        mine, owner, allowed=ALLOWED_ON_FOREIGN_TYPE, fields=names, on_fields=ALLOWED_ON_FOREIGN_FIELD
    )
    for field in mine.fields:
        coordinate = f"{mine.name}.{field.name.value}"
        if field.name.value not in names:
            if isinstance(field.type, NonNullTypeNode):
                why = f"{coordinate} must be nullable: a tenant that has not got the module is answered null."
                yield _error("NON_NULL_FIELD", why, field, coordinate)
        elif field.name.value not in mine.key_fields and not is_external(field):
            why = f"{coordinate} is a field of {owner!r}; mark it @external to require it."
            yield _error("FIELD_TAKEN", why, field, coordinate)


def _foreign_interfaces(mine: TypeOutline, owner: str) -> Iterator[Finding]:
    """An interface is no field, which could be denied: it would show on the type to tenants without the module."""
    for node in mine.nodes:
        for interface in getattr(node, "interfaces", None) or ():
            why = f"{mine.name} is a type of {owner!r}, and would get the interface {interface.name.value}."
            yield _error("FOREIGN_INTERFACE", why, interface, mine.name)


def _foreign_directives(
    mine: TypeOutline, owner: str, *, allowed: set[str], fields: frozenset[str], on_fields: set[str]
) -> Iterator[Finding]:
    """Directives on the type, and on those of its fields that are the owner's."""
    for member in (member for node in mine.nodes for member in members(node)):
        if member.field is not None and member.field not in fields:
            continue
        for directive in member.directives:
            fine = allowed if member.field is None else on_fields
            if directive.name.value not in fine and directive.name.value not in FORBIDDEN:
                yield _foreign(directive, member.coordinate, owner)


def _foreign(directive: DirectiveNode, coordinate: str, owner: str) -> Finding:
    why = f"@{directive.name.value} on {coordinate} would change what is {owner!r}'s."
    return _error("FOREIGN_DIRECTIVE", why, directive, coordinate)


def _error(code: str, why: str, node: Node, coordinate: str) -> Finding:
    return Finding(Severity.ERROR, code, why, *position(node), coordinate)
