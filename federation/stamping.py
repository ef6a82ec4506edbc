"""Marks what a module brings into the graph as the module's, so that gateways deny it to tenants without the module.

Every root field, and every field of an entity that is not part of its key, gets
`@policy(policies: [["module:<code>"]])` and `@tag(name: "module/<code>")`. An entity's fields need it whoever the
entity belongs to: another module may refer to it, and a gateway would fetch the fields from there.

Types get no tag, nor do fields that a key or an interface demands: a contract without the module could not be composed
when something refers to the type, or has the interface. What nothing refers to any more is left out of it anyway.

Never holds: who has which module.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    ConstListValueNode,
    DocumentNode,
    FieldDefinitionNode,
    ListValueNode,
    NameNode,
    Node,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    ScalarTypeDefinitionNode,
    ScalarTypeExtensionNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    StringValueNode,
    print_ast,
)
from graphql.language.ast import ConstValueNode

from federation.links import imports, is_federation
from federation.names import is_owned, policy_of, tag_of
from federation.sdl import ROOTS, TypeOutline, arguments_of, is_external, outline, string_argument
from federation.specification import FEDERATION_URL, VERSION, without_specified

USED = ("@policy", "@tag")

ObjectType = ObjectTypeDefinitionNode | ObjectTypeExtensionNode


@dataclass(frozen=True)
class _Marks:
    """What becomes of a type's fields."""

    module: str
    gated: frozenset[str]
    tagged: frozenset[str]


def stamp(document: DocumentNode, module: str, foreign: Collection[str] = ()) -> str:
    """The SDL with the module's marks, always at the graph's version. Stamped again it stays as it is.

    `foreign`: names of types that are others'. Theirs is what the graph says of them, and not what the module says.
    """
    types = outline(document)
    # once for a type, however many extensions it has
    marks = {}
    for name, of in types.items():
        gated = gated_fields(of, is_own=is_owned(name, module) and name not in foreign)
        marks[name] = _Marks(module, gated, tagged_fields(of, types))
    stamped: list[Node | None] = []
    for node in without_specified(document).definitions:
        if isinstance(node, (SchemaDefinitionNode, SchemaExtensionNode)):
            stamped.append(_stamp_schema(node))
        elif isinstance(node, (ObjectTypeDefinitionNode, ObjectTypeExtensionNode)):
            name = node.name.value
            stamped.append(_stamp_type(node, marks[name], is_foreign=name in foreign))
        elif isinstance(node, (ScalarTypeDefinitionNode, ScalarTypeExtensionNode)) and node.name.value in foreign:
            is_first = node is types[node.name.value].nodes[0]
            stamped.append(ScalarTypeDefinitionNode(name=node.name) if is_first else None)
        else:
            stamped.append(node)
    return "\n\n".join(print_ast(node) for node in stamped if node is not None) + "\n"


def gated_fields(of: TypeOutline, *, is_own: bool) -> frozenset[str]:
    """The fields of a module's type that get the module's policy. `is_own`: by its name, and nobody else's.

    Of a key everything is known already to whoever refers to the entity by it. By another key it is not, nor what is
    inside of an object in a key: of a type of the module's own only what is in each of its keys stays open.
    """
    if of.kind != "object" or not (of.keys or of.name in ROOTS):
        return frozenset()
    known = of.always_known if is_own else of.key_fields
    return frozenset(field.name.value for field in of.fields if not is_external(field)) - known


def tagged_fields(of: TypeOutline, types: Mapping[str, TypeOutline]) -> frozenset[str]:
    """Those of them that get its tag too: what neither a key nor an interface demands."""
    interfaces = {name for name in of.interfaces if name in types}
    return gated_fields(of, is_own=False).difference(*(types[name].field_names for name in interfaces))


def _stamp_schema(node: SchemaDefinitionNode | SchemaExtensionNode) -> SchemaExtensionNode | None:
    # an extension: Query may have been left out, and the root types have their usual names
    directives = tuple(map(_at_our_version, node.directives or ()))
    return SchemaExtensionNode(directives=directives) if directives else None


def _stamp_type(node: ObjectType, marks: _Marks, *, is_foreign: bool) -> ObjectType:
    fields = []
    for field in node.fields or ():
        if field.name.value in marks.gated:
            fields.append(_stamp_field(field, marks.module, is_tagged=field.name.value in marks.tagged))
        else:
            fields.append(dataclasses.replace(field, description=None) if is_foreign else field)
    if isinstance(node, ObjectTypeDefinitionNode) and (is_foreign or node.name.value in ROOTS):
        # one of the descriptions would become the whole graph's
        return dataclasses.replace(node, fields=tuple(fields), description=None)
    return dataclasses.replace(node, fields=tuple(fields))


def _stamp_field(field: FieldDefinitionNode, module: str, *, is_tagged: bool) -> FieldDefinitionNode:
    others = [directive for directive in field.directives or () if directive.name.value != "policy"]
    policies = [directive for directive in field.directives or () if directive.name.value == "policy"]
    groups = [group for directive in policies for group in _groups(arguments_of(directive).get("policies"))]
    tag = tag_of(module)
    if is_tagged and not any(string_argument(directive, "name", "tag") == tag for directive in others):
        others.append(_directive("tag", "name", StringValueNode(value=tag)))
    return dataclasses.replace(field, directives=(*others, _policy(groups, policy_of(module))))


def _policy(groups: list[list[str]], ours: str) -> ConstDirectiveNode:
    """One of the groups has to hold, and in a group every policy: ours goes into each of them."""
    with_ours = [group if ours in group else [*group, ours] for group in groups] or [[ours]]
    return _directive("policy", "policies", _list(_list(map(_string, group)) for group in with_ours))


def _groups(value: Node | None) -> list[list[str]]:
    """The groups, as GraphQL coerces them: a single value stands for a list of one."""
    outer = value.values if isinstance(value, ListValueNode) else (value,)
    groups = [group.values if isinstance(group, ListValueNode) else (group,) for group in outer]
    return [[policy.value for policy in group if isinstance(policy, StringValueNode)] for group in groups]


def _at_our_version(directive: ConstDirectiveNode) -> ConstDirectiveNode:
    if directive.name.value != "link" or not is_federation(directive):
        return directive
    url = f"{FEDERATION_URL}v{VERSION[0]}.{VERSION[1]}"
    # nothing is renamed, and the types are only for definitions, which have been left out
    names = dict.fromkeys((*(one.name for one in imports(directive) if one.name.startswith("@")), *USED))
    return _with_arguments(directive, {"url": _string(url), "import": _list(map(_string, names))})


def _with_arguments(directive: ConstDirectiveNode, values: Mapping[str, ConstValueNode]) -> ConstDirectiveNode:
    kept = (given for given in directive.arguments or () if given.name.value not in values)
    return dataclasses.replace(directive, arguments=(*(_argument(*item) for item in values.items()), *kept))


def _directive(name: str, argument: str, value: ConstValueNode) -> ConstDirectiveNode:
    return ConstDirectiveNode(name=NameNode(value=name), arguments=(_argument(argument, value),))


def _argument(name: str, value: ConstValueNode) -> ConstArgumentNode:
    return ConstArgumentNode(name=NameNode(value=name), value=value)


def _string(value: str) -> StringValueNode:
    return StringValueNode(value=value)


def _list(values: Iterable[ConstValueNode]) -> ConstListValueNode:
    return ConstListValueNode(values=tuple(values))
