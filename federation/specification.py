"""The federation specification, as far as it defines names: what every subgraph may use, and need not define.

Never holds: rules of ours.
"""

import dataclasses

from graphql import (
    ConstDirectiveNode,
    DefinitionNode,
    DirectiveDefinitionNode,
    DocumentNode,
    FieldDefinitionNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    StringValueNode,
    TypeDefinitionNode,
    parse,
    print_ast,
)

FEDERATION_URL = "https://specs.apollo.dev/federation/"
LINK_URL = "https://specs.apollo.dev/link/v1.0"  # of @link itself
VERSION = (2, 9)  # of the whole graph; the composer knows no later one

# The directives of 2.9, with the argument types spelled as in the specification.
DEFINITIONS = parse("""
directive @link(url: String!, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA
directive @composeDirective(name: String!) repeatable on SCHEMA
directive @key(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @extends on OBJECT | INTERFACE
directive @interfaceObject on OBJECT
directive @external on OBJECT | FIELD_DEFINITION
directive @requires(fields: federation__FieldSet!) on FIELD_DEFINITION
directive @provides(fields: federation__FieldSet!) on FIELD_DEFINITION
directive @shareable repeatable on FIELD_DEFINITION | OBJECT
directive @override(from: String!, label: String) on FIELD_DEFINITION
directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ENUM | ENUM_VALUE | SCALAR | INPUT_OBJECT
  | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION
directive @tag(name: String!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ENUM | ENUM_VALUE | SCALAR
  | INPUT_OBJECT | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @requiresScopes(scopes: [[federation__Scope!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @policy(policies: [[federation__Policy!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @context(name: String!) repeatable on OBJECT | INTERFACE | UNION
directive @fromContext(field: federation__ContextFieldValue) on ARGUMENT_DEFINITION
directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION
  | OBJECT | SCALAR
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!],
  requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
enum link__Purpose { SECURITY EXECUTION }
scalar link__Import
scalar federation__FieldSet
scalar federation__Scope
scalar federation__Policy
scalar federation__ContextFieldValue
""").definitions

DIRECTIVES = frozenset(node.name.value for node in DEFINITIONS if isinstance(node, DirectiveDefinitionNode))
IMPORTABLE = DIRECTIVES - {"link"}
IMPORTABLE_TYPES = frozenset({"FieldSet", "Scope", "Policy", "ContextFieldValue"})
TYPES = frozenset(
    {node.name.value for node in DEFINITIONS if isinstance(node, TypeDefinitionNode)}
    | {"_Any", "_Entity", "_Service", "_FieldSet", "FieldSet"}
)
ENTRANCES = frozenset({"_entities(representations: [_Any!]!): [_Entity]!", "_service: _Service!"})


def without_specified(document: DocumentNode) -> DocumentNode:
    """The document without what the specification defines: some servers print that too, and some do not."""
    kept = (_without_entrances(_without_own_link(node)) for node in document.definitions if not _is_specified(node))
    return dataclasses.replace(document, definitions=tuple(node for node in kept if node is not None))


def _is_specified(node: DefinitionNode) -> bool:
    if isinstance(node, DirectiveDefinitionNode):
        return node.name.value in DIRECTIVES or node.name.value.startswith("federation__")
    return isinstance(node, TypeDefinitionNode) and node.name.value in TYPES


def _without_own_link(node: DefinitionNode) -> DefinitionNode:
    """Without the @link by which @link says of itself that it is there, as some servers print it."""
    if not isinstance(node, (SchemaDefinitionNode, SchemaExtensionNode)):
        return node
    return dataclasses.replace(node, directives=tuple(each for each in node.directives or () if not _is_own_link(each)))


def _is_own_link(directive: ConstDirectiveNode) -> bool:
    if directive.name.value != "link":
        return False
    given = {argument.name.value: argument.value for argument in directive.arguments or ()}
    url = given.get("url")
    # under another name it stays, and is found by the lint
    return isinstance(url, StringValueNode) and url.value == LINK_URL and "as" not in given


def _without_entrances(node: DefinitionNode) -> DefinitionNode | None:
    """None when nothing else was in it: a module that only adds to entities has no field of its own in Query."""
    if not isinstance(node, (ObjectTypeDefinitionNode, ObjectTypeExtensionNode)) or node.name.value != "Query":
        return node
    fields = tuple(field for field in node.fields or () if not _is_entrance(field))
    if not fields and not node.directives:
        return None
    return dataclasses.replace(node, fields=fields)


def _is_entrance(field: FieldDefinitionNode) -> bool:
    # whatever else is called `_entities` or `_service` stays, and is found by the lint
    return field.name.value.startswith("_") and print_ast(dataclasses.replace(field, description=None)) in ENTRANCES
