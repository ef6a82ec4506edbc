"""What a new public schema would change for the clients of the old one.

Never holds: who may approve it.
"""

import re

from graphql import build_schema
from graphql.utilities.find_schema_changes import (
    BreakingChange,
    DangerousChange,
    SchemaChange,
    find_schema_changes,
)

from federation.finding import Change, Criticality

# graphql-core tells what a change is about in its sentence only.
COORDINATE = r"(@?\w+(?:\.\w+)?(?:\(\w+:?\))?)"
ABOUT_TYPE = re.compile(rf"(?:Standard scalar )?{COORDINATE} (?:was|changed|no longer)")
ABOUT_LAST = re.compile(rf".* {COORDINATE}\.", re.DOTALL)
ABOUT_ANY = re.compile(
    r"(?:Description of )?"
    r"(?:(?:Field|Argument|Directive|Enum value|input-field|enum value|field|argument|An? \w+ (?:field|argument)) )?"
    + COORDINATE
)
PATTERNS = {
    "TYPE_REMOVED": ABOUT_TYPE,
    "TYPE_ADDED": ABOUT_TYPE,
    "TYPE_CHANGED_KIND": ABOUT_TYPE,
    "IMPLEMENTED_INTERFACE_REMOVED": ABOUT_TYPE,
    "IMPLEMENTED_INTERFACE_ADDED": ABOUT_LAST,
    "TYPE_ADDED_TO_UNION": ABOUT_LAST,
    "TYPE_REMOVED_FROM_UNION": ABOUT_LAST,
    "DIRECTIVE_REPEATABLE_ADDED": ABOUT_LAST,
    "DIRECTIVE_REPEATABLE_REMOVED": ABOUT_LAST,
    "DIRECTIVE_LOCATION_ADDED": ABOUT_LAST,
    "DIRECTIVE_LOCATION_REMOVED": ABOUT_LAST,
}


def compare(old_sdl: str, new_sdl: str) -> tuple[Change, ...]:
    """The changes, the worst first. Both are public SDL as the composer prints it."""
    old, new = (build_schema(sdl, assume_valid=True, no_location=True) for sdl in (old_sdl, new_sdl))
    order = list(Criticality)
    found = [_change(change) for change in find_schema_changes(old, new)]
    return tuple(sorted(found, key=lambda change: (order.index(change.criticality), change.path, change.code)))


def _change(change: SchemaChange) -> Change:
    code = change.type.name
    about = PATTERNS.get(code, ABOUT_ANY).match(change.description)
    return Change(_criticality(change), code, about[1] if about else "", change.description)


def _criticality(change: SchemaChange) -> Criticality:
    if isinstance(change, BreakingChange):
        return Criticality.BREAKING
    return Criticality.DANGEROUS if isinstance(change, DangerousChange) else Criticality.SAFE
