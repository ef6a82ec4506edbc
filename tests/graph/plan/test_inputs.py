"""Arguments converted by what was found out once are what Strawberry makes of them, for every field of the schema."""

from random import Random
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    Undefined,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

from graph.plan.inputs import converted, converters_of
from graph.schema import schema

TRIES = 25
VALUES: dict[str, list[Any]] = {
    "Int": [0, 1, -(2**31)],
    "Float": [0.5],
    "Boolean": [True, False],
    "JSON": [{}, {"a": [1, None]}, [1], "text", 1.5],
}
FIELDS = [
    (root.name, name, field)
    for root in (schema._schema.query_type, schema._schema.mutation_type, schema._schema.subscription_type)
    if root is not None
    for name, field in root.fields.items()
    if field.args
]


def value(type_: GraphQLInputType, random: Random) -> Any:
    """As graphql-core hands it to a resolver."""
    if isinstance(type_, GraphQLNonNull):
        return value(type_.of_type, random)
    if random.random() < 0.2:
        return None
    if isinstance(type_, GraphQLList):
        return [value(type_.of_type, random) for _ in range(random.randint(0, 3))]
    if isinstance(type_, GraphQLEnumType):
        return random.choice(list(type_.values.values())).value
    if isinstance(type_, GraphQLInputObjectType):
        return given(type_.fields, random)
    assert isinstance(type_, GraphQLScalarType)
    return random.choice(VALUES.get(type_.name, ["", "text", "0191e2c4-0000-7000-8000-000000000000"]))


def given(fields: Any, random: Random) -> dict[str, Any]:
    """What is not required is left out now and then."""
    return {
        name: None if found is Undefined else found
        for name, field in fields.items()
        if isinstance(field.type, GraphQLNonNull) or random.random() < 0.7
        for found in [value(field.type, random)]
    }


@pytest.mark.parametrize(("root", "name", "field"), FIELDS, ids=[f"{root}.{name}" for root, name, _ in FIELDS])
def test_arguments_come_out_as_strawberry_converts_them(root: str, name: str, field: Any) -> None:
    definition = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    converters = converters_of(schema, definition)
    assert converters is not None
    registry = schema.schema_converter.scalar_registry
    for seed in range(TRIES):
        values = given(field.args, Random(seed))
        expected = convert_arguments(values, definition.arguments, scalar_registry=registry, config=schema.config)
        assert converted(values, converters) == expected
