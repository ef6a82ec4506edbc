"""Is it a schema at all? The rules of the GraphQL specification for a document by itself, at their lines.

Never holds: rules about federation (lint.py).
"""

import contextlib
import dataclasses
from collections.abc import Iterator

from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutableDefinitionNode,
    GraphQLError,
    NamedTypeNode,
    ParallelVisitor,
    Visitor,
    specified_scalar_types,
    visit,
)
from graphql.validation import (
    KnownDirectivesRule,
    LoneSchemaDefinitionRule,
    SDLValidationContext,
    UniqueArgumentDefinitionNamesRule,
    UniqueArgumentNamesRule,
    UniqueDirectivesPerLocationRule,
    UniqueEnumValueNamesRule,
    UniqueFieldDefinitionNamesRule,
    UniqueInputFieldNamesRule,
    UniqueOperationTypesRule,
    UniqueTypeNamesRule,
)
from graphql.validation.rules.known_argument_names import KnownArgumentNamesOnDirectivesRule
from graphql.validation.rules.provided_required_arguments import ProvidedRequiredArgumentsOnDirectivesRule

from federation.finding import Finding, Severity
from federation.sdl import outline, position
from federation.specification import DEFINITIONS, TYPES

# Left out: extensions of what is not in the document (they extend other subgraphs), and unknown types, whose
# suggestions of similar names would take minutes for a document that is made for it.
RULES: dict[type[ASTValidationRule], str] = {
    KnownDirectivesRule: "INVALID_DIRECTIVE",  # unknown, or where it may not be
    KnownArgumentNamesOnDirectivesRule: "INVALID_DIRECTIVE",
    ProvidedRequiredArgumentsOnDirectivesRule: "INVALID_DIRECTIVE",
    UniqueDirectivesPerLocationRule: "INVALID_DIRECTIVE",
    LoneSchemaDefinitionRule: "INVALID_SDL",
    UniqueOperationTypesRule: "INVALID_SDL",
    UniqueTypeNamesRule: "INVALID_SDL",
    UniqueEnumValueNamesRule: "INVALID_SDL",
    UniqueFieldDefinitionNamesRule: "INVALID_SDL",
    UniqueArgumentDefinitionNamesRule: "INVALID_SDL",
    UniqueArgumentNamesRule: "INVALID_SDL",
    UniqueInputFieldNamesRule: "INVALID_SDL",
}
FINDINGS_MAX = 50


class _Enough(Exception):
    """There are as many findings as anybody reads."""


def validity(document: DocumentNode) -> tuple[Finding, ...]:
    """What is wrong with a document that does not hold what the federation specification defines."""
    found = [*_executable(document), *_unknown_types(document)]
    whole = dataclasses.replace(document, definitions=(*document.definitions, *DEFINITIONS))

    def rule(of: type[ASTValidationRule], code: str) -> Visitor:
        def report(error: GraphQLError) -> None:
            line, column = error.locations[0] if error.locations else (1, 1)
            found.append(Finding(Severity.ERROR, code, error.message, line, column))
            if len(found) >= FINDINGS_MAX:
                raise _Enough

        return of(SDLValidationContext(whole, None, report))

    with contextlib.suppress(_Enough):
        visit(whole, ParallelVisitor([rule(of, code) for of, code in RULES.items()]))
    return tuple(found[:FINDINGS_MAX])


def _executable(document: DocumentNode) -> Iterator[Finding]:
    for node in document.definitions:
        if isinstance(node, ExecutableDefinitionNode):
            line, column = position(node)
            why = "Operations and fragments are not part of a schema."
            yield Finding(Severity.ERROR, "INVALID_SDL", why, line, column)


def _unknown_types(document: DocumentNode) -> list[Finding]:
    known = {*outline(document), *TYPES, *specified_scalar_types}
    found: list[Finding] = []

    class NamedTypes(Visitor):
        @staticmethod
        def enter_named_type(node: NamedTypeNode, *_: object) -> None:
            if node.name.value not in known:
                name = node.name.value
                why = f"Type {name} is used and not defined; an entity of another subgraph is defined here by its key."
                found.append(Finding(Severity.ERROR, "UNKNOWN_TYPE", why, *position(node), name))

    visit(document, NamedTypes())
    return found
