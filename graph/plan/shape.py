"""Values as the answer shows them, a column at a time. A check is made once for each type that occurs in a column.

Whatever is not plainly right is AbnormalError: graphql-core then says what is wrong with it, in its own words.
"""

from asyncio import gather
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any, ClassVar

from graphql import GraphQLEnumType, GraphQLInt, GraphQLInterfaceType, GraphQLLeafType, GraphQLUnionType, Undefined
from graphql.pyutils import UndefinedType
from graphql.type.scalars import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT

from graph.plan.plan import AbnormalError, Column, Place, Run, Selection, Shape

LISTS = frozenset({list, tuple})
NOTHING: frozenset[type] = frozenset()


def complete(shape: Shape, column: Column, run: Run) -> Column:
    """The answer's value for each raw value of a field, nulls included. Raises AbnormalError."""
    kinds = set(map(type, column))
    if kinds <= shape.written_as_is:  # of most columns that is all
        return column
    for kind in kinds:
        if _is_strange(kind):
            raise AbnormalError
    if type(None) not in kinds:
        return shape.write(column, kinds, run)
    if not shape.is_nullable:
        raise AbnormalError
    kinds.discard(type(None))
    written = iter(shape.write([value for value in column if value is not None], kinds, run))
    return [None if value is None else next(written) for value in column]


# A value that has to be awaited, and where it stands.
Waiting = tuple[Column, int, Awaitable[Any]]


def waiting_in(column: Column) -> list[Waiting]:
    """What has to be awaited of its values."""
    if not any(map(is_awaitable, set(map(type, column)))):
        return []
    return [(column, place, value) for place, value in enumerate(column) if is_awaitable(type(value))]


async def settle(waiting: Collection[Waiting]) -> None:
    """Await all at once, and put into its place what came of each: the value or the exception.

    Waits for all of them even if one fails or the caller is cancelled: nothing is left running.
    """
    if len(waiting) == 1:
        # without the task that gather would make
        ((column, place, only),) = waiting
        try:
            column[place] = await only
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged with the other values
            column[place] = error
    elif waiting:
        found = await gather(*(value for _, _, value in waiting), return_exceptions=True)
        for (column, place, _), value in zip(waiting, found, strict=True):
            column[place] = value


def _has_await(kind: Any) -> bool:
    return hasattr(kind, "__await__")


# Of a type. There are as many as the program has.
is_awaitable: Callable[[Any], bool] = cache(_has_await)


@cache
def _is_strange(kind: Any) -> bool:
    return issubclass(kind, BaseException | UndefinedType) or hasattr(kind, "__await__")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar or an enum. Values of the types in `written_as_is` are what its serializer would give back."""

    is_nullable: bool
    leaf: GraphQLLeafType
    written_as_is: frozenset[type]

    def write(self, column: Column, kinds: set[type], run: Run) -> Column:
        if kinds <= self.written_as_is or (self.leaf is GraphQLInt and _are_small(column, kinds)):
            return column  # what is left when the nulls are taken out
        if isinstance(self.leaf, GraphQLEnumType):
            # few values, and each dear to write, and to hash: a member is one object
            members = {id(value): value for value in column}
            names = {which: self.leaf.coerce_output_value(value) for which, value in members.items()}
            return [names[id(value)] for value in column]
        written = list(map(self.leaf.coerce_output_value, column))
        if any(value is None or value is Undefined for value in written):
            raise AbnormalError
        return written


def _are_small(column: Column, kinds: set[type]) -> bool:
    """Whether all are ints of 32 bits: what Int writes as they are."""
    return kinds == {int} and min(column) >= GRAPHQL_MIN_INT and max(column) <= GRAPHQL_MAX_INT


@dataclass(frozen=True, slots=True)
class ListOf:
    written_as_is: ClassVar[frozenset[type]] = NOTHING
    is_nullable: bool
    items: Shape

    def write(self, column: Column, kinds: set[type], run: Run) -> Column:
        """The lists of a column are completed as one column. Other iterables than list and tuple are graphql-core's."""
        if not kinds <= LISTS:
            raise AbnormalError
        items = list(chain.from_iterable(column))
        written = iter(complete(self.items, items, run))
        return [list(islice(written, len(each))) for each in column]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    written_as_is: ClassVar[frozenset[type]] = NOTHING
    is_nullable: bool
    place: Place
    selection: Selection
    is_type_of: Callable[[Any, Any], Any] | None

    def write(self, column: Column, kinds: set[type], run: Run) -> Column:
        if self.is_type_of is not None:
            info = run.info(self.place)
            if not all(self.is_type_of(value, info) is True for value in column):
                raise AbnormalError
        return run.answer(self.selection, column)


@dataclass(frozen=True, slots=True)
class AbstractOf:
    """An interface or a union; `objects` are the shapes of its concrete types, by name."""

    written_as_is: ClassVar[frozenset[type]] = NOTHING

    is_nullable: bool
    place: Place
    abstract: GraphQLInterfaceType | GraphQLUnionType
    resolve_type: Callable[[Any, Any, Any], Any]
    objects: Mapping[str, ObjectOf]

    def write(self, column: Column, kinds: set[type], run: Run) -> Column:
        info = run.info(self.place)
        names = [self.resolve_type(value, info, self.abstract) for value in column]
        rows = {}
        for name in dict.fromkeys(names):
            shape = self.objects.get(name)
            if shape is None:
                raise AbnormalError
            sources = [value for value, its in zip(column, names, strict=True) if its == name]
            rows[name] = iter(shape.write(sources, set(map(type, sources)), run))
        return [next(rows[name]) for name in names]
