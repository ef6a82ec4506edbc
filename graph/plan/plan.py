"""What a plan is made of, and what running one needs. Never holds: how it is compiled, or run.

A plan is a tree of selections. Running it goes level by level, and a level works in columns: for each planned field
the values of all its objects, in their order.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.execution.values import VariableValues

Column: TypeAlias = list[Any]


class AbnormalError(Exception):
    """Something that graphql-core has to word, or to find a way around: an error, a null, a value of another shape."""


class UncoveredError(Exception):
    """The operation asks for something that plans do not do."""


class Reading(Protocol):
    """Where a field's raw values come from."""

    # whether a value, or the whole column, may have to be awaited
    may_wait: ClassVar[bool]

    def read(self, sources: Column, run: "Run") -> Any:
        """A value for each source, or an awaitable of all of them. Raises whatever a resolver raises."""


class Shape(Protocol):
    """What a field's type makes of its raw values."""

    @property
    def is_nullable(self) -> bool: ...

    @property
    def written_as_is(self) -> frozenset[type]:
        """Values of these types are written as they are. Never NoneType."""

    def write(self, column: Column, kinds: set[type], run: "Run") -> Column:
        """The answer's value for each raw value. `kinds` are the types of the values; None is not among them.

        Raises AbnormalError, and whatever a scalar raises.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """A field of the schema, as an operation asks for it."""

    field_name: str
    parent_type: GraphQLObjectType
    return_type: GraphQLOutputType
    field_nodes: list[FieldNode]


@dataclass(slots=True)  # not frozen: that would be dearer to make than all that is done with it
class PlanInfo:
    """What resolvers are told, in the place of graphql-core's own info: one for each field and run.

    What hangs on the single object, above all `path`, is not here. Who asks for it gets an AttributeError, and with it
    graphql-core and the whole of the info.
    """

    field_name: str
    parent_type: GraphQLObjectType
    return_type: GraphQLOutputType
    field_nodes: list[FieldNode]
    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    operation: OperationDefinitionNode
    variable_values: dict[str, Any]
    context: Any
    root_value: Any


@dataclass(frozen=True, slots=True)
class PlannedField:
    key: str
    reading: Reading
    shape: Shape


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of objects of one concrete type at one place of the operation."""

    fields: tuple[PlannedField, ...]
    waiting: tuple[tuple[int, PlannedField], ...]  # those that may have to be awaited, and their places

    @classmethod
    def of(cls, fields: tuple[PlannedField, ...]) -> "Selection":
        return cls(fields, tuple((place, each) for place, each in enumerate(fields) if each.reading.may_wait))


@dataclass(frozen=True, slots=True)
class Plan:
    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    root: Selection
    size: int  # planned fields, over all types


@dataclass(slots=True)
class Job:
    """A selection to be answered for some objects: a row of the answer for each source."""

    selection: Selection
    sources: Column
    rows: list[dict[str, Any]]


@dataclass(slots=True)
class Run:
    """One execution of a plan."""

    plan: Plan
    variables: VariableValues
    context: Any
    root_value: Any
    jobs: list[Job] = field(default_factory=list)  # of the next level

    def info(self, place: Place) -> PlanInfo:
        plan = self.plan
        return PlanInfo(  # by place, which is the cheaper way, and this is made often
            place.field_name,
            place.parent_type,
            place.return_type,
            place.field_nodes,
            plan.schema,
            plan.fragments,
            plan.operation,
            self.variables.coerced,
            self.context,
            self.root_value,
        )

    def answer(self, selection: Selection, sources: Column) -> list[dict[str, Any]]:
        """The rows of these objects; the next level fills them."""
        rows: list[dict[str, Any]] = [{} for _ in sources]
        if sources and selection.fields:
            self.jobs.append(Job(selection, sources, rows))
        return rows
