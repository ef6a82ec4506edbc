"""Random operations over a whole schema: every field may occur, with arguments that hit, miss or make no sense.

What is generated is valid but for the odd merge that graphql-core refuses. Everything comes from the one random source.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_required_argument,
)

DEPTH_MAX = 4
Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType


@dataclass(frozen=True)
class Operation:
    text: str
    name: str | None
    # several to execute it with: conditions come out differently, ids are found or not
    variables: list[dict[str, Any]]


@dataclass
class Generator:
    """Makes operations. `values` has what to say for an argument, by `Type.field.argument` or by its name alone;
    without it, a fitting value is made.
    """

    schema: GraphQLSchema
    values: Mapping[str, Sequence[Any]]
    rare: Container[str]  # fields, named with their types, that cost the test much time
    random: Random
    asked: set[str] = field(default_factory=set)  # every field so far, named with its type
    # of the operation that is being made
    declared: dict[str, str] = field(default_factory=dict)
    given: dict[str, list[Any]] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    aliases: int = 0

    def operation(self) -> Operation:
        self.declared, self.given, self.fragments, self.aliases = {}, {}, {}, 0
        assert self.schema.query_type is not None
        selections = self._object(self.schema.query_type, DEPTH_MAX, set())
        declared = ", ".join(f"${name}: {type_}" for name, type_ in self.declared.items())
        text = f"query A{f'({declared})' if declared else ''} {selections} " + " ".join(self.fragments.values())
        if self._chance(0.03):
            text += " query B { __typename }"
        name = self.random.choice(["A", "B", "C", None]) if self._chance(0.03) else "A"
        variables = [{name: self.random.choice(values) for name, values in self.given.items()} for _ in range(8)]
        # left out altogether is not the same as null
        sent = [{name: value for name, value in each.items() if value is not ...} for each in variables]
        return Operation(text=text, name=name, variables=sent)

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _selection(self, type_: Composite, depth: int, used: set[str]) -> str:
        """A selection set. `used` are the response keys that are taken in it."""
        if isinstance(type_, GraphQLObjectType):
            return self._object(type_, depth, used)
        parts = ["__typename"] if self._chance(0.7) else []
        if isinstance(type_, GraphQLInterfaceType):
            parts += self._fields(type_, depth, used)
        possible = sorted(self.schema.get_possible_types(type_), key=lambda each: each.name)
        for each in self.random.sample(possible, k=min(len(possible), self.random.randint(1, 3))):
            parts.append(f"... on {each.name}{self._condition()} {self._object(each, depth, used)}")
        return f"{{ {' '.join(parts)} }}"

    def _object(self, type_: GraphQLObjectType, depth: int, used: set[str]) -> str:
        parts = self._fields(type_, depth, used)
        if self._chance(0.1):
            parts.append(f"...{self._condition()} {self._object(type_, depth, used)}")
        if self._chance(0.1):
            on = self.random.choice([type_.name, *(each.name for each in type_.interfaces)])
            parts.append(f"... on {on}{self._condition()} {{ {' '.join(self._fields(type_, 0, used))} }}")
        if self._chance(0.1):
            name = f"F{len(self.fragments)}"
            self.fragments[name] = ""  # its place, before those that it spreads itself
            self.fragments[name] = f"fragment {name} on {type_.name} {self._object(type_, depth, used)}"
            parts += [f"...{name}{self._condition()}"] * self.random.randint(1, 2)
        self.random.shuffle(parts)
        return f"{{ {' '.join(parts)} }}"

    def _fields(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int, used: set[str]) -> list[str]:
        # not every object at its full depth: documents would be long, and most of them alike
        deep = depth > 0 and self._chance(0.75)
        able = [name for name, each in type_.fields.items() if deep or not _is_composite(each)]
        able = [name for name in able if f"{type_.name}.{name}" not in self.rare or self._chance(0.15)]
        names = self.random.sample(able, k=min(len(able), self.random.choice((1, 1, 2, 3))))
        self.asked.update(f"{type_.name}.{name}" for name in names)
        deeper = [name for name in able if _is_composite(type_.fields[name]) and name not in names]
        if deeper and self._chance(0.15):
            names.append(self.random.choice(deeper))
        parts = [self._field(type_, name, depth, used) for name in names]
        if not parts or self._chance(0.1):
            parts.append(self._key("__typename", used))
        return parts

    def _field(self, parent: GraphQLObjectType | GraphQLInterfaceType, name: str, depth: int, used: set[str]) -> str:
        definition = parent.fields[name]
        text = self._key(name, used) + self._arguments(f"{parent.name}.{name}", definition.args) + self._condition()
        if not _is_composite(definition):
            return text
        named: Any = get_named_type(definition.type)
        taken: set[str] = set()
        first = self._selection(named, depth - 1, taken)
        if ":" in text or definition.args or not self._chance(0.05):
            return f"{text} {first}"
        # the same field again, to be merged with the first
        return f"{text} {first} {name} {self._selection(named, depth - 1, taken)}"

    def _key(self, name: str, used: set[str]) -> str:
        if name in used or self._chance(0.1):
            self.aliases += 1
            return f"k{self.aliases}: {name}"
        used.add(name)
        return name

    def _condition(self) -> str:
        if not self._chance(0.08):
            return ""
        value = self.random.choice(["true", "false", None])
        if value is None:
            value = self._variable("Boolean!", [True, False], default=self.random.choice([None, "true"]))
        return f" @{self.random.choice(['include', 'skip'])}(if: {value})"

    def _arguments(self, owner: str, arguments: Mapping[str, GraphQLArgument]) -> str:
        said = {
            name: self._argument(each, self.values.get(f"{owner}.{name}") or self.values.get(name, ()))
            for name, each in arguments.items()
            if is_required_argument(each) or self._chance(0.35)
        }
        return "(" + ", ".join(f"{name}: {value}" for name, value in said.items()) + ")" if said else ""

    def _argument(self, argument: GraphQLArgument, values: Sequence[Any]) -> str:
        can_be_null = not isinstance(argument.type, GraphQLNonNull)
        if self._chance(0.5):
            return _literal(self._value(argument.type, values), argument.type)
        drawn = [self._value(argument.type, values) for _ in range(3)]
        default = None
        if can_be_null:
            drawn += [None, ...]
            default = _literal(self._value(argument.type, values), argument.type) if self._chance(0.3) else None
        elif self._chance(0.05):
            drawn += [None, ...]
        return self._variable(str(argument.type), drawn, default=default)

    def _variable(self, type_: str, values: list[Any], *, default: str | None) -> str:
        name = f"v{len(self.declared)}"
        self.declared[name] = type_ if default is None else f"{type_} = {default}"
        self.given[name] = values if default is None else [*values, ...]
        return f"${name}"

    def _value(self, type_: GraphQLInputType, values: Sequence[Any]) -> Any:
        """A value as JSON has it."""
        if not isinstance(type_, GraphQLNonNull) and self._chance(0.1):
            return None
        bare: Any = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if values:
            return self.random.choice(values)
        if isinstance(bare, GraphQLList):
            return [self._value(bare.of_type, values) for _ in range(self.random.randint(0, 3))]
        if isinstance(bare, GraphQLEnumType):
            return self.random.choice(sorted(bare.values))
        if isinstance(bare, GraphQLInputObjectType):
            return {
                name: self._value(each.type, self.values.get(name, ()))
                for name, each in bare.fields.items()
                if self._chance(0.3)
            }
        return {"Boolean": self._chance(0.5), "Int": self.random.randint(-1, 5)}.get(bare.name, "x")


def fields_below(schema: GraphQLSchema) -> set[str]:
    """Every field that a query can ask for, named with its type."""
    found: dict[str, set[str]] = {}
    waiting: list[Any] = [schema.query_type]
    while waiting:
        type_ = waiting.pop()
        if type_.name in found or not isinstance(type_, Composite):
            continue
        fields = {} if isinstance(type_, GraphQLUnionType) else type_.fields
        found[type_.name] = {f"{type_.name}.{name}" for name in fields}
        waiting += [get_named_type(each.type) for each in fields.values()]
        if not isinstance(type_, GraphQLObjectType):
            waiting += schema.get_possible_types(type_)
    return set().union(*found.values())


def _is_composite(definition: GraphQLField) -> bool:
    return isinstance(get_named_type(definition.type), Composite)


def _literal(value: Any, type_: Any) -> str:
    """The value in GraphQL's own notation."""
    bare = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if isinstance(value, dict):
        fields = bare.fields if isinstance(bare, GraphQLInputObjectType) else {}
        types = {name: fields[name].type if name in fields else None for name in value}
        return "{" + ", ".join(f"{name}: {_literal(each, types[name])}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        of = bare.of_type if isinstance(bare, GraphQLList) else None
        return "[" + ", ".join(_literal(each, of) for each in value) + "]"
    if isinstance(value, str):
        return value if isinstance(bare, GraphQLEnumType) else '"' + value.replace('"', '\\"') + '"'
    return "null" if value is None else str(value).lower()
