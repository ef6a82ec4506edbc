"""What the platform will say of an SDL, before it is sent: the rules that one subgraph alone can break.

Never holds what only composition shows; the platform checks that, and these again.
"""

import re
from collections.abc import Iterator

from graphql import (
    DocumentNode,
    FieldDefinitionNode,
    GraphQLError,
    InterfaceTypeDefinitionNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    StringValueNode,
    TypeDefinitionNode,
    parse,
)

ROOTS = {"Query", "Mutation", "Subscription"}
ENTITIES = {"Organization", "Company", "Module", "Industry"}
SHARED = {"PageInfo"}  # of Relay; @shareable
FEDERATION = {"_service", "_entities"}
LINK = re.compile(r"https://specs\.apollo\.dev/federation/v2\.(\d+)")
MINOR_MAX = 9
BYTES_MAX = 192 * 1024
Fields = ObjectTypeDefinitionNode | ObjectTypeExtensionNode


def lint_sdl(sdl: str, code: str) -> list[str]:
    """One line for each thing that is wrong, with its line number; empty when there is none."""
    if len(sdl.encode()) > BYTES_MAX:
        return [f"the SDL has more than {BYTES_MAX} bytes"]
    try:
        document = parse(sdl)
    except GraphQLError as error:
        return [f"the SDL does not parse: {error.message}"]
    return [*_link_faults(sdl), *_name_faults(document, code), *_null_faults(document)]


def type_prefix(code: str) -> str:
    """`InvoiceArchive` of `invoice-archive`."""
    return "".join(part.capitalize() for part in code.split("-"))


def has_prefix(name: str, prefix: str) -> bool:
    """`BillingRun` has the prefix Billing, `Billings` has not."""
    return name.startswith(prefix) and not name[len(prefix) :][:1].islower()


def _link_faults(sdl: str) -> Iterator[str]:
    links = [int(minor) for minor in LINK.findall(sdl)]
    if len(links) != 1:
        yield "the schema needs one @link to https://specs.apollo.dev/federation/v2.x"
    yield from (f"federation v2.{minor} is newer than v2.{MINOR_MAX}" for minor in links if minor > MINOR_MAX)


def _name_faults(document: DocumentNode, code: str) -> Iterator[str]:
    """A type is the module's own and has its prefix, or the platform's and has a key."""
    prefix = type_prefix(code)
    for node in document.definitions:
        if not isinstance(node, TypeDefinitionNode | ObjectTypeExtensionNode):
            continue
        name = node.name.value
        if name in ENTITIES:
            if not any(directive.name.value == "key" for directive in node.directives or ()):
                yield f"{_place(node)}{name} is the platform's: extend it by its @key"
        elif _is_own(node) and name not in ROOTS | SHARED and not has_prefix(name, prefix):
            yield f"{_place(node)}{name} does not begin with {prefix}"


def _is_own(node: TypeDefinitionNode | ObjectTypeExtensionNode) -> bool:
    """Scalars are the same in every subgraph, and names with an underscore are Federation's."""
    return node.kind != "scalar_type_definition" and not node.name.value.startswith("_")


def _null_faults(document: DocumentNode) -> Iterator[str]:
    """A gateway answers null for what a tenant may not see, whatever the type says."""
    for node in document.definitions:
        if isinstance(node, Fields) and node.name.value in ROOTS | ENTITIES:
            keys = _key_fields(node)
            for each in node.fields or ():
                if each.name.value not in keys | FEDERATION and _is_gated(each):
                    yield f"{_place(each)}{node.name.value}.{each.name.value} must be nullable"


def _is_gated(node: FieldDefinitionNode) -> bool:
    is_external = any(directive.name.value == "external" for directive in node.directives or ())
    return isinstance(node.type, NonNullTypeNode) and not is_external


def _key_fields(node: ObjectTypeDefinitionNode | ObjectTypeExtensionNode | InterfaceTypeDefinitionNode) -> set[str]:
    texts = [
        argument.value.value if isinstance(argument.value, StringValueNode) else ""
        for directive in node.directives or ()
        if directive.name.value == "key"
        for argument in directive.arguments or ()
        if argument.name.value == "fields"
    ]
    return {name for text in texts for name in re.findall(r"\w+", text)}


def _place(node: object) -> str:
    location = getattr(node, "loc", None)
    return f"line {location.start_token.line}: " if location else ""
