"""How a subgraph says which federation it speaks: @link, and what it imports.

Never holds: what the imported directives do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    DirectiveNode,
    DocumentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    StringValueNode,
)

from federation.finding import Finding, Severity
from federation.sdl import arguments_of, position, string_argument
from federation.specification import FEDERATION_URL, IMPORTABLE, IMPORTABLE_TYPES, VERSION

VERSION_IN_URL = re.compile(r"v(\d{1,4})\.(\d{1,4})")


@dataclass(frozen=True)
class Import:
    """A name as the specification has it, and as it is called here."""

    name: str
    called: str
    node: Node


def links(document: DocumentNode) -> Iterator[DirectiveNode]:
    """The @link directives of the schema and its extensions."""
    for node in document.definitions:
        if isinstance(node, (SchemaDefinitionNode, SchemaExtensionNode)):
            yield from (directive for directive in node.directives or () if directive.name.value == "link")


def is_federation(link: DirectiveNode) -> bool:
    return (string_argument(link, "url") or "").startswith(FEDERATION_URL)


def imports(link: DirectiveNode) -> Iterator[Import]:
    given = arguments_of(link).get("import")
    for value in given.values if isinstance(given, ListValueNode) else ():
        if isinstance(value, StringValueNode):
            yield Import(value.value, value.value, value)
        elif isinstance(value, ObjectValueNode):
            entries = {field.name.value: field.value for field in value.fields}
            name, called = entries.get("name"), entries.get("as", entries.get("name"))
            if isinstance(name, StringValueNode) and isinstance(called, StringValueNode):
                yield Import(name.value, called.value, value)


def check_links(document: DocumentNode) -> Iterator[Finding]:
    """What is wrong with the links. Nothing may be renamed: the other rules, and people, go by the names."""
    found = [link for link in links(document) if is_federation(link)]
    if not found:
        url = f"{FEDERATION_URL}v{VERSION[0]}.{VERSION[1]}"
        why = f'The schema names no federation; begin with extend schema @link(url: "{url}", import: ["@key"]).'
        yield Finding(Severity.ERROR, "LINK_MISSING", why, 1, 1)
    for repeated in found[1:]:
        yield _finding("LINK_REPEATED", "The federation specification is linked more than once.", repeated)
    for link in found:
        yield from _check_federation(link)
    for link in links(document):
        if not is_federation(link):
            url = string_argument(link, "url") or ""
            yield _finding("UNKNOWN_LINK", f"Only the federation specification may be linked, not {url!r}.", link)
        if "as" in arguments_of(link):
            yield _finding("IMPORT_RENAMED", "A linked specification keeps its own name here.", link)


def _check_federation(link: DirectiveNode) -> Iterator[Finding]:
    said = (string_argument(link, "url") or "").removeprefix(FEDERATION_URL)
    version = VERSION_IN_URL.fullmatch(said)
    if version is None or not (2, 0) <= (int(version[1]), int(version[2])) <= VERSION:
        why = f"Federation {said!r} is not understood; v2.0 to v{VERSION[0]}.{VERSION[1]} are."
        yield _finding("FEDERATION_VERSION", why, link)
    for imported in imports(link):
        is_directive = imported.name.startswith("@")
        if imported.name[is_directive:] not in (IMPORTABLE if is_directive else IMPORTABLE_TYPES):
            yield _finding("UNKNOWN_IMPORT", f"The specification has no {imported.name}.", imported.node)
        if imported.called != imported.name:
            why = f"{imported.name} keeps its own name here, and is not called {imported.called}."
            yield _finding("IMPORT_RENAMED", why, imported.node)


def _finding(code: str, why: str, node: Node) -> Finding:
    return Finding(Severity.ERROR, code, why, *position(node))
