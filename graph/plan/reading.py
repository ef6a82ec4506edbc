"""Where a field's values come from: an attribute, its resolver, its batch, or Strawberry with all that it adds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, Protocol, runtime_checkable

from graphql import FieldNode, GraphQLField, ListValueNode, ObjectValueNode, Undefined, ValueNode, VariableNode
from graphql.execution.values import get_argument_values
from strawberry.schema import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info

from graph.plan.batch import Batch, batch_of
from graph.plan.inputs import Converter, converted, converters_of
from graph.plan.plan import Column, Place, Reading, Run, UncoveredError


@runtime_checkable
class Gate(Protocol):
    """A field's extension that does no more than to refuse whom the field is not for, whatever the object."""

    def admit(self, context: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Arguments:
    """A field's arguments as graphql-core hands them to a resolver, read once for all objects of a run."""

    field: GraphQLField
    node: FieldNode
    known: dict[str, Any] | None  # None: to be read in each run
    variables: tuple[tuple[str, str], ...]  # names and their variables, if that is all there is to them

    @classmethod
    def of(cls, field: GraphQLField, node: FieldNode) -> "Arguments":
        is_fixed = all(_is_fixed(argument.value) for argument in node.arguments or ())
        known = get_argument_values(field, node) if is_fixed else None
        return cls(field, node, known, _variables_of(field, node))

    def read(self, run: Run) -> dict[str, Any]:
        if self.known is not None:
            return self.known
        if self.variables:
            # validation has seen that they are of the arguments' types; for what is null or left out there are rules
            given = run.variables.coerced.get
            values = {name: given(variable) for name, variable in self.variables}
            if None not in values.values():
                return values
        return get_argument_values(self.field, self.node, run.variables)


def _variables_of(field: GraphQLField, node: FieldNode) -> tuple[tuple[str, str], ...]:
    """Empty unless every argument is a variable, and those that are not given have no defaults."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    found = []
    for name, argument in field.args.items():
        value = given.get(name)
        if isinstance(value, VariableNode):
            found.append((argument.out_name or name, value.name.value))
        elif value is not None or argument.default_value is not Undefined or argument.default is not None:
            return ()
    return tuple(found)


def _is_fixed(value: ValueNode) -> bool:
    """Whether it is the same in every run. An object is made anew for each: a resolver might write into it."""
    if isinstance(value, ListValueNode):
        return all(map(_is_fixed, value.values))
    return not isinstance(value, VariableNode | ObjectValueNode)


@dataclass(frozen=True, slots=True)
class TypeName:
    may_wait: ClassVar[bool] = False
    name: str

    def read(self, sources: Column, run: Run) -> Column:
        return [self.name] * len(sources)


@dataclass(frozen=True, slots=True)
class Known:
    """What has been read already."""

    may_wait: ClassVar[bool] = False
    value: Any

    def read(self, sources: Column, run: Run) -> Column:
        return [self.value] * len(sources)


@dataclass(frozen=True, slots=True)
class Attribute:
    # An attribute that has to be awaited is the same one when graphql-core comes for it, so it need not be covered.
    may_wait: ClassVar[bool] = False
    get: Callable[[Any], Any]

    def read(self, sources: Column, run: Run) -> Column:
        return list(map(self.get, sources))


@dataclass(frozen=True, slots=True)
class WithExtensions:
    """Strawberry's own wrapper of the resolver: with the field's extensions, among them Guard."""

    may_wait: ClassVar[bool] = True
    place: Place
    arguments: Arguments
    resolve: Callable[..., Any]

    def read(self, sources: Column, run: Run) -> Column:
        info, arguments = run.info(self.place), self.arguments.read(run)
        return _call_each(self.resolve, sources, info, **arguments)


@dataclass(frozen=True, slots=True)
class Converted:
    """What a resolver without extensions is called with, converted once for all objects of a run."""

    schema: Schema
    field: StrawberryField
    place: Place
    arguments: Arguments
    converters: Mapping[str, tuple[str, Converter]] | None  # None: Strawberry converts them

    def read(self, run: Run) -> tuple[Info[Any, Any], dict[str, Any]]:
        info: Info[Any, Any] = self.schema.config.info_class(
            _raw_info=run.info(self.place),  # type: ignore[arg-type]  # PlanInfo says what it leaves out
            _field=self.field,
        )
        given = self.arguments.read(run)
        if self.converters is not None:
            return info, converted(given, self.converters)
        values = convert_arguments(
            given,
            self.field.arguments,
            scalar_registry=self.schema.schema_converter.scalar_registry,
            config=self.schema.config,
            info=info,
        )
        return info, values


@dataclass(frozen=True, slots=True)
class Resolver:
    """The field's own function, called for each object."""

    may_wait: ClassVar[bool] = True
    converted: Converted
    function: Callable[..., Any]
    info_name: str | None

    def read(self, sources: Column, run: Run) -> Column:
        info, arguments = self.converted.read(run)
        if self.info_name is not None:
            arguments[self.info_name] = info
        return _call_each(self.function, sources, **arguments)


@dataclass(frozen=True, slots=True)
class Gated:
    """A field that somebody may have to be refused first, once for all objects."""

    may_wait: ClassVar[bool] = True
    gates: tuple[Gate, ...]
    reading: "Resolver | InBatch"

    def read(self, sources: Column, run: Run) -> Any:
        for gate in self.gates:
            gate.admit(run.context)
        return self.reading.read(sources, run)


@dataclass(frozen=True, slots=True)
class InBatch:
    """The field's batch, called for all objects at once."""

    may_wait: ClassVar[bool] = True
    converted: Converted
    batch: Batch

    def read(self, sources: Column, run: Run) -> Any:
        info, arguments = self.converted.read(run)
        return self.batch(sources, info, **arguments)


def _call_each(function: Callable[..., Any], sources: Column, *more: Any, **arguments: Any) -> Column:
    """What the function says of each source. An exception is kept in its place: what others began is to be awaited."""
    column: Column = []
    for source in sources:
        try:
            column.append(function(source, *more, **arguments))
        except Exception as error:  # noqa: BLE001 - as if the resolver had returned it
            column.append(error)
    return column


def reading_of(schema: Schema, place: Place, definition: GraphQLField) -> Reading:
    """How to read a field. Raises UncoveredError for what is not one of Strawberry's."""
    field = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(field, StrawberryField) or definition.resolve is None:
        raise UncoveredError
    if field.is_basic_field and schema.config.default_resolver is getattr and not schema.exception_handlers:
        return Attribute(get=attrgetter(field.python_name))
    arguments = Arguments.of(definition, place.field_nodes[0])
    resolver = field.base_resolver
    is_plain = resolver is not None and resolver.parent_parameter is None and resolver.root_parameter is None
    gates = tuple(each for each in field.extensions if isinstance(each, Gate))
    if resolver is None or not is_plain or len(gates) < len(field.extensions) or schema.exception_handlers:
        return WithExtensions(place=place, arguments=arguments, resolve=definition.resolve)
    given = Converted(
        schema=schema, field=field, place=place, arguments=arguments, converters=converters_of(schema, field)
    )
    function: Callable[..., Any] = resolver.wrapped_func  # type: ignore[assignment]  # bound by now
    batch = batch_of(function)
    info = resolver.info_parameter
    reading = (
        InBatch(converted=given, batch=batch)
        if batch is not None
        else Resolver(
            converted=given,
            function=function if resolver.self_parameter else partial(_without_source, function),
            info_name=None if info is None else info.name,
        )
    )
    return Gated(gates, reading) if gates else reading


def _without_source(function: Callable[..., Any], _source: object, **arguments: Any) -> Any:
    return function(**arguments)
