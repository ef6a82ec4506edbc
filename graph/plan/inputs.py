"""Arguments as a resolver takes them: what Strawberry does with every value is found out once, when a plan is made.

What is not covered here (`Maybe`, inputs that build themselves, inputs in themselves), Strawberry converts as ever.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, TypeAlias

from strawberry.relay import GlobalID
from strawberry.schema import Schema
from strawberry.types.arguments import _is_leaf_type
from strawberry.types.base import StrawberryList, StrawberryMaybe, StrawberryOptional, has_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from strawberry.types.unset import UNSET

# None: the value is handed on as it is. Nulls and UNSET always are.
Converter: TypeAlias = Callable[[Any], Any] | None


class _Uncovered(Exception):
    """Strawberry has to convert it."""


def converters_of(schema: Schema, field: StrawberryField) -> Mapping[str, tuple[str, Converter]] | None:
    """For each argument, by its name in GraphQL, Python's name and how its value is converted; None: not covered."""
    try:
        return {
            schema.config.name_converter.from_argument(each): (each.python_name, _converter(schema, each.type, ()))
            for each in field.arguments
        }
    except _Uncovered:
        return None


def converted(given: Mapping[str, Any], converters: Mapping[str, tuple[str, Converter]]) -> dict[str, Any]:
    """The values that are given, under Python's names."""
    values = {}
    for name, value in given.items():
        python_name, convert = converters[name]
        values[python_name] = value if convert is None or value is None or value is UNSET else convert(value)
    return values


def _converter(schema: Schema, type_: Any, within: tuple[Any, ...]) -> Converter:
    registry = schema.schema_converter.scalar_registry
    if isinstance(type_, StrawberryMaybe) or type_ is GlobalID or type_ in within:
        raise _Uncovered
    if isinstance(type_, StrawberryOptional):
        return _converter(schema, type_.of_type, within)
    if isinstance(type_, StrawberryList):
        item = _converter(schema, type_.of_type, within)
        # copied even if its items are handed on: graphql-core gives the same default to everybody
        return list if item is None else lambda values: [None if each is None else item(each) for each in values]
    if _is_leaf_type(type_, registry):
        return None
    if isinstance(type_, LazyType):
        return _converter(schema, type_.resolve_type(), within)
    if has_object_definition(type_):
        return _object_converter(schema, type_, within)
    raise _Uncovered


def _object_converter(schema: Schema, type_: Any, within: tuple[Any, ...]) -> Callable[[Any], Any]:
    definition = type_.__strawberry_definition__
    if not definition.is_input or definition.from_input is not None:
        raise _Uncovered
    converters = {
        schema.config.name_converter.from_field(each): (
            each.python_name,
            _converter(schema, each.resolve_type(type_definition=definition), (*within, type_)),
        )
        for each in definition.fields
    }
    # what may be left out, and has no default in Python
    absent = [
        each.python_name
        for each in definition.fields
        if each.default_value is MISSING and each.default_factory is MISSING
    ]
    return lambda given: type_(**{**dict.fromkeys(absent), **converted(given, converters)})
